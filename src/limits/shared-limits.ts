import { randomBytes } from 'node:crypto'
import type { Rate } from '../config/value-types.js'
import type { ConnectionLimits } from './caps.js'
import { createLoginLimitsMemory, type LoginLimitsMemory } from './login-limits.js'
import { nextArrival, type RateLimiter } from './rate.js'
import { hashAt, keyHashes, tallyBytes } from './shared-tally.js'

/**
 * The memory of limits that hold over all threads of one process: of fixed size, and without locks.
 * Keys are hashed with a secret, so clients cannot choose what shares a bucket. Keys that do share
 * one are counted together: a limit may be met early, never late.
 */
export interface SharedLimits {
  readonly secret: Uint8Array
  readonly logins: LoginLimitsMemory
  /** Theoretical arrival times, Unix microseconds, one 64-bit word per bucket. */
  readonly tickets: SharedArrayBuffer
  /** Open connections, one 32-bit word per thread. */
  readonly open: SharedArrayBuffer
  /** Open connections by user and by address; see SharedTally. */
  readonly users: SharedArrayBuffer
  readonly addresses: SharedArrayBuffer
}

const rateBuckets = 1 << 20

/** Allocates the memory. */
export function createSharedLimits(threads: number, limits: ConnectionLimits): SharedLimits {
  const counts = (limit: number): SharedArrayBuffer =>
    new SharedArrayBuffer(limit === 0 ? 0 : tallyBytes(threads, limits.total))
  return {
    secret: randomBytes(32),
    logins: createLoginLimitsMemory(),
    tickets: new SharedArrayBuffer(rateBuckets * 8),
    open: new SharedArrayBuffer(threads * 4),
    users: counts(limits.perUser),
    addresses: counts(limits.perAddress),
  }
}

/** Returns a rate limiter on the shared arrival times. */
export function openSharedRate(
  rate: Rate | undefined,
  table: SharedArrayBuffer,
  secret: Uint8Array,
): RateLimiter {
  if (rate === undefined) return () => 0
  const arrivals = new BigInt64Array(table)
  return (key, nowMs) => {
    const bucket = hashAt(keyHashes(secret, key), 0) % rateBuckets
    for (;;) {
      const found = Atomics.load(arrivals, bucket)
      const next = nextArrival(Number(found) / 1000, nowMs, rate)
      if (next < 0) return -next
      // Starts over if another thread has changed the value in the meantime.
      if (Atomics.compareExchange(arrivals, bucket, found, BigInt(Math.ceil(next * 1000))) === found) return 0
    }
  }
}

/** Clears the counts of a thread that has died. */
export function forgetThread(shared: SharedLimits, thread: number): void {
  const all = new Int32Array(shared.open)
  Atomics.store(all, thread, 0)
  for (const table of [shared.users, shared.addresses]) {
    const counts = new Int32Array(table)
    for (let at = thread; at < counts.length; at += all.length)
      // Writing zeroes would make the kernel allocate pages that are still untouched.
      if (counts[at] !== 0) counts[at] = 0
  }
}
