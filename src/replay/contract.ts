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
