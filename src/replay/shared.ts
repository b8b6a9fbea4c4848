import type { ReplayCache, SpendOutcome } from './contract.js'
import { mixOf, restOf } from './nonce-bits.js'
import {
  cellsOf,
  countAt,
  firstCellAt,
  highWaterAt,
  lowerHalf,
  type SharedReplayMemory,
  tables,
  upperHalf,
  wordOf,
} from './shared-memory.js'

export { createSharedReplayMemory, type SharedReplayMemory } from './shared-memory.js'

/** The two operations of `Atomics` in use; a test steps through them. */
export interface SharedAtomics {
  load(words: BigUint64Array, at: number): bigint
  compareExchange(words: BigUint64Array, at: number, expected: bigint, replacement: bigint): bigint
}

export interface SharedReplayCache extends ReplayCache {
  /** The most tickets remembered of those that expire in one period: what `capacity` bounds. */
  readonly size: number
  /**
   * Drops expired tickets from `size`. `spend` does so too, so this is for the figures in quiet
   * times: nothing else depends on whether, when, or by which thread it is called.
   */
  turnOver(nowMs: number): void
}

// A word is a period number of 27 bits and, below it, a fingerprint of a nonce (37 bits, in a cell)
// or a number of tickets (in a count). The upper half of a word has the period and five bits more.
const stride = 2 ** 5
const lastPeriod = 2 ** 27 - 1

/**
 * The replay cache of the threads of one process. Lock-free, and exact whatever the clocks of the
 * threads say and however long a thread sleeps. For the proof, see EXACTNESS.md.
 *
 * The expiry of a ticket decides its period, each `maxTtlMs` long, and so its table: periods use
 * the two tables in turn. A search treats a word of an earlier period as empty, so nothing is ever
 * cleared; a word of a later period means that the ticket comes too late. So a cell moves from
 * period to period, never back, and holds one nonce in each.
 *
 * @param memory created once, by `createSharedReplayMemory`, and sent to every thread
 */
export const openSharedReplayCache = (
  memory: SharedReplayMemory,
  atomics: SharedAtomics = Atomics,
): SharedReplayCache => new Tables(memory, atomics)

class Tables implements SharedReplayCache {
  readonly capacity: number
  readonly #maxTtlMs: number
  readonly #baseMs: number
  readonly #atomics: SharedAtomics
  readonly #words: BigUint64Array
  /** How many cells a table has, and where those of each begin. */
  readonly #cells: number
  readonly #firstCells: readonly number[]
  #latestMs = Number.NEGATIVE_INFINITY

  constructor({ buffer, capacity, maxTtlMs, baseMs }: SharedReplayMemory, atomics: SharedAtomics) {
    this.capacity = capacity
    this.#maxTtlMs = maxTtlMs
    this.#baseMs = baseMs
    this.#atomics = atomics
    this.#words = new BigUint64Array(buffer)
    this.#cells = cellsOf(capacity)
    this.#firstCells = Array.from({ length: tables }, (_, table) => firstCellAt(table, capacity))
  }

