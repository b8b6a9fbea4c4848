import { maxClaimsBytes, packClaims, type TicketClaims } from './claims.js'
import { headerBytes, macBytes, toText, writeHeader } from './codec.js'
import { type TicketKey, writeMac } from './key-ring.js'
import { writeNonce } from './nonce.js'

export interface IssueOptions {
  readonly key: TicketKey
  /** The node the key signs for, '' for none. */
  readonly node: string
  /** Unix milliseconds; fractions are cut off. */
  readonly nowMs: number
  /** 1 to 3600. */
  readonly ttlSeconds: number
}

/**
 * A fresh ticket, as its text, or undefined when the claims weigh more than a ticket may carry (512 bytes packed).
 */
export function issueTicket(claims: TicketClaims, options: IssueOptions): string | undefined {
  const packed = packClaims(claims)
  if (packed.length > maxClaimsBytes) return undefined
  const bodyBytes = headerBytes + packed.length
  const bytes = Buffer.allocUnsafe(bodyBytes + macBytes)
  writeHeader(bytes, options.key.id, Math.floor(options.nowMs), options.ttlSeconds)
  writeNonce(bytes, 10)
  packed.copy(bytes, headerBytes)
  writeMac(options.key, bytes.subarray(0, bodyBytes), bytes, bodyBytes)
  return toText(options.node, bytes)
}
