// limits/: rates and caps, in one thread or over several. It knows keys, not requests.

import { LRUCache } from 'lru-cache'
import type { Rate } from '../config/value-types.js'

/**
 * The generic cell rate algorithm (ITU-T I.371, annex A): a token bucket in one number, the
 * theoretical arrival time. Returns its next value. If the event comes too early, returns the
 * milliseconds to wait, negated.
 *
 * @param tatMs the value after the last event, 0 for none
 * @param burst how many events may come at once
 */
export function nextArrival(tatMs: number, nowMs: number, rate: Rate, burst: number = rate.count): number {
  // A multiple of what a double can resolve at today's Unix time. Otherwise rounding would cost the
  // last event of a burst.
  const intervalMs = Math.ceil(((rate.seconds * 1000) / rate.count) * 4096) / 4096
  const next = Math.max(tatMs, nowMs) + intervalMs
  const earlyMs = next - nowMs - burst * intervalMs
  return earlyMs > 0 ? -earlyMs : next
}

/** Whether the next event would come too early. */
export const isRefusing = (tatMs: number, nowMs: number, rate: Rate): boolean =>
  nextArrival(tatMs, nowMs, rate) < 0

export const isSameRate = (a: Rate | undefined, b: Rate | undefined): boolean =>
  a?.count === b?.count && a?.seconds === b?.seconds

/** The current state of a limiter. */
export interface LimiterUsage {
  /** Keys that have used some of their rate. */
  readonly tracked: number
  /** Of these, keys whose next event would be refused. */
  readonly refusing: number
}

/** Limits the rate of each key. */
export interface RateLimiter {
  /** Counts an event unless it must wait. Returns how long, in milliseconds; 0 = go on. */
  take(key: string, nowMs: number): number
  /** Sets the rate. If it changes, the counts start over. */
  setRate(rate: Rate | undefined): void
  /** How many keys there are. Undefined if there is no limit. */
  usage(nowMs: number): LimiterUsage | undefined
}

// Beyond this many keys in one window, the least recent are forgotten. A flood would need more
// addresses (or users) than that to profit, and each of them could make a full burst anyway.
const maxKeys = 100_000

/**
 * Limits the rate of each key in one thread, in bounded memory, on lru-cache. The npm limiters that
 * we looked at arm a timer per key or keep every key of a window, so a flood from many addresses
 * grows them without bound.
 */
export class KeyedRate implements RateLimiter {
  readonly #arrivals = new LRUCache<string, number>({ max: maxKeys })
  #rate: Rate | undefined

  /** @param rate undefined = no limit */
  constructor(rate: Rate | undefined) {
    this.#rate = rate
  }

  setRate(rate: Rate | undefined): void {
    if (isSameRate(rate, this.#rate)) return
    this.#rate = rate
    this.#arrivals.clear()
  }

  take(key: string, nowMs: number): number {
    if (this.#rate === undefined) return 0
    const next = nextArrival(this.#arrivals.get(key) ?? 0, nowMs, this.#rate)
    if (next < 0) return -next
    this.#arrivals.set(key, next)
    return 0
  }

  usage(nowMs: number): LimiterUsage | undefined {
    const rate = this.#rate
    if (rate === undefined) return undefined
    let tracked = 0
    let refusing = 0
    for (const tatMs of this.#arrivals.values()) {
      if (tatMs <= nowMs) continue
      tracked++
      if (isRefusing(tatMs, nowMs, rate)) refusing++
    }
    return { tracked, refusing }
  }
}
