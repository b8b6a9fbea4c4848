import { createHash, randomBytes } from 'node:crypto'
import type { ConnectionCaps, ConnectionLimits } from '../ops/caps.js'
import { nextArrival, type Rate, type RateLimiter } from '../ops/rate.js'

/**
 * Limits that hold over all threads of one process, in fixed memory and without locks. Keys are hashed, with a secret
 * so that nobody can choose what shares a bucket. Where two keys do, they are counted together: a limit can be met
 * early that way, never late.
 */
export interface SharedLimits {
  readonly secret: Uint8Array
  /** Theoretical arrival times, Unix microseconds, one 64-bit word a bucket. */
  readonly logins: SharedArrayBuffer
  readonly tickets: SharedArrayBuffer
  /** Open connections, one 32-bit word a thread. */
  readonly open: SharedArrayBuffer
  /** Open connections by user and by address: `capRows` rows a thread, one 32-bit word a bucket. */
  readonly users: SharedArrayBuffer
  readonly addresses: SharedArrayBuffer
}

const rateBuckets = 1 << 20
const capBuckets = 1 << 18
const capRows = 2

export function createSharedLimits(threads: number, limits: ConnectionLimits): SharedLimits {
  const counts = (limit: number): SharedArrayBuffer =>
    new SharedArrayBuffer(limit === 0 ? 0 : threads * capRows * capBuckets * 4)
  return {
    secret: randomBytes(32),
    logins: new SharedArrayBuffer(rateBuckets * 8),
    tickets: new SharedArrayBuffer(rateBuckets * 8),
    open: new SharedArrayBuffer(threads * 4),
    users: counts(limits.perUser),
    addresses: counts(limits.perAddress),
  }
}

/** Two independent 32-bit hashes of a key. */
function hashesOf(secret: Uint8Array, key: string): readonly [number, number] {
  const digest = createHash('sha256').update(secret).update(key).digest()
  return [digest.readUInt32LE(0), digest.readUInt32LE(4)]
}

/** A rate limiter on one of the shared tables. */
export function openSharedRate(
  rate: Rate | undefined,
  table: SharedArrayBuffer,
  secret: Uint8Array,
): RateLimiter {
  if (rate === undefined) return () => 0
  const arrivals = new BigInt64Array(table)
  return (key, nowMs) => {
    const bucket = hashesOf(secret, key)[0] % rateBuckets
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
  return {
    get open() {
      return Atomics.load(all, thread)
    },
    enter(user, address) {
      // Counted first and looked at then: of two threads at the last place, both may be refused, but never both let in.
      Atomics.add(all, thread, 1)
      if (limits.total === 0 || all.reduce((sum, _, at) => sum + Atomics.load(all, at), 0) <= limits.total) {
        if (users.enter(user)) {
          if (addresses.enter(address)) return true
          users.leave(user)
        }
      }
      Atomics.sub(all, thread, 1)
      return false
    },
    leave(user, address) {
      Atomics.sub(all, thread, 1)
      users.leave(user)
      addresses.leave(address)
    },
  }
}

/** Forgets what a thread that has died had open. */
export function forgetThread(shared: SharedLimits, thread: number): void {
  Atomics.store(new Int32Array(shared.open), thread, 0)
  for (const table of [shared.users, shared.addresses]) {
    const counts = new Int32Array(table)
    const share = capRows * capBuckets
    if (counts.length > 0) counts.fill(0, thread * share, (thread + 1) * share)
  }
}

interface Tally {
  enter(key: string): boolean
  leave(key: string): void
}

function openTally(
  limit: number,
  table: SharedArrayBuffer,
  secret: Uint8Array,
  thread: number,
  threads: number,
): Tally {
  if (limit === 0) return { enter: () => true, leave() {} }
  const counts = new Int32Array(table)
  const cell = (of: number, row: number, hash: number): number =>
    (of * capRows + row) * capBuckets + (hash % capBuckets)
  const add = (key: string, change: 1 | -1): readonly number[] => {
    const hashes = hashesOf(secret, key)
    for (const [row, hash] of hashes.entries()) Atomics.add(counts, cell(thread, row, hash), change)
    return hashes
  }
  return {
    enter(key) {
      const sums = add(key, 1).map((hash, row) => {
        let sum = 0
        for (let of = 0; of < threads; of++) sum += Atomics.load(counts, cell(of, row, hash))
        return sum
      })
      if (Math.min(...sums) <= limit) return true
      add(key, -1)
      return false
    },
    leave: key => void add(key, -1),
  }
}
