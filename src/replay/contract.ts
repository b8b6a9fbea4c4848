// replay/: which nonces are spent. No HTTP, no uWebSockets.js, no network; time is an argument.

import type { RefusalCode } from '../errors.js'

/**
 * fresh:       never seen before, and now spent; the caller may let the ticket in
 * replayed:    seen before, or too late to tell
 * full:        no room to remember one more; a live nonce is never evicted to make some
 * unavailable: the memory of spent nonces cannot be asked now
 */
export type SpendOutcome = 'fresh' | 'replayed' | 'full' | 'unavailable'

/**
 * Remembers which nonces were spent.
 *
 * An implementation MUST return `fresh` at most once for a nonce, over all threads and nodes that
 * share it, and never at or after `expiresAtMs`. It MUST remember a nonce until then. It MUST NOT
 * throw for a full or lost store, nor evict a live nonce. It MAY return `full` or `unavailable` at
 * any time: a ticket refused in this way is not spent.
 */
export interface ReplayCache {
  /**
   * Spends a nonce (16 one-byte characters) until it expires. Times are Unix milliseconds of the
   * one clock.
   */
  spend(nonce: string, expiresAtMs: number, nowMs: number): SpendOutcome
  /** Whether a nonce was spent, as far as remembered at `nowMs`. Spends nothing. */
  has(nonce: string, expiresAtMs: number, nowMs: number): boolean
  /**
   * How long until a cache that has just refused a nonce as `full` has room again, estimated, in
   * milliseconds.
   */
  roomInMs(nowMs: number): number
  /** Nonces remembered now, including expired ones that have not been swept yet. */
  readonly size: number
  readonly capacity: number
  /** The largest `size` so far. */
  readonly highWater: number
}

/**
 * A shared store may also return `predates`: the ticket is of an earlier epoch, in which it may
 * have been spent.
 */
export type StoreOutcome = SpendOutcome | 'predates'

/** The refusal of a ticket, by the outcome of spending its nonce. */
export const outcomeRefusals = {
  fresh: undefined,
  replayed: 'ticket_used',
  full: 'replay_cache_full',
  unavailable: 'replay_cache_unavailable',
  predates: 'ticket_predates_gate',
} as const satisfies Record<StoreOutcome, RefusalCode | undefined>

/**
 * A replay cache that may be a store elsewhere. Then it may reply later, and it may start over
 * while gates live on, with another epoch: a call carries the epoch of its ticket, and MUST be
 * refused as `predates` unless that is the epoch of the store. A call also carries the key id of its
 * ticket: tickets under different keys need not be remembered together.
 */
export interface StoreReplayCache extends Omit<ReplayCache, 'spend' | 'has'> {
  spend(
    nonce: string,
    expiresAtMs: number,
    nowMs: number,
    epoch: Uint8Array | undefined,
    keyId: number,
  ): StoreOutcome | Promise<StoreOutcome>
  /**
   * Also true for a nonce of another epoch, which cannot be spent any more; undefined if unknown.
   */
  has(
    nonce: string,
    expiresAtMs: number,
    nowMs: number,
    epoch: Uint8Array | undefined,
    keyId: number,
  ): boolean | undefined | Promise<boolean | undefined>
}
