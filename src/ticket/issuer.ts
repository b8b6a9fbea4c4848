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

/** Claims, their bytes in a ticket, and the token that they were made from. */
export interface PackedClaims {
  readonly claims: TicketClaims
  readonly token: object
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
 * @param claims valid, as `unpackClaims` returns them, and never changed
 * @param token what the claims were made from
 * @param repeated called if a recent ticket was issued for the same object: its claims may be worth
 *   keeping packed
 */
export function issueRemembered(
  claims: TicketClaims,
  token: object,
  options: IssueOptions,
  repeated: (packed: PackedClaims) => void,
): string | undefined {
  const bodyEnd = packClaims(claims, scratch, headerBytes)
  if (bodyEnd === undefined) return undefined
  if (remember(scratch, headerBytes, bodyEnd, claims, token))
    repeated({ claims, token, bytes: Buffer.from(scratch.subarray(headerBytes, bodyEnd)) })
  return sign(bodyEnd, options)
}

/** Likewise, with claims that are packed. */
export function issuePacked({ claims, token, bytes }: PackedClaims, options: IssueOptions): string {
  const bodyEnd = headerBytes + bytes.length
  for (let at = 0; at < bytes.length; at++) scratch[headerBytes + at] = bytes[at] as number
  remember(scratch, headerBytes, bodyEnd, claims, token)
  return sign(bodyEnd, options)
}

function sign(bodyEnd: number, options: IssueOptions): string {
  writeHeader(scratch, options.key.id, Math.floor(options.nowMs), options.ttlSeconds)
  writeNonce(scratch, nonceAt)
  writeMac(options.key, scratch, bodyEnd, scratch, bodyEnd)
  return toText(options.node, scratch, bodyEnd + macBytes)
}
