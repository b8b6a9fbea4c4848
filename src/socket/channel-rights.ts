import { mayPublish, maySubscribe } from '../ticket/rights.js'
import { endsAtOnce, type Revocations } from '../token/revocation.js'
import type { ChannelTopics } from './channel-topics.js'
import type { Socket } from './session.js'

/** What sockets may do on channels: their rights, except for those revoked since. */
export class ChannelRights {
  readonly #revocations: Pick<Revocations, 'onChannel' | 'keepFor'>
  readonly #topics: ChannelTopics

  constructor(revocations: Pick<Revocations, 'onChannel' | 'keepFor'>, topics: ChannelTopics) {
    this.#revocations = revocations
    this.#topics = topics
  }

  /**
   * Must be called when a socket has opened or was renewed, as its ticket may be older than a
   * revocation.
   */
  begin(ws: Socket): void {
    const { session } = ws.getUserData()
    this.#revocations.keepFor(session, session.expiresAtSeconds)
  }

  mayPublish(ws: Socket, channel: string): boolean {
    const { session } = ws.getUserData()
    if (!mayPublish(session.rights, channel)) return false
    const taken = this.#revocations.onChannel(session, channel)
    if (taken === undefined) return true
    // A socket on the channel was told to renew: it keeps the channel until it does, or ends.
    return (
      !endsAtOnce(taken, session.issuedAtSeconds) &&
      (session.channel === channel || this.#topics.isSubscribed(ws, session.encoding.name, channel))
    )
  }

  maySubscribe(ws: Socket, channel: string): boolean {
    const { session } = ws.getUserData()
    return (
      maySubscribe(session.rights, channel) && this.#revocations.onChannel(session, channel) === undefined
    )
  }
}
