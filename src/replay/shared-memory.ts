/** The memory of a `shared` replay cache: a plain object that can be sent to a thread. */
export interface SharedReplayMemory {
  readonly buffer: SharedArrayBuffer
  /** How many of the tickets that expire in one period are remembered. */
  readonly capacity: number
  /**
   * The longest time that a ticket can be valid here, and the length of a period, in milliseconds.
   */
  readonly maxTtlMs: number
  /** Where the periods are counted from, Unix milliseconds. */
  readonly baseMs: number
}

export interface SharedReplayOptions {
  /** How many of the tickets issued within any `maxTtlMs` may be spent: rate times lifetime. */
  readonly capacity: number
  /**
   * The longest time that a ticket can be valid here, including the clock skew, in milliseconds; at
   * least 1000. A ticket that expires later is refused as `unavailable`. A ticket with a shorter
   * lifetime takes room as long as one with the longest.
   */
  readonly maxTtlMs: number
  readonly nowMs: number
}

/**
 * Every ticket that is valid in a period expires in it or in the next one, so two tables are
 * enough.
 */
export const tables = 2

// At most two thirds of the cells are taken: linear probing then visits two cells on average, five
// in a full table.
const cellsPerTicket = 1.5
const maxCapacity = 1e9

// The layout, in words of 64 bits. Every thread writes the counts, so each has a cache line of its
// own.
const cacheLine = 8
export const highWaterAt = 0
export const countAt = (table: number): number => cacheLine * (1 + table)
const cellsAt = cacheLine * (1 + tables)

/** The number of cells in a table. */
export const cellsOf = (capacity: number): number => Math.ceil(capacity * cellsPerTicket)

/** Where the cells of a table begin. */
export const firstCellAt = (table: number, capacity: number): number => cellsAt + table * cellsOf(capacity)

/**
 * Memory for a `shared` replay cache: 24 bytes per ticket of capacity, and never more.
 * @throws TypeError for a `capacity` outside 1..10^9, a `maxTtlMs` below a second, an
 *   invalid `nowMs`
 */
export function createSharedReplayMemory(options: SharedReplayOptions): SharedReplayMemory {
  const { capacity, maxTtlMs, nowMs } = options
  if (!Number.isInteger(capacity) || capacity < 1 || capacity > maxCapacity)
    throw new TypeError(`capacity must be an integer from 1 to ${maxCapacity}`)
  // The numbers of periods of a second last for four years; of ten seconds, for forty.
  if (!Number.isFinite(maxTtlMs) || maxTtlMs < 1000) throw new TypeError('maxTtlMs must be 1000 or more')
  if (!Number.isFinite(nowMs)) throw new TypeError('nowMs must be Unix milliseconds')
  const buffer = new SharedArrayBuffer(firstCellAt(tables, capacity) * BigUint64Array.BYTES_PER_ELEMENT)
  return { buffer, capacity, maxTtlMs, baseMs: nowMs }
}

// One pair of 32-bit halves over one word: three times faster than shifting bigints.
const halves = new Uint32Array(2)
const whole = new BigUint64Array(halves.buffer)
whole[0] = 1n
const lower = halves[0] === 1 ? 0 : 1
const upper = 1 - lower

/** A word of two halves of 32 bits. */
export function wordOf(upperPart: number, lowerPart: number): bigint {
  halves[upper] = upperPart
  halves[lower] = lowerPart
  return whole[0] ?? 0n
}

/** The upper 32 bits of a word. */
export function upperHalf(word: bigint): number {
  whole[0] = word
  return halves[upper] ?? 0
}

/** The lower 32 bits of a word. */
export function lowerHalf(word: bigint): number {
  whole[0] = word
  return halves[lower] ?? 0
}
