import type { ConnectionCaps } from '../limits/caps.js'
import { addressKeyOf, type Session } from './session.js'

/**
 * Counts the sockets of one thread against the caps. A socket takes a slot before its ticket is
 * spent. The slot is released by the handshake if no socket opens, else when the socket is closed.
 *
 * A socket that has yet to authenticate by its first message is counted separately, except by its
 * address, so such sockets do not displace others.
 */
export class ConnectionSlots {
  readonly #caps: ConnectionCaps
  readonly #unauthenticatedCapacity: number
  #unauthenticated = 0

  /** @param unauthenticatedCapacity how many sockets of this thread may be unauthenticated */
  constructor(caps: ConnectionCaps, unauthenticatedCapacity: number) {
    this.#caps = caps
    this.#unauthenticatedCapacity = unauthenticatedCapacity
  }

  /** False if a cap is reached: in total, of the user, or of the address. */
  take(session: Session): boolean {
    if (session.user !== '') return this.#caps.enter(session.user, addressKeyOf(session))
    if (this.#unauthenticated >= this.#unauthenticatedCapacity) return false
    if (!this.#caps.enterUnknown(addressKeyOf(session))) return false
    this.#unauthenticated++
    return true
  }

  /**
   * Counts a socket that has authenticated for its user. False if a cap is reached; then nothing
   * changes.
   */
  authenticate(session: Session, user: string): boolean {
    if (!this.#caps.identify(user)) return false
    this.#unauthenticated--
    session.user = user
    return true
  }

  release(session: Session): void {
    if (session.user !== '') return this.#caps.leave(session.user, addressKeyOf(session))
    this.#unauthenticated--
    this.#caps.leaveUnknown(addressKeyOf(session))
  }
}
