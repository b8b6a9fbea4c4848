import { channelOfTopic } from './channel-topics.js'
import { isOpen } from './closing.js'
import { inSlices } from './slices.js'
import type { SocketTable } from './socket-table.js'

/** Which channels to list, from where on, and how many. */
export interface ChannelQuery {
  /** The prefix of their names. */
  readonly prefix: string
  /** The last channel of the previous page. */
  readonly after: string | undefined
  readonly limit: number
}

/** A page of the channels that have subscribers, by name. */
export interface ChannelPage {
  readonly channels: readonly { readonly channel: string; readonly subscribers: number }[]
  /** Whether there are more. */
  readonly hasMore: boolean
}

/** The page of a thread that has ended. */
export const noChannels: ChannelPage = { channels: [], hasMore: false }

/**
 * A page of the channels to which sockets in a table are subscribed. uWS cannot list its topics,
 * and a separate index would cost every handshake. So this scans all sockets, a slice per turn.
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
 * Merges the pages of all threads. For channels beyond the page of a thread that has more, the
 * number is unknown.
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

/** Counts by name, only for the first names: memory is bounded, however many channels there are. */
class FirstCounts {
  readonly #most: number
  #counts = new Map<string, number>()
  /** Names beyond this one are no longer among the first. */
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
