import { randomBytes } from 'node:crypto'
import type { Rate } from '../config/value-types.js'
import { Buckets, bucketBytes } from './buckets.js'
import type { ConnectionLimits } from './caps.js'
import { createLoginLimitsMemory, type LoginLimitsMemory } from './login-limits.js'
import type { LimiterUsage, RateLimiter } from './rate.js'
import { hashAt, keyHashes, tallyBytes } from './shared-tally.js'

/**
 * The memory of limits that hold over all threads of one process: fixed in size, and lock-free.
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

/** Allocates the memory. */
export function createSharedLimits(threads: number, limits: ConnectionLimits): SharedLimits {
  const counts = (limit: number): SharedArrayBuffer =>
    new SharedArrayBuffer(limit === 0 ? 0 : tallyBytes(threads, limits.total))
  return {
    secret: randomBytes(32),
    logins: createLoginLimitsMemory(),
    tickets: new SharedArrayBuffer(bucketBytes),
    open: new SharedArrayBuffer(threads * 4),
    users: counts(limits.perUser),
    addresses: counts(limits.perAddress),
  }
}

/** Limits the rate of each key over all threads. */
export class SharedRate implements RateLimiter {
  readonly #buckets: Buckets
  readonly #secret: Uint8Array

  /** @param rate undefined = no limit */
  constructor(rate: Rate | undefined, { tickets, secret }: Pick<SharedLimits, 'tickets' | 'secret'>) {
    this.#buckets = new Buckets(rate, tickets)
    this.#secret = secret
  }

  setRate(rate: Rate | undefined): void {
    this.#buckets.setRate(rate)
  }

  take(key: string, nowMs: number): number {
    return this.#buckets.take(hashAt(keyHashes(this.#secret, key), 0), nowMs)
  }

  usage(nowMs: number): LimiterUsage | undefined {
    return this.#buckets.usage(nowMs)
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
