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
  #cancel = (): void => {}
  #isOver = false

  /** @param onRenewed called with the new end of the session, Unix seconds */
  constructor(link: Link, takeTicket: TakeTicket, onRenewed: (expires: number) => void) {
    this.#link = link
    this.#takeTicket = takeTicket
    this.#onRenewed = onRenewed
    this.#schedule(link.welcome.expires)
  }

  /**
   * Renews soon, because the session ends in `withinMs` otherwise. Not at once, because other
   * clients got the same message.
   */
  require(withinMs: number): void {
    this.#cancel()
    const ends = (Date.now() + withinMs) / 1000
    this.#cancel = schedule((Math.random() * withinMs) / 2, () => void this.#renew(ends))
  }

  stop(): void {
    this.#isOver = true
    this.#cancel()
  }

  #schedule(expires: number): void {
    const remainingMs = expires * 1000 - Date.now()
    // Too late, or the clocks differ: the server will close the socket, and the next one gets a new
    // token.
    if (this.#isOver || !(remainingMs >= 1000)) return
    this.#cancel = schedule(renewalDelayMs(remainingMs), () => void this.#renew(expires))
  }

  async #renew(expires: number): Promise<void> {
    let ends = expires
    try {
      const ticket = await this.#takeTicket(true)
      if (this.#isOver) return
      ends = await this.#renewWith(ticket)
    } catch (error) {
      // A final refusal is reported by the next attempt, when this session has ended.
      if (error instanceof GateError && error.remedy === 'nothing') return
    }
    this.#schedule(ends)
  }

  /**
   * @throws GateError. Whatever the server replied, another ticket may succeed in the remaining
   * time.
   */
  async #renewWith(ticket: string): Promise<number> {
    try {
      const { expires } = await this.#link.request({ type: 'renew', ticket })
      if (typeof expires !== 'number') throw new TypeError('the reply names no end of the session')
      this.#onRenewed(expires)
      return expires
    } catch (error) {
      throw new GateError('renewal_failed', String(error), 'time')
    }
  }
}
