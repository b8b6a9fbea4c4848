import { closeCode } from '../protocol.js'
import { mayPublish, maySubscribe } from '../ticket/rights.js'
import type { Revocation, Revocations } from '../token/revocation.js'
import type { ChannelTopics } from './channel-topics.js'
import { closeExpired, closeWith, isOpen } from './closing.js'
import { notify } from './replies.js'
import type { Session, Socket } from './session.js'
import type { SocketEvents } from './socket-events.js'
import type { SocketIds } from './socket-ids.js'
import type { SocketTable } from './socket-table.js'

/** How many sockets a revocation has affected, and how. */
export interface Reach {
  readonly disconnected: number
  /** Unsubscribed from one channel. */
  readonly unsubscribed: number
  /** Told to renew. */
  readonly renewRequired: number
}

export const noReach: Reach = { disconnected: 0, unsubscribed: 0, renewRequired: 0 }

export const sumReach = (all: readonly Reach[]): Reach =>
  all.reduce(
    (sum, each) => ({
      disconnected: sum.disconnected + each.disconnected,
      unsubscribed: sum.unsubscribed + each.unsubscribed,
      renewRequired: sum.renewRequired + each.renewRequired,
    }),
    noReach,
  )

export interface SocketRevokerParts {
  readonly table: SocketTable
  readonly topics: ChannelTopics
  readonly events: SocketEvents
  readonly ids: SocketIds
  readonly revocations: Pick<Revocations, 'add'>
}

/** Carries revocations out on the sockets of one thread. */
export class SocketRevoker {
  readonly #parts: SocketRevokerParts

  constructor(parts: SocketRevokerParts) {
    this.#parts = parts
  }

  /**
   * Ends the sockets that a revocation covers: at once, or unless they are renewed in time. Scans
   * every socket.
   */
  carryOut(revocation: Revocation, nowSeconds: number): Reach {
    const { table, ids } = this.#parts
    const number = revocation.socket === undefined ? undefined : (ids.numberOf(revocation.socket) ?? -1)
    const reach = { disconnected: 0, unsubscribed: 0, renewRequired: 0 }
    // Closing removes a socket from the table, so the table is read first.
    for (const ws of table.filter(each => this.#concerns(each, revocation, number)))
      reach[this.#end(ws, revocation, nowSeconds)]++
    this.#outlive(revocation, nowSeconds)
    return reach
  }

  /**
   * Keeps a channel taken away for as long as a socket lives that could join it again: a back end
   * or a minter may have given it a longer session than any token has.
   */
  #outlive(revocation: Revocation, nowSeconds: number): void {
    const { subject, name, channel = name, atSeconds } = revocation
    if (subject !== 'channel' && subject !== 'user_channel') return
    const mayReturn = ({ user, rights, issuedAtSeconds }: Session): boolean =>
      issuedAtSeconds <= atSeconds &&
      (subject === 'channel' || user === name) &&
      (maySubscribe(rights, channel) || mayPublish(rights, channel))
    let { untilSeconds } = revocation
    for (const ws of this.#parts.table.filter(each => mayReturn(each.getUserData().session)))
      untilSeconds = Math.max(untilSeconds, ws.getUserData().session.expiresAtSeconds)
    if (untilSeconds > revocation.untilSeconds)
      this.#parts.revocations.add({ ...revocation, untilSeconds }, nowSeconds)
  }

  #concerns(ws: Socket, revocation: Revocation, number: number | undefined): boolean {
    // One that is being closed ends anyway.
    if (!isOpen(ws)) return false
    const { session } = ws.getUserData()
    const { subject, name, channel = '', atSeconds } = revocation
    // A socket that has yet to authenticate has nothing that could be revoked.
    if (session.issuedAtSeconds > atSeconds || session.user === '') return false
    if (number !== undefined && session.socket !== number) return false
    switch (subject) {
      case 'user':
        return session.user === name
      case 'session':
        return session.id === name
      case 'all':
        return true
      case 'channel':
        return this.#isOn(ws, session, name)
      case 'user_channel':
        return session.user === name && this.#isOn(ws, session, channel)
    }
  }

  #isOn(ws: Socket, session: Session, channel: string): boolean {
    return session.channel === channel || this.#parts.topics.isSubscribed(ws, session.encoding.name, channel)
  }

  #end(ws: Socket, revocation: Revocation, nowSeconds: number): keyof Reach {
    const { subject, name, channel, reason, renewBySeconds } = revocation
    const { session } = ws.getUserData()
    // An application may have closed it when another socket ended.
    if (!isOpen(ws)) return 'disconnected'
    if (renewBySeconds !== undefined) return this.#requireRenewal(ws, renewBySeconds, nowSeconds, reason)
    // A tunnel is on its channel as long as it is open.
    if (session.tunnel === undefined) {
      if (subject === 'user_channel') return this.#takeAway(ws, channel ?? '', reason)
      if (subject === 'channel' && session.channel !== name) return this.#takeAway(ws, name, reason)
    }
    closeWith(ws, 'revoked', closeCode.revoked, reason ?? 'revoked')
    return 'disconnected'
  }

  #requireRenewal(
    ws: Socket,
    renewBySeconds: number,
    nowSeconds: number,
    reason: string | undefined,
  ): keyof Reach {
    const { session } = ws.getUserData()
    const endsAtSeconds = Math.min(renewBySeconds, session.expiresAtSeconds)
    if (endsAtSeconds <= nowSeconds) {
      closeExpired(ws)
      return 'disconnected'
    }
    this.#parts.table.renew(ws, endsAtSeconds)
    notify(ws, { type: 'renew_required', withinSeconds: endsAtSeconds - nowSeconds }, reason)
    return 'renewRequired'
  }

  #takeAway(ws: Socket, channel: string, reason: string | undefined): keyof Reach {
    const { topics, events } = this.#parts
    if (topics.unsubscribe(ws, ws.getUserData().session.encoding.name, channel))
      events.unsubscribed(ws, channel)
    notify(ws, { type: 'unsubscribed', channel }, reason)
    return 'unsubscribed'
  }
}
