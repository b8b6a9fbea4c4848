import type { SharedReplayMemory } from '../../src/replay/shared.js'

/**
 * The state shared by all threads of a torture run. It survives every kill and restart of a gate.
 */
export interface Arena {
  /** The latest tickets, as texts: a ring that all threads write to and present from. */
  readonly slots: Uint8Array
  /**
   * One bit for each ticket number, set by the thread that sees it accepted. A thread that finds it
   * set has seen the ticket accepted twice.
   */
  readonly accepted: Int32Array
  /** How many ticket numbers there are. */
  readonly tickets: number
  /** Signed 32-bit words, see `word`. */
  readonly words: Int32Array
  /** How often each of `outcomes` was seen. */
  readonly counts: BigInt64Array
  /** The disk: until when each gate may accept outside minters' tickets, Unix milliseconds. */
  readonly marks: BigInt64Array
}

export const word = { nextTicket: 0, doubles: 1, firstDouble: 2, stop: 3 } as const

export const outcomes = [
  'accepted',
  'replayed',
  'full',
  'unavailable',
  'ticket_invalid',
  'ticket_expired',
  'wrong_node',
  'ticket_predates_gate',
  'replay_cache_unavailable',
] as const

export type Outcome = (typeof outcomes)[number]

export const slotBytes = 256
export const slotCount = 2048

/** Roughly how often each ticket is presented. */
const presentationsPerTicket = 10

/** The start of virtual time, which advances by a millisecond with each ticket minted. */
export const baseMs = 1_764_000_000_123

export const skewMs = 300
export const longestTtlSeconds = 3
export const maxTtlMs = longestTtlSeconds * 1000 + 2 * skewMs

/** Fewer than are spent in a period, so that the caches are sometimes full. */
export const capacity = 1500

/** One life of the gate that all threads share. A restart begins another. */
export interface Life {
  readonly bootSecret: Uint8Array
  readonly replay: SharedReplayMemory
  readonly bornAtMs: number
  /** The error of its system clock. */
  readonly clockOffsetMs: number
}

export interface HammerStart {
  readonly arena: Arena
  readonly life: Life
  readonly thread: number
  readonly threads: number
  readonly seed: number
  readonly outsideSecret: Uint8Array
}

export const sharedNode = 'shared'
export const memoryNode = (thread: number): string => `memory-${thread}`

export function createArena(presentations: number, threads: number): Arena {
  const tickets = Math.ceil(presentations / presentationsPerTicket) + slotCount
  const shared = (bytes: number) => new SharedArrayBuffer(bytes)
  return {
    slots: new Uint8Array(shared(slotBytes * slotCount)),
    accepted: new Int32Array(shared(4 * Math.ceil(tickets / 32))),
    tickets,
    words: new Int32Array(shared(4 * 16)),
    counts: new BigInt64Array(shared(8 * outcomes.length)),
    marks: new BigInt64Array(shared(8 * (1 + threads))),
  }
}

/** xorshift32: a function that returns random integers below a limit. */
export function createRandom(seed: number): (limit: number) => number {
  let state = seed | 1
  return limit => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % limit
  }
}

const leaseMs = 500

/**
 * As in src/disk/clock-mark.ts: a gate is born no earlier than the mark left by its last life.
 */
export function recordBirth(marks: BigInt64Array, gate: number, nowMs: number): number {
  const bornAtMs = Math.max(Math.ceil(nowMs), Number(Atomics.load(marks, gate)))
  renew(marks, gate, nowMs)
  return bornAtMs
}

/** Moves the mark ahead of the clock. It never moves back. */
export function renew(marks: BigInt64Array, gate: number, nowMs: number): void {
  for (let found = Atomics.load(marks, gate); Number(found) < nowMs + leaseMs / 2; ) {
    const before = Atomics.compareExchange(marks, gate, found, BigInt(Math.ceil(nowMs) + leaseMs))
    if (before === found) return
    found = before
  }
}
