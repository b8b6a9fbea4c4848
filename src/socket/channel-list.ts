import { channelOfTopic } from './channel-topics.js'
import { isOpen } from './closing.js'
import { inSlices } from './slices.js'
import type { SocketTable } from './socket-table.js'

/** Which channels are asked for, from where on, and how many. */
export interface ChannelQuery {
  /** What their names begin with. */
  readonly prefix: string
  /** The last one on the page before. */
  readonly after: string | undefined
  readonly limit: number
}

/** A page of the channels that somebody hears, by their names. */
export interface ChannelPage {
  readonly channels: readonly { readonly channel: string; readonly subscribers: number }[]
  /** Whether there are more. */
  readonly hasMore: boolean
}

/** Of a thread that has ended. */
export const noChannels: ChannelPage = { channels: [], hasMore: false }

/**
 * A page of the channels that the sockets in a table hear. The topics of uWS cannot be listed, and
 * an index beside them would cost every handshake: so all sockets are asked, a slice in each turn.
 */
export async function listChannels(
  table: SocketTable,
  { prefix, after, limit }: ChannelQuery,
): Promise<ChannelPage> {
  const counts = new FirstCounts(limit + 1)
  await inSlices(table.all(), ws => {
    if (isOpen(ws))
      for (const topic of ws.getTopics()) {
        const channel = channelOfTopic(topic)
        if (channel.startsWith(prefix) && (after === undefined || channel > after)) counts.add(channel, 1)
      }
    return undefined
  })
  return pageOf(counts, limit)
}

/**
 * The page of all threads. Of channels beyond the page of a thread that has more, that number is
 * not known.
 */
export function mergeChannels(pages: readonly ChannelPage[], limit: number): ChannelPage {
  const counts = new FirstCounts(limit + 1)
  const ends = pages.flatMap(({ channels, hasMore }) =>
    hasMore ? channels.slice(-1).map(({ channel }) => channel) : [],
  )
  const end = ends.toSorted()[0]
  for (const { channels } of pages)
    for (const { channel, subscribers } of channels)
      if (end === undefined || channel <= end) counts.add(channel, subscribers)
  const page = pageOf(counts, limit)
  return { channels: page.channels, hasMore: page.hasMore || end !== undefined }
}

function pageOf(counts: FirstCounts, limit: number): ChannelPage {
  const all = counts.sorted()
  return { channels: all.slice(0, limit), hasMore: all.length > limit }
}

/** Counts by name, of the first names only: memory is bounded however many channels there are. */
class FirstCounts {
  readonly #most: number
  #counts = new Map<string, number>()
  /** No name beyond it is among the first any more. */
  #last: string | undefined

  constructor(most: number) {
    this.#most = most
  }

  add(channel: string, subscribers: number): void {
    if (this.#last !== undefined && channel > this.#last) return
    this.#counts.set(channel, (this.#counts.get(channel) ?? 0) + subscribers)
    if (this.#counts.size >= 2 * this.#most + 64) this.#cut()
  }

  sorted(): { channel: string; subscribers: number }[] {
    this.#cut()
    return [...this.#counts].map(([channel, subscribers]) => ({ channel, subscribers }))
  }

  #cut(): void {
    const first = [...this.#counts].sort(([a], [b]) => (a < b ? -1 : 1)).slice(0, this.#most)
    if (first.length === this.#most) this.#last = first.at(-1)?.[0]
    this.#counts = new Map(first)
  }
}
