import { type TicketClaims, unpackClaims } from './claims.js'
import {
  fromText,
  headerBytes,
  isNodeName,
  macBytes,
  maxTtlSeconds,
  minTtlSeconds,
  nodeOf,
  readHeader,
  readNonce,
  version,
} from './codec.js'
import { bootKeyId, type KeyRing, macHolds } from './key-ring.js'

/** A ticket whose MAC held and whose time has not run out. It is not spent: only the replay cache does that. */
export interface VerifiedTicket {
  /** The key it was minted under: 0 = the gate's own. */
  readonly keyId: number
  /** 16 one-byte characters. */
  readonly nonce: string
  /** Refused at and after this instant, Unix milliseconds. */
  readonly expiresAtMs: number
  /**
   * When the authority behind it was given, Unix seconds: that of its token or, where it names none, its own issue by
   * the latest clock that its minter may have.
   */
  readonly authorizedAtSeconds: number
  readonly claims: TicketClaims
}

export type TicketRefusal =
  | 'ticket_invalid'
  | 'ticket_expired'
  | 'wrong_node'
  | 'ticket_predates_gate'
  | 'replay_cache_unavailable'

/**
 * What a gate demands of tickets beyond their MAC. The last three are for tickets of outside minters (configured
 * keys), which may be older than the gate's memory of what was spent; the gate's own die with its boot key.
 */
export interface TicketPolicy {
  /** The gate's name, '' for none. A ticket is good for one gate. */
  readonly node: string
  /** How far the clock of a minter may be off, either way. */
  readonly skewMs: number
  /** The least `issuedAt` at which a ticket can not have been spent in a life of the gate before this one. */
  readonly earliestOutsideMs: number
  /** Until when the gate may spend outside tickets: it has promised, on disk, not to be born again before that. */
  readonly outsideUntilMs: number
  /** Whether what was spent is kept in a store that others share. Then a ticket says in which life of it, else never. */
  readonly store?: boolean
}

/** For gates that know no outside minters. */
export const ownTicketsOnly: TicketPolicy = {
  node: '',
  skewMs: 0,
  earliestOutsideMs: Number.POSITIVE_INFINITY,
  outsideUntilMs: 0,
}

/**
 * Checks everything a ticket says by itself: form, node, MAC, time. A pure function of text, keys, clock and policy.
 * The MAC is compared in constant time, before anything it protects is decoded.
 */
export function verifyTicket(
  text: string,
  ring: KeyRing,
  nowMs: number,
  policy: TicketPolicy,
): VerifiedTicket | TicketRefusal {
  const node = nodeOf(text)
  if (node !== policy.node) return isNodeName(node) ? 'wrong_node' : 'ticket_invalid'
  const bytes = fromText(text)
  if (bytes === undefined || bytes[0] !== version) return 'ticket_invalid'
  const key = ring.get(bytes[1] ?? 0)
  if (key === undefined) return 'ticket_invalid'
  const bodyEnd = bytes.length - macBytes
  if (!macHolds(key, bytes, bodyEnd)) return 'ticket_invalid'

  const { issuedAtMs, ttlSeconds } = readHeader(bytes)
  if (ttlSeconds < minTtlSeconds || ttlSeconds > maxTtlSeconds) return 'ticket_invalid'
  const isOutside = key.id !== bootKeyId
  const skewMs = isOutside ? policy.skewMs : 0
  const expiresAtMs = issuedAtMs + ttlSeconds * 1000 + skewMs
  if (nowMs >= expiresAtMs) return 'ticket_expired'
  if (isOutside) {
    if (issuedAtMs > nowMs + skewMs) return 'ticket_invalid'
    if (issuedAtMs < policy.earliestOutsideMs) return 'ticket_predates_gate'
    if (nowMs >= policy.outsideUntilMs) return 'replay_cache_unavailable'
  }

  const claims = unpackClaims(bytes, headerBytes, bodyEnd)
  if (claims === undefined) return 'ticket_invalid'
  if ((claims.epoch !== undefined) !== (policy.store ?? false)) return 'ticket_invalid'
  if (nowMs >= claims.sessionEndsAtSeconds * 1000) return 'ticket_expired'
  const authorizedAtSeconds = claims.tokenIssuedAtSeconds ?? Math.floor((issuedAtMs - skewMs) / 1000)
  return { keyId: key.id, nonce: readNonce(bytes), expiresAtMs, authorizedAtSeconds, claims }
}

/** How long a ticket of an outside minter can be good at a gate, at most: minters choose lifetimes within the format. */
export const longestTicketSeconds = (clockSkewSeconds: number): number => maxTtlSeconds + 2 * clockSkewSeconds
