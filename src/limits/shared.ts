import { createHash, randomBytes } from 'node:crypto'
import type { Rate } from '../config/value-types.js'
import type { ConnectionCaps, ConnectionLimits } from './caps.js'
import { createLoginLimitsMemory, type LoginLimitsMemory } from './login-limits.js'
import { nextArrival, type RateLimiter } from './rate.js'

/**
 * Limits that hold over all threads of one process, in fixed memory and without locks. Keys are hashed, with a secret
 * so that nobody can choose what shares a bucket. Where two keys do, they are counted together: a limit can be met
 * early that way, never late.
 */
export interface SharedLimits {
  readonly secret: Uint8Array
  readonly logins: LoginLimitsMemory
  /** Theoretical arrival times, Unix microseconds, one 64-bit word a bucket. */
  readonly tickets: SharedArrayBuffer
  /** Open connections, one 32-bit word a thread. */
  readonly open: SharedArrayBuffer
  /** Open connections by user and by address; see {@link openTally}. */
  readonly users: SharedArrayBuffer
  readonly addresses: SharedArrayBuffer
}

const rateBuckets = 1 << 20

/** Rows of a tally. Each takes four bytes of the hash of a key. */
const capRows = 8

/** What a row of a tally has in buckets for every socket that may be open. */
const bucketsPerSocket = 6

/** So few sockets that they may be spread unevenly have room all the same. */
const leastBuckets = 4096

/** More than one process holds. */
const mostSockets = 1_000_000

export function createSharedLimits(threads: number, limits: ConnectionLimits): SharedLimits {
  const sockets = Math.min(limits.total || mostSockets, mostSockets)
  const buckets = Math.max(leastBuckets, Math.ceil((bucketsPerSocket * sockets) / threads))
  const counts = (limit: number): SharedArrayBuffer =>
    new SharedArrayBuffer(limit === 0 ? 0 : capRows * buckets * threads * 4)
  return {
    secret: randomBytes(32),
    logins: createLoginLimitsMemory(),
    tickets: new SharedArrayBuffer(rateBuckets * 8),
    open: new SharedArrayBuffer(threads * 4),
    users: counts(limits.perUser),
    addresses: counts(limits.perAddress),
  }
}

/** Eight independent 32-bit hashes of a key. */
const hashesOf = (secret: Uint8Array, key: string): Buffer =>
  createHash('sha256').update(secret).update(key).digest()

const hashAt = (hashes: Buffer, index: number): number => hashes.readUInt32LE(4 * index)

/** A rate limiter on one of the shared tables. */
export function openSharedRate(
  rate: Rate | undefined,
  table: SharedArrayBuffer,
  secret: Uint8Array,
): RateLimiter {
  if (rate === undefined) return () => 0
  const arrivals = new BigInt64Array(table)
  return (key, nowMs) => {
    const bucket = hashAt(hashesOf(secret, key), 0) % rateBuckets
    for (;;) {
      const found = Atomics.load(arrivals, bucket)
      const next = nextArrival(Number(found) / 1000, nowMs, rate)
      if (next < 0) return -next
      // Another thread may have moved it on meanwhile: then it is looked at anew.
      if (Atomics.compareExchange(arrivals, bucket, found, BigInt(Math.ceil(next * 1000))) === found) return 0
    }
  }
}

/** The connection caps of one thread, which count what all threads have open. */
export function openSharedCaps(
  limits: ConnectionLimits,
  shared: SharedLimits,
  thread: number,
): ConnectionCaps {
  const all = new Int32Array(shared.open)
  const users = openTally(limits.perUser, shared.users, shared.secret, thread, all.length)
  const addresses = openTally(limits.perAddress, shared.addresses, shared.secret, thread, all.length)

  function identify(user: string): boolean {
    // Counted first and looked at then: of two threads at the last place, both may be refused, but never both let in.
    Atomics.add(all, thread, 1)
    const isWithinTotal = (): boolean =>
      limits.total === 0 || all.reduce((sum, _, at) => sum + Atomics.load(all, at), 0) <= limits.total
    if (isWithinTotal() && users.enter(user)) return true
    Atomics.sub(all, thread, 1)
    return false
  }

  return {
    get open() {
      return Atomics.load(all, thread)
    },
    enter(user, address) {
      if (!addresses.enter(address)) return false
      if (identify(user)) return true
      addresses.leave(address)
      return false
    },
    leave(user, address) {
      Atomics.sub(all, thread, 1)
      users.leave(user)
      addresses.leave(address)
    },
    enterUnknown: addresses.enter,
    leaveUnknown: addresses.leave,
    identify,
  }
}

/** Forgets what a thread that has died had open. */
export function forgetThread(shared: SharedLimits, thread: number): void {
  const all = new Int32Array(shared.open)
  Atomics.store(all, thread, 0)
  for (const table of [shared.users, shared.addresses]) {
    const counts = new Int32Array(table)
    for (let at = thread; at < counts.length; at += all.length)
      // To write would take the memory of a page on which there is nothing.
      if (counts[at] !== 0) counts[at] = 0
  }
}

interface Tally {
  enter(key: string): boolean
  leave(key: string): void
}

/**
 * Counts by key what all threads have open (a count-min sketch for each of them). A key has one bucket in each row, and a
 * bucket one 32-bit word for each thread, which only that thread writes. What a thread has of a key is at most the least
 * of its words, so all have at most the sum of these: a key is never counted short.
 *
 * It is counted over where other keys share all its buckets of one thread. With as many sockets open as the total allows
 * (without one, a million), evenly over the threads, and each of another key, that befalls a newcomer with a chance of
 * T × (1 − e^(−1/6))^8 at T threads: at a cap of 1, 1 in 1,600,000 is turned away wrongly with 2 threads, 1 in 50,000
 * with 64; at larger caps fewer still. If one of 2 threads had them all, it would be 1 in 24,000. That takes 192 bytes for
 * each socket that the total allows, whatever the number of threads, and 128 KiB a thread at least.
 */
function openTally(
  limit: number,
  table: SharedArrayBuffer,
  secret: Uint8Array,
  thread: number,
  threads: number,
): Tally {
  if (limit === 0) return { enter: () => true, leave() {} }
  const counts = new Int32Array(table)
  const buckets = counts.length / (capRows * threads)
  const bucketsOf = (key: string): readonly number[] => {
    const hashes = hashesOf(secret, key)
    return Array.from(
      { length: capRows },
      (_, row) => (row * buckets + (hashAt(hashes, row) % buckets)) * threads,
    )
  }
  const add = (places: readonly number[], change: 1 | -1): void => {
    for (const place of places) Atomics.add(counts, place + thread, change)
  }
  const mostOf = (places: readonly number[]): number => {
    let sum = 0
    for (let of = 0; of < threads; of++) {
      let least = Number.POSITIVE_INFINITY
      for (const place of places) least = Math.min(least, Atomics.load(counts, place + of))
      sum += least
    }
    return sum
  }
  return {
    enter(key) {
      const places = bucketsOf(key)
      add(places, 1)
      if (mostOf(places) <= limit) return true
      add(places, -1)
      return false
    },
    leave: key => add(bucketsOf(key), -1),
  }
}
