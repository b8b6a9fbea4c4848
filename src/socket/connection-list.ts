import { addressText } from '../http/address.js'
import { type ChannelTopics, channelOfTopic } from './channel-topics.js'
import { isOpen } from './closing.js'
import { addressOf, type Socket } from './session.js'
import { inSlices } from './slices.js'
import { Smallest } from './smallest.js'
import type { SocketIds } from './socket-ids.js'
import type { SocketTable } from './socket-table.js'

/** Which open sockets to list, from where on, and how many. */
export interface ConnectionQuery {
  readonly user: string | undefined
  readonly session: string | undefined
  /** Sockets opened on it, and those subscribed to it. */
  readonly channel: string | undefined
  /** The last id of the previous page. */
  readonly after: string | undefined
  readonly limit: number
}

/** A page of the sockets of one thread, or of all, in the order of their ids. */
export interface ConnectionPage {
  /** The prefix of the ids of its sockets. */
  readonly thread: string
  readonly connections: readonly { readonly id: string; readonly json: string }[]
  /** The id after which the next page starts; undefined if there are no more. */
  readonly next: string | undefined
}

/** The page of a thread that has ended. */
export const noConnections: ConnectionPage = { thread: '', connections: [], next: undefined }

// A page ends early if it would delay the gate: there may be many claims and subscriptions.
const maxPageCharacters = 1_000_000

export interface ConnectionListParts {
  readonly table: SocketTable
  readonly ids: SocketIds
  readonly topics: ChannelTopics
  readonly node: string | undefined
}

/**
 * Lists the sockets of one thread. Each page scans all of them, a slice per turn: an index that
 * every handshake maintains would cost more.
 */
export class ConnectionList {
  readonly #parts: ConnectionListParts

  constructor(parts: ConnectionListParts) {
    this.#parts = parts
  }

  async page(query: ConnectionQuery): Promise<ConnectionPage> {
    const { ids, table } = this.#parts
    const floor = query.after === undefined ? 0 : ids.floorAfter(query.after)
    const first = new Smallest<Socket>(query.limit + 1)
    await inSlices(floor === undefined ? [] : table.all(), ws => {
      const { session } = ws.getUserData()
      if (floor !== undefined && session.socket > floor && this.#isAsked(ws, query))
        first.add(session.socket, ws)
      return undefined
    })
    const sockets = first.sorted()
    const connections: { id: string; json: string }[] = []
    let left = maxPageCharacters
    let last = 0
    await inSlices(sockets.slice(0, query.limit), ws => {
      if (left < 0) return false
      last = ws.getUserData().session.socket
      // It may have been closed in the meantime.
      if (!isOpen(ws)) return true
      const connection = this.#describe(ws)
      connections.push(connection)
      left -= connection.json.length
      return true
    })
    const hasMore = (sockets.at(-1)?.getUserData().session.socket ?? 0) > last
    return { thread: ids.thread, connections, next: hasMore ? ids.idOf(last) : undefined }
  }

  #isAsked(ws: Socket, { user, session: id, channel }: ConnectionQuery): boolean {
    const { session } = ws.getUserData()
    if (user !== undefined && session.user !== user) return false
    if (id !== undefined && session.id !== id) return false
    if (channel === undefined || session.channel === channel) return isOpen(ws)
    return isOpen(ws) && this.#parts.topics.isSubscribed(ws, session.encoding.name, channel)
  }

  #describe(ws: Socket): { readonly id: string; readonly json: string } {
    const { ids, node } = this.#parts
    const { session } = ws.getUserData()
    const id = ids.idOf(session.socket)
    const json = JSON.stringify({
      id,
      // Neither is known before first-message auth.
      user: session.user === '' ? undefined : session.user,
      session: session.id === '' ? undefined : session.id,
      channel: session.channel,
      tunnel: session.tunnel?.name,
      since: session.openedAtSeconds,
      expires: session.expiresAtSeconds,
      address: addressText(addressOf(ws)),
      node,
      subscriptions: ws.getTopics().map(channelOfTopic).sort(),
      claims: session.claims,
    })
    return { id, json }
  }
}

/**
 * Merges the pages of all threads: ids start with that of the thread, so the sockets of one follow
 * those of another.
 */
export function mergeConnections(pages: readonly ConnectionPage[], limit: number): ConnectionPage {
  const connections: { readonly id: string; readonly json: string }[] = []
  for (const page of pages.toSorted((a, b) => (a.thread < b.thread ? -1 : 1))) {
    const taken = page.connections.slice(0, limit - connections.length)
    connections.push(...taken)
    const next = taken.length < page.connections.length ? connections.at(-1)?.id : page.next
    if (next !== undefined) return { thread: '', connections, next }
  }
  return { thread: '', connections, next: undefined }
}
