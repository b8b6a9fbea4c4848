import type { Clock } from '../clock.js'

const tickMs = 100

// Clients that waited longer have given up, or filled the buffers of the kernel long before.
const mostMs = 60_000

/**
 * Measures how long the event loop of this thread was stalled: by a stopped process, a paused
 * machine, or a heavy load. Events from the meantime arrive all at once, which is not a burst by
 * their senders. Does not keep the process alive.
 */
export class LoopStalls {
  readonly #clock: Clock
  readonly #timer: NodeJS.Timeout
  #dueMs: number
  #longestMs = 0
  #endsMs = 0

  constructor(clock: Clock) {
    this.#clock = clock
    this.#dueMs = clock() + tickMs
    this.#timer = setInterval(() => this.tick(), tickMs)
    this.#timer.unref()
  }

  /**
   * Returns how much earlier than `nowMs` an event may have arrived, in milliseconds: the length of
   * the current stall, or of one that has just ended. A stall counts for as long again as it
   * lasted, while the waiting events are read.
   */
  at(nowMs: number): number {
    // The loop reads sockets before it runs its timers.
    const lateMs = nowMs - this.#dueMs
    const endedMs = nowMs < this.#endsMs ? this.#longestMs : 0
    return Math.min(mostMs, Math.max(0, lateMs, endedMs))
  }

  /** Called ten times a second. */
  tick(): void {
    const nowMs = this.#clock()
    const stallMs = this.at(nowMs)
    this.#endsMs = Math.max(this.#endsMs, nowMs + Math.min(mostMs, nowMs - this.#dueMs))
    this.#longestMs = stallMs
    this.#dueMs = nowMs + tickMs
  }

  close(): void {
    clearInterval(this.#timer)
  }
}
