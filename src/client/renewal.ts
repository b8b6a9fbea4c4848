import { renewalDelayMs } from './backoff.js'
import type { TakeTicket } from './credentials.js'
import { GateError } from './gate-error.js'
import type { Link } from './link.js'
import { schedule } from './platform.js'

/** Renews the session of a link before it ends, repeatedly. */
export class Renewal {
  readonly #link: Link
  readonly #takeTicket: TakeTicket
  readonly #onRenewed: (expires: number) => void
  /** When the session ends, Unix milliseconds. */
  #endsAtMs: number
  /** Cancels the timer of the next renewal, if one is due. */
  #cancel: (() => void) | undefined
  #isOver = false

  /** @param onRenewed called with the new end of the session, Unix seconds */
  constructor(link: Link, takeTicket: TakeTicket, onRenewed: (expires: number) => void) {
    this.#link = link
    this.#takeTicket = takeTicket
    this.#onRenewed = onRenewed
    this.#endsAtMs = link.welcome.expires * 1000
    this.#schedule()
  }

  /**
   * Renews soon, because the session ends in `withinMs` otherwise. Not at once, because other
   * clients got the same message.
   */
  require(withinMs: number): void {
    this.#endsAtMs = Date.now() + withinMs
    this.#renewIn((Math.random() * withinMs) / 2)
  }

  stop(): void {
    this.#isOver = true
    this.#cancel?.()
  }

  #schedule(): void {
    const remainingMs = this.#endsAtMs - Date.now()
    // Too late, or the clocks differ: the server will close the socket, and the next one gets a new
    // token.
    if (!this.#isOver && remainingMs >= 1000) this.#renewIn(renewalDelayMs(remainingMs))
  }

  #renewIn(ms: number): void {
    this.#cancel?.()
    this.#cancel = schedule(ms, () => void this.#renew())
  }

  async #renew(): Promise<void> {
    this.#cancel = undefined
    let expires: unknown
    try {
      const ticket = await this.#takeTicket(true)
      if (this.#isOver) return
      // Whatever the server replies, another ticket may succeed in the remaining time.
      const reply = await this.#link.request({ type: 'renew', ticket }).catch(() => undefined)
      expires = reply?.expires
    } catch (error) {
      // A final refusal is reported by the next attempt, when this session has ended.
      if (error instanceof GateError && error.remedy === 'nothing') return
    }
    if (typeof expires === 'number') {
      this.#endsAtMs = expires * 1000
      this.#onRenewed(expires)
    } else {
      // Another renewal was required meanwhile. It is due earlier, and takes another ticket.
      if (this.#cancel !== undefined) return
    }
    this.#schedule()
  }
}
