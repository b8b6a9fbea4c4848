import type { TicketClaims } from './claims.js'

const slots = 4096
/** Longer claims are not kept: they are rare. */
const slotBytes = 128

/**
 * The packed claims of the latest tickets of this thread, by their hash, and what they say. A
 * ticket is presented soon after it was issued, and reading its claims again would take as long as
 * checking its MAC.
 */
const kept = Buffer.alloc(slots * slotBytes)
const sizes = new Uint8Array(slots)
const said: (TicketClaims | undefined)[] = Array.from({ length: slots }, () => undefined)
const issuedFor: (object | undefined)[] = Array.from({ length: slots }, () => undefined)

/**
 * Remembers the claims of an issued ticket. They must be as `unpackClaims` returns them, and never
 * change.
 * @param token what the claims were made from
 * @returns whether a recent ticket had the same claims, made from the same object
 */
export function remember(
  bytes: Buffer,
  from: number,
  end: number,
  claims: TicketClaims,
  token: object,
): boolean {
  const size = end - from
  if (size > slotBytes) return false
  const slot = slotOf(bytes, from, end)
  const isSameToken = issuedFor[slot] === token
  issuedFor[slot] = token
  if (holds(slot, bytes, from, size)) return isSameToken
  for (let at = 0; at < size; at++) kept[slot * slotBytes + at] = bytes[from + at] as number
  sizes[slot] = size
  said[slot] = claims
  return false
}

/** Returns the claims in `bytes` from `from` to `end` if a recent ticket had the same. */
export function recall(bytes: Buffer, from: number, end: number): TicketClaims | undefined {
  const slot = slotOf(bytes, from, end)
  return holds(slot, bytes, from, end - from) ? said[slot] : undefined
}

function holds(slot: number, bytes: Buffer, from: number, size: number): boolean {
  if (sizes[slot] !== size) return false
  for (let at = 0; at < size; at++) if (kept[slot * slotBytes + at] !== bytes[from + at]) return false
  return true
}

/** From FNV-1a, 32 bits. Equal slots prove nothing. */
function slotOf(bytes: Buffer, from: number, end: number): number {
  let hash = 0x811c9dc5
  for (let at = from; at < end; at++) hash = Math.imul(hash ^ (bytes[at] as number), 0x01000193)
  // Its low bits depend on the low bits of the bytes alone.
  return (hash ^ (hash >>> 16)) & (slots - 1)
}
