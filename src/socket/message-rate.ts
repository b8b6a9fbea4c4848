import type { Rate } from '../config/value-types.js'
import type { LoopStalls } from '../limits/loop-stalls.js'
import { nextArrival } from '../limits/rate.js'

/** How many messages a socket may send. The burst is twice the count. */
export class MessageRate {
  readonly #stalls: Pick<LoopStalls, 'at'>
  #rate: Rate | undefined

  /** @param rate undefined = no limit */
  constructor(rate: Rate | undefined, stalls: Pick<LoopStalls, 'at'>) {
    this.#rate = rate
    this.#stalls = stalls
  }

  /** Undefined = no limit. */
  get rate(): Rate | undefined {
    return this.#rate
  }

  /** Sets the rate. Arrival times of another rate are in its time, and must be forgotten. */
  set(rate: Rate | undefined): void {
    this.#rate = rate
  }

  /**
   * Returns the next theoretical arrival time of a socket, or a negative number if its message comes
   * too early, as {@link nextArrival}. What it sent while the event loop stalled counts as if it had
   * come then.
   */
  next(arrivalMs: number, nowMs: number, rate: Rate): number {
    const stallMs = this.#stalls.at(nowMs)
    const burst = 2 * rate.count + (stallMs * rate.count) / (rate.seconds * 1000)
    return nextArrival(arrivalMs, nowMs - stallMs, rate, burst)
  }
}
