import type { Rate } from '../config/value-types.js'
import { isRefusing, isSameRate, type LimiterUsage, nextArrival } from './rate.js'

/** How many buckets a table has. */
const bucketCount = 1 << 20

/** The bytes of a table. The system provides only what is used. */
export const bucketBytes = bucketCount * 8

/**
 * Buckets of a rate by the hash of a key, over all threads of a process, in fixed memory and
 * without locks. See {@link nextArrival}. Keys that share a bucket fill it early, never late.
 */
export class Buckets {
  /** Theoretical arrival times, Unix microseconds. */
  readonly #arrivals: BigInt64Array
  #rate: Rate | undefined

  /** @param rate undefined = no limit */
  constructor(rate: Rate | undefined, memory: SharedArrayBuffer) {
    this.#rate = rate
    this.#arrivals = new BigInt64Array(memory)
  }

  /**
   * Sets the rate. If it changes, the counts start over, because they are in units of the old rate.
   */
  setRate(rate: Rate | undefined): void {
    if (isSameRate(rate, this.#rate)) return
    this.#rate = rate
    // Writing zeroes would make the kernel allocate pages that are still untouched.
    for (const [bucket, arrival] of this.#arrivals.entries())
      if (arrival !== 0n) Atomics.store(this.#arrivals, bucket, 0n)
  }

  /** Counts an event unless it must wait. Returns how long, in milliseconds. */
  take(hash: number, nowMs: number): number {
    const rate = this.#rate
    if (rate === undefined) return 0
    return this.#move(hash, arrivalMs => nextArrival(arrivalMs, nowMs, rate))
  }

  /** Returns how long an event would have to wait. */
  wait(hash: number, nowMs: number): number {
    if (this.#rate === undefined) return 0
    const found = Atomics.load(this.#arrivals, hash % bucketCount)
    return Math.max(0, -nextArrival(Number(found) / 1000, nowMs, this.#rate))
  }

  /** Counts an event that has happened already. */
  add(hash: number, nowMs: number): void {
    const rate = this.#rate
    if (rate === undefined) return
    this.#move(hash, arrivalMs => nextArrival(arrivalMs, nowMs, rate, Number.POSITIVE_INFINITY))
  }

  /** Gives back a share of one event. */
  giveBack(hash: number, share: number): void {
    if (this.#rate === undefined) return
    const { count, seconds } = this.#rate
    const us = Math.floor((share * seconds * 1e6) / count)
    Atomics.sub(this.#arrivals, hash % bucketCount, BigInt(us))
  }

  /** How many buckets are in use. Undefined if there is no limit. Takes a millisecond or two. */
  usage(nowMs: number): LimiterUsage | undefined {
    const rate = this.#rate
    if (rate === undefined) return undefined
    // As two halves, because reading a million BigInts takes thirty times as long. If a thread
    // writes in between, one bucket is seen wrongly.
    const halves = new Uint32Array(this.#arrivals.buffer)
    const nowUs = nowMs * 1000
    let tracked = 0
    let refusing = 0
    for (let at = 0; at < halves.length; at += 2) {
      const arrivalUs = (halves[at + 1] ?? 0) * 2 ** 32 + (halves[at] ?? 0)
      if (arrivalUs <= nowUs) continue
      tracked++
      if (isRefusing(arrivalUs / 1000, nowMs, rate)) refusing++
    }
    return { tracked, refusing }
  }

  /**
   * Replaces an arrival time, unless `next` returns a wait, as a negative number. Returns the wait.
   */
  #move(hash: number, next: (arrivalMs: number) => number): number {
    const bucket = hash % bucketCount
    for (;;) {
      const found = Atomics.load(this.#arrivals, bucket)
      const changed = next(Number(found) / 1000)
      if (changed < 0) return -changed
      // Starts over if another thread has changed the value in the meantime.
      const word = BigInt(Math.ceil(changed * 1000))
      if (Atomics.compareExchange(this.#arrivals, bucket, found, word) === found) return 0
    }
  }
}
