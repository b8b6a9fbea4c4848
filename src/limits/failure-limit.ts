import { LRUCache } from 'lru-cache'
import type { Rate } from '../config/value-types.js'
import { KeyedRate, type LimiterUsage } from './rate.js'

// Past this many keys the least recent are let off.
const maxKeys = 10_000

/** Holds off those who fail too often. What succeeds costs nothing. */
export class FailureLimit {
  readonly #limiter: KeyedRate
  /** Until when a key is held off, Unix milliseconds. */
  readonly #heldOff = new LRUCache<string, number>({ max: maxKeys })

  constructor(rate: Rate) {
    this.#limiter = new KeyedRate(rate)
  }

  /** How long a key is held off, in milliseconds; 0 = go on. */
  waitMs(key: string, nowMs: number): number {
    return Math.max(0, (this.#heldOff.get(key) ?? 0) - nowMs)
  }

  /** Counts a failure. */
  failed(key: string, nowMs: number): void {
    const waitMs = this.#limiter.take(key, nowMs)
    if (waitMs > 0) this.#heldOff.set(key, nowMs + waitMs)
  }

  /** How many have failed lately, and how many are held off. */
  usage(nowMs: number): LimiterUsage {
    let refusing = 0
    for (const untilMs of this.#heldOff.values()) if (untilMs > nowMs) refusing++
    return { tracked: this.#limiter.usage(nowMs)?.tracked ?? 0, refusing }
  }
}
