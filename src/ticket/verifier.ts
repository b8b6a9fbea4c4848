// ticket/: the ticket itself: its bytes, keys, issuing and verifying. Pure: no I/O, no HTTP; time is an argument.

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
import { recall } from './recent-claims.js'

/**
 * A ticket with a valid MAC that has not expired. It is not spent yet: the replay cache does that.
 */
export interface VerifiedTicket {
  /** The id of the key that signed it: 0 = the gate's own. */
  readonly keyId: number
  /** 16 one-byte characters. */
  readonly nonce: string
  /** Refused at and after this instant, Unix milliseconds. */
  readonly expiresAtMs: number
  /**
   * When its authority was granted, Unix seconds: when its token was issued or, if it does not
   * say, when the ticket was. For an outside ticket, the earlier of the two, less the skew, because
   * the clock of its minter may be ahead; with a shared store, the date of its token as it is.
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
 * What a gate requires of tickets besides their MAC. The last three members are for tickets of
 * outside minters (configured keys), which may be older than the gate's memory of spent tickets;
 * its own tickets die with its boot key.
 */
export interface TicketPolicy {
  /** The gate's name, '' for none. A ticket is valid at one gate. */
  readonly node: string
  /** How far the clock of a minter may be off, in either direction. */
  readonly skewMs: number
  /**
   * The least `issuedAt` of a ticket that an earlier life of the gate cannot have spent, Unix
   * milliseconds.
   */
  readonly earliestOutsideMs: number
  /**
   * Until when the gate may spend outside tickets: no later life of it begins before that, Unix
   * milliseconds.
   */
  readonly outsideUntilMs: number
  /**
   * Whether spent tickets are kept in a shared store. Then a ticket must carry an epoch, otherwise
   * it must not.
   */
  readonly store?: boolean
}

/** For gates without outside minters. */
export const ownTicketsOnly: TicketPolicy = {
  node: '',
  skewMs: 0,
  earliestOutsideMs: Number.POSITIVE_INFINITY,
  outsideUntilMs: 0,
}

/**
 * Checks a ticket by itself: form, node, MAC, time. A pure function of text, keys, time and policy.
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

  const claims = readClaims(bytes, bodyEnd, isOutside)
  if (claims === undefined) return 'ticket_invalid'
  if ((claims.epoch !== undefined) !== (policy.store ?? false)) return 'ticket_invalid'
  if (nowMs >= claims.sessionEndsAtSeconds * 1000) return 'ticket_expired'
  const authorizedAtSeconds = isOutside
    ? outsideDate(claims, issuedAtMs, policy)
    : (claims.tokenIssuedAtSeconds ?? Math.floor(issuedAtMs / 1000))
  return { keyId: key.id, nonce: readNonce(bytes), expiresAtMs, authorizedAtSeconds, claims }
}

/**
 * When the authority of an outside ticket was granted. A token is older than its tickets: with any
 * later date, a ticket would escape revocations.
 */
function outsideDate(
  { tokenIssuedAtSeconds = Number.POSITIVE_INFINITY }: TicketClaims,
  issuedAtMs: number,
  { skewMs, store = false }: TicketPolicy,
): number {
  const tokenMs = tokenIssuedAtSeconds * 1000
  // The tickets of nodes that share a store come this way too, and a revocation allows for the
  // clocks of nodes.
  if (store && tokenMs <= issuedAtMs + skewMs) return tokenIssuedAtSeconds
  return Math.floor((Math.min(tokenMs, issuedAtMs) - skewMs) / 1000)
}

/** Only a gate's own tickets are remembered. */
const readClaims = (bytes: Buffer, bodyEnd: number, isOutside: boolean): TicketClaims | undefined =>
  (isOutside ? undefined : recall(bytes, headerBytes, bodyEnd)) ?? unpackClaims(bytes, headerBytes, bodyEnd)

/** The longest time that a gate may accept a ticket of an outside minter, in seconds. */
export const longestTicketSeconds = (clockSkewSeconds: number): number => maxTtlSeconds + 2 * clockSkewSeconds