  spend(nonce: string, expiresAtMs: number, nowMs: number): SpendOutcome {
    if (nowMs > this.#latestMs) this.#latestMs = nowMs
    const period = this.#periodOf(expiresAtMs)
    if (this.#latestMs >= expiresAtMs || period < tables) return 'replayed'
    if (!(expiresAtMs - this.#latestMs <= this.#maxTtlMs) || period > lastPeriod) return 'unavailable'

    const atomics = this.#atomics
    const words = this.#words
    const cells = this.#cells
    const table = period % tables
    const first = this.#firstCells[table] ?? 0
    const floor = period * stride
    // Its lowest five bits are kept in the word, the others in the place.
    const mixed = mixOf(nonce)
    const mineUpper = floor + (mixed % stride)
    const mine = wordOf(mineUpper, restOf(nonce))
    let cell = this.#firstCellOf(mixed)

    for (let probed = 0; probed < cells; probed++) {
      const at = first + cell
      let seen = atomics.load(words, at)
      let upper = upperHalf(seen)
      // Not `if`: a thread that slept since an earlier period may write a word of that period
      // meanwhile, and this is still the cell in which all searches for this nonce must meet.
      while (upper < floor) {
        const counted = atomics.load(words, countAt(table))
        if (upperHalf(counted) > floor) return 'replayed'
        if (numberIn(counted, floor) >= this.capacity) return 'full'
        const before = atomics.compareExchange(words, at, seen, mine)
        if (before === seen) {
          this.#count(countAt(table), floor, counted, 1)
          return 'fresh'
        }
        seen = before
        upper = upperHalf(seen)
      }
      if (upper >= floor + stride || (upper === mineUpper && seen === mine)) return 'replayed'
      cell = cell + 1 === cells ? 0 : cell + 1
    }
    return 'full'
  }

  has(nonce: string, expiresAtMs: number): boolean {
    const period = this.#periodOf(expiresAtMs)
    const first = this.#firstCells[period % tables] ?? 0
    const floor = period * stride
    const mixed = mixOf(nonce)
    const wanted = wordOf(floor + (mixed % stride), restOf(nonce))
    const start = this.#firstCellOf(mixed)
    for (let step = 0; step < this.#cells; step++) {
      const seen = this.#atomics.load(this.#words, first + ((start + step) % this.#cells))
      if (upperHalf(seen) < floor) return false
      if (seen === wanted) return true
    }
    return false
  }

  turnOver(nowMs: number): void {
    const now = this.#periodOf(nowMs)
    for (const period of [now, now + 1]) {
      if (period < tables || period > lastPeriod) continue
      const at = countAt(period % tables)
      const counted = this.#atomics.load(this.#words, at)
      if (upperHalf(counted) < period * stride) this.#count(at, period * stride, counted, 0)
    }
  }

  roomInMs(nowMs: number): number {
    // A ticket with the longest lifetime, issued now, expires in the next period.
    const next = this.#periodOf(nowMs) + 1
    const counted = this.#atomics.load(this.#words, countAt(next % tables))
    const isFull = numberIn(counted, next * stride) >= this.capacity
    return isFull ? this.#baseMs + (next - tables) * this.#maxTtlMs - nowMs : 0
  }

  get size(): number {
    return Math.max(this.#countIn(0), this.#countIn(1))
  }

  get highWater(): number {
    return Math.max(Number(this.#atomics.load(this.#words, highWaterAt)), this.size)
  }

  // Words never written are of period 0, so the first one in use is the next with the same table.
  #periodOf(ms: number): number {
    return Math.floor((ms - this.#baseMs) / this.#maxTtlMs) + tables
  }

  /** The cell in its table where the search for a nonce begins. */
  #firstCellOf(mixed: number): number {
    return Math.floor((mixed / 2 ** 32) * this.#cells)
  }

  #countIn(table: number): number {
    return lowerHalf(this.#atomics.load(this.#words, countAt(table)))
  }

  /** Adds `added` to the count of a period, unless its table has moved on to a later one. */
  #count(at: number, floor: number, seen: bigint, added: number): void {
    for (let word = seen; upperHalf(word) <= floor; ) {
      if (upperHalf(word) < floor) this.#keepHighWater(lowerHalf(word))
      const next = wordOf(floor, numberIn(word, floor) + added)
      const before = this.#atomics.compareExchange(this.#words, at, word, next)
      if (before === word) return
      word = before
    }
  }

  #keepHighWater(tickets: number): void {
    for (let mark = this.#atomics.load(this.#words, highWaterAt); Number(mark) < tickets; ) {
      const before = this.#atomics.compareExchange(this.#words, highWaterAt, mark, BigInt(tickets))
      if (before === mark) return
      mark = before
    }
  }
}

/**
 * Tickets counted in a word of the period that begins at the upper half `floor`, or of an earlier
 * one.
 */
const numberIn = (word: bigint, floor: number): number => (upperHalf(word) < floor ? 0 : lowerHalf(word))
