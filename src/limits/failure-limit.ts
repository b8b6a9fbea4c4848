import { LRUCache } from 'lru-cache'
import type { Rate } from '../config/value-types.js'
import { KeyedRate, type LimiterUsage } from './rate.js'

// Beyond this many keys, the least recent are forgotten.
const maxKeys = 10_000

/** Delays keys that fail too often. Successes cost nothing. */
export class FailureLimit {
  readonly #limiter: KeyedRate
  /** Until when a key is held off, Unix milliseconds. */
  readonly #heldOff = new LRUCache<string, number>({ max: maxKeys })

  constructor(rate: Rate) {
    this.#limiter = new KeyedRate(rate)
  }

  /** How long a key must wait, in milliseconds; 0 = go on. */
  waitMs(key: string, nowMs: number): number {
    return Math.max(0, (this.#heldOff.get(key) ?? 0) - nowMs)
  }

  /** Counts a failure. */
  failed(key: string, nowMs: number): void {
    const waitMs = this.#limiter.take(key, nowMs)
    if (waitMs > 0) this.#heldOff.set(key, nowMs + waitMs)
  }

  /** How many keys have failed lately, and how many are held off. */
  usage(nowMs: number): LimiterUsage {
    let refusing = 0
    for (const untilMs of this.#heldOff.values()) if (untilMs > nowMs) refusing++
    return { tracked: this.#limiter.usage(nowMs)?.tracked ?? 0, refusing }
  }
}
