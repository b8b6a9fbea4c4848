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

/** Returns how long to wait, in milliseconds; 0 = go on. */
export type RateLimiter = (key: string, nowMs: number) => number

// Beyond this many keys in one window, the least recent are forgotten. A flood would need more
// addresses (or users) than that to profit, and each of them could make a full burst anyway.
const maxKeys = 100_000

/**
 * Creates a rate limiter per key, in bounded memory, on lru-cache. The npm limiters that we looked
 * at arm a timer per key or keep every key of a window, so a flood from many addresses grows them
 * without bound.
 */
export function createRateLimiter(rate: Rate | undefined): RateLimiter {
  if (rate === undefined) return () => 0
  const arrivals = new LRUCache<string, number>({ max: maxKeys })
  return (key, nowMs) => {
    const next = nextArrival(arrivals.get(key) ?? 0, nowMs, rate)
    if (next < 0) return -next
    arrivals.set(key, next)
    return 0
  }
}
