import { createHash } from 'node:crypto'

const rows = 8

// A cap must not depend on how evenly sockets are spread over the threads, even if there are few.
const minBuckets = 4096
const bucketsPerSocket = 6

// More than a process can hold.
const maxSockets = 1_000_000

/** The bytes that a tally needs. @param total the cap on open sockets, 0 for none */
export function tallyBytes(threads: number, total: number): number {
  const sockets = Math.min(total || maxSockets, maxSockets)
  const buckets = Math.max(minBuckets, Math.ceil((bucketsPerSocket * sockets) / threads))
  return rows * buckets * threads * 4
}

/** Returns eight independent 32-bit hashes of a key, to be read by {@link hashAt}. */
export const keyHashes = (secret: Uint8Array, key: string): Buffer =>
  createHash('sha256').update(secret).update(key).digest()

export const hashAt = (hashes: Buffer, index: number): number => hashes.readUInt32LE(4 * index)

/** Which thread a tally counts for, of how many, and the secret that keys are hashed with. */
export interface TallyPlace {
  readonly thread: number
  readonly threads: number
  readonly secret: Uint8Array
}

/**
 * Counts by key what all threads have open: one count-min sketch per thread. A key has one bucket
 * in each row, and a bucket has one 32-bit word per thread, which only that thread writes. A thread
 * has at most the least of its words open for a key, and all threads together have at most the sum
 * of these: a key is never undercounted.
 *
 * A key is overcounted if it shares all its buckets of one thread with other keys. Suppose that as
 * many sockets are open as the total allows (a million without one), spread evenly over T threads,
 * and each has a key of its own. Then a newcomer is affected with probability T × (1 − e^(−1/6))^8:
 * with a cap of 1, one in 1,600,000 is refused wrongly with 2 threads, one in 50,000 with 64, and
 * fewer with larger caps. If one of 2 threads had all the sockets, it would be one in 24,000. The
 * price is 192 bytes for each socket that the total allows, whatever the number of threads, and at
 * least 128 KiB per thread.
 */
export class SharedTally {
  #limit: number
  readonly #counts: Int32Array
  readonly #place: TallyPlace
  readonly #bucketsPerRow: number

  constructor(limit: number, table: SharedArrayBuffer, place: TallyPlace) {
    this.#limit = limit
    this.#counts = new Int32Array(table)
    this.#place = place
    this.#bucketsPerRow = this.#counts.length / (rows * place.threads)
  }

  /** @param limit 0 = none, but it goes on counting */
  setLimit(limit: number): void {
    this.#limit = limit
  }

  /**
   * Counts one more of a key, unless that would exceed the limit. Returns whether it was counted.
   */
  enter(key: string): boolean {
    const buckets = this.#bucketsOf(key)
    this.#add(buckets, 1)
    if (this.#limit === 0 || this.#countOf(buckets) <= this.#limit) return true
    this.#add(buckets, -1)
    return false
  }

  leave(key: string): void {
    this.#add(this.#bucketsOf(key), -1)
  }

  /** The first word of the key's bucket in each row. */
  #bucketsOf(key: string): readonly number[] {
    const { secret, threads } = this.#place
    const hashes = keyHashes(secret, key)
    return Array.from({ length: rows }, (_, row) => {
      const bucket = hashAt(hashes, row) % this.#bucketsPerRow
      return (row * this.#bucketsPerRow + bucket) * threads
    })
  }

  #add(buckets: readonly number[], change: 1 | -1): void {
    for (const bucket of buckets) Atomics.add(this.#counts, bucket + this.#place.thread, change)
  }

  /** How many all threads have open, or more. */
  #countOf(buckets: readonly number[]): number {
    let sum = 0
    for (let thread = 0; thread < this.#place.threads; thread++) {
      let least = Number.POSITIVE_INFINITY
      for (const bucket of buckets) least = Math.min(least, Atomics.load(this.#counts, bucket + thread))
      sum += least
    }
    return sum
  }
}
