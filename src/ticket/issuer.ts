import { packClaims, type TicketClaims } from './claims.js'
import { headerBytes, macBytes, maxUnsignedBytes, nonceAt, toText, writeHeader } from './codec.js'
import { type TicketKey, writeMac } from './key-ring.js'
import { writeNonce } from './nonce.js'
import { remember } from './recent-claims.js'

export interface IssueOptions {
  readonly key: TicketKey
  /** The node the key signs for, '' for none. */
  readonly node: string
  /** Unix milliseconds; a fraction is dropped. */
  readonly nowMs: number
  /** 1 to 3600. */
  readonly ttlSeconds: number
}

// One ticket is written at a time and nothing is awaited meanwhile, so one buffer serves them all.
const scratch = Buffer.alloc(maxUnsignedBytes + macBytes)

/** Claims, and their bytes in a ticket. */
export interface PackedClaims {
  readonly claims: TicketClaims
  readonly bytes: Buffer
}

/**
 * Issues a fresh ticket and returns its text, or undefined if the claims take more than 512 bytes
 * packed.
 */
export function issueTicket(claims: TicketClaims, options: IssueOptions): string | undefined {
  const bodyEnd = packClaims(claims, scratch, headerBytes)
  return bodyEnd === undefined ? undefined : sign(bodyEnd, options)
}

/**
 * Likewise, and remembers the claims for when the ticket is presented.
 * @param claims valid, as `unpackClaims` would have them, and never changed
 * @param repeated called if a recent ticket had the same claims: they may be worth keeping packed
 */
export function issueRemembered(
  claims: TicketClaims,
  options: IssueOptions,
  repeated: (packed: PackedClaims) => void,
): string | undefined {
  const bodyEnd = packClaims(claims, scratch, headerBytes)
  if (bodyEnd === undefined) return undefined
  if (remember(scratch, headerBytes, bodyEnd, claims))
    repeated({ claims, bytes: Buffer.from(scratch.subarray(headerBytes, bodyEnd)) })
  return sign(bodyEnd, options)
}

/** Likewise, with claims that are packed. */
export function issuePacked({ claims, bytes }: PackedClaims, options: IssueOptions): string {
  const bodyEnd = headerBytes + bytes.length
  for (let at = 0; at < bytes.length; at++) scratch[headerBytes + at] = bytes[at] as number
  remember(scratch, headerBytes, bodyEnd, claims)
  return sign(bodyEnd, options)
}

function sign(bodyEnd: number, options: IssueOptions): string {
  writeHeader(scratch, options.key.id, Math.floor(options.nowMs), options.ttlSeconds)
  writeNonce(scratch, nonceAt)
  writeMac(options.key, scratch, bodyEnd, scratch, bodyEnd)
  return toText(options.node, scratch, bodyEnd + macBytes)
}
