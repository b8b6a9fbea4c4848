import type { RefusalCode } from '../errors.js'

/**
 * fresh:       never seen before, and now spent; the caller may let the ticket in
 * replayed:    seen before, or too late to tell
 * full:        no room to remember one more; a live nonce is never evicted to make some
 * unavailable: the memory of what was spent can not be asked now
 */
export type ClaimResult = 'fresh' | 'replayed' | 'full' | 'unavailable'

/**
 * Remembers which nonces were spent.
 *
 * An implementation MUST answer `fresh` at most once for one nonce, over all threads and nodes that share it, and
 * never at or after `expiresAtMs`. It MUST remember a nonce until then. It MUST NOT throw for a full or lost store,
 * nor evict a live nonce. It MAY answer `full` or `unavailable` at any time: a ticket so refused is not spent.
 */
export interface ReplayCache {
  /** Claims a nonce (16 one-byte characters) until it expires. Times are Unix milliseconds of the one clock. */
  claim(nonce: string, expiresAtMs: number, nowMs: number): ClaimResult
  /** Whether a nonce was claimed, as far as is remembered at `nowMs`. Claims nothing. */
  has(nonce: string, expiresAtMs: number, nowMs: number): boolean
  /** How long until there is room again in a full cache, as far as can be told, in milliseconds. */
  roomInMs(nowMs: number): number
  /** Nonces remembered now, expired ones that were not yet swept out included. */
  readonly size: number
  readonly capacity: number
  /** The largest `size` so far. */
  readonly highWater: number
}

/** What a shared store may also answer: the ticket is of another life of it, in which it may have been spent. */
export type ClaimOutcome = ClaimResult | 'predates'

/** What a ticket is refused with, by the outcome of its claim. */
export const claimRefusals = {
  fresh: undefined,
  replayed: 'ticket_used',
  full: 'replay_cache_full',
  unavailable: 'replay_cache_unavailable',
  predates: 'ticket_predates_gate',
} as const satisfies Record<ClaimOutcome, RefusalCode | undefined>

/**
 * A replay cache that may be a store elsewhere, and so answer later, and that may begin anew while gates live on. Then
 * a claim names the epoch in the ticket, and MUST be refused as `predates` unless it is that of the store. It names the key
 * of the ticket, too: tickets under different keys need not be remembered together.
 */
export interface StoreReplayCache extends Omit<ReplayCache, 'claim' | 'has'> {
  claim(
    nonce: string,
    expiresAtMs: number,
    nowMs: number,
    epoch: Uint8Array | undefined,
    keyId: number,
  ): ClaimOutcome | Promise<ClaimOutcome>
  /** Also true for a nonce of another epoch, which can not be claimed any more; undefined when it can not be told. */
  has(
    nonce: string,
    expiresAtMs: number,
    nowMs: number,
    epoch: Uint8Array | undefined,
    keyId: number,
  ): boolean | undefined | Promise<boolean | undefined>
}
