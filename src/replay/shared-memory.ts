/** The memory of a `shared` replay cache: a plain object that can be sent to a thread. */
export interface SharedReplayMemory {
  readonly buffer: SharedArrayBuffer
  /** How many tickets are remembered of those that expire in one period. */
  readonly capacity: number
  /** The longest time a ticket can be good here, and the length of a period. Milliseconds. */
  readonly maxTtlMs: number
  /** Where the periods are counted from, Unix milliseconds. */
  readonly baseMs: number
}

export interface SharedReplayOptions {
  /** How many tickets may be spent of those minted within any `maxTtlMs`: rate times lifetime. */
  readonly capacity: number
  /**
   * The longest time a ticket can be good here, allowances for clocks included, in milliseconds; 1000 or more. One
   * that expires later is refused as `unavailable`. A shorter-lived ticket takes its room as long as the longest.
   */
  readonly maxTtlMs: number
  readonly nowMs: number
}

/** In a period, the tickets that are good expire in it or in the next; so two tables are enough. */
export const tables = 2

// At most two thirds of the cells are taken: linear probing looks at two cells on average then, at five in a full table.
const cellsPerTicket = 1.5
const maxCapacity = 1e9

// Where things lie, in words of 64 bits. The counts are written by every thread: each has a cache line for itself.
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
 * @throws TypeError for a `capacity` outside 1..10^9, a `maxTtlMs` below a second, a `nowMs` that is no time
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
