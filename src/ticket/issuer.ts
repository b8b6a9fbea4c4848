import { packClaims, type TicketClaims } from './claims.js'
import { headerBytes, macBytes, maxUnsignedBytes, nonceAt, toText, writeHeader } from './codec.js'
import { type TicketKey, writeMac } from './key-ring.js'
import { writeNonce } from './nonce.js'

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

/**
 * Issues a fresh ticket and returns its text, or undefined if the claims take more than 512 bytes
 * packed.
 */
export function issueTicket(claims: TicketClaims, options: IssueOptions): string | undefined {
  const bodyEnd = packClaims(claims, scratch, headerBytes)
  if (bodyEnd === undefined) return undefined
  writeHeader(scratch, options.key.id, Math.floor(options.nowMs), options.ttlSeconds)
  writeNonce(scratch, nonceAt)
  writeMac(options.key, scratch, bodyEnd, scratch, bodyEnd)
  return toText(options.node, scratch, bodyEnd + macBytes)
}
