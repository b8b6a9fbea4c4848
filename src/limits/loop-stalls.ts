import type { Clock } from '../clock.js'

const tickMs = 100

// Whoever waited longer has given up, or has filled the buffers of the kernel long before.
const mostMs = 60_000

/**
 * How long the event loop of this thread was kept from its work: by a stopped process, a paused
 * machine, or much to do. What came in the meantime comes all at once, and is no burst of its
 * sender. Keeps no process alive.
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
   * Returns how much earlier than `nowMs` an event may have come, in milliseconds: the stall that
   * lasts, or one that has ended, for as long again as it has lasted. Meanwhile what has waited is
   * read.
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
