/**
 * The layout of a ticket, byte by byte (FORMAT.md), and its one text. Nothing here knows a key or
 * the time.
 */
import { maxClaimsBytes } from './claims.js'

export const version = 1
export const nonceAt = 10
export const nonceBytes = 16
export const macBytes = 32
export const headerBytes = 26
export const minTtlSeconds = 1
export const maxTtlSeconds = 3600

/** The most bytes of a ticket without its MAC. */
export const maxUnsignedBytes = headerBytes + maxClaimsBytes

const maxEncodedLength = Math.ceil(((maxUnsignedBytes + macBytes) * 4) / 3)
const minBytes = headerBytes + macBytes

const nodePattern = /^[a-z0-9-]{1,32}$/

/** A node name: 1 to 32 of `a-z 0-9 -`. */
export const isNodeName = (name: string): boolean => nodePattern.test(name)

export interface TicketHeader {
  readonly version: number
  readonly keyId: number
  readonly issuedAtMs: number
  readonly ttlSeconds: number
}

/** Writes the first ten bytes; the nonce and the claims follow them. */
export function writeHeader(target: Buffer, keyId: number, issuedAtMs: number, ttlSeconds: number): void {
  target[0] = version
  target[1] = keyId
  target.writeUIntBE(issuedAtMs, 2, 6)
  target.writeUInt16BE(ttlSeconds, 8)
}

export const readHeader = (body: Buffer): TicketHeader => ({
  version: body[0] ?? 0,
  keyId: body[1] ?? 0,
  issuedAtMs: body.readUIntBE(2, 6),
  ttlSeconds: body.readUInt16BE(8),
})

/** The nonce as a string of 16 one-byte characters: a compact map key. */
export const readNonce = (body: Buffer): string => body.toString('latin1', nonceAt, headerBytes)

/**
 * The text of the ticket in the first `length` of `bytes`: the node and a dot, if any, then
 * base64url.
 */
export const toText = (node: string, bytes: Buffer, length = bytes.length): string => {
  const text = bytes.toString('base64url', 0, length)
  return node === '' ? text : `${node}.${text}`
}

/** The node that a ticket text names: '' for none, '.' for an empty name, which no gate has. */
export const nodeOf = (text: string): string => {
  const dot = text.indexOf('.')
  return dot < 0 ? '' : text.slice(0, dot) || '.'
}

// One ticket is decoded at a time and nothing is awaited meanwhile, so one buffer serves them all.
const scratch = Buffer.allocUnsafe(maxUnsignedBytes + macBytes + 3)

/**
 * Decodes the text of a ticket. Returns undefined if the length is impossible, or if the text is
 * not the one canonical text of its bytes. The next call overwrites the result.
 */
export function fromText(text: string): Buffer | undefined {
  const dot = text.indexOf('.')
  const encoded = dot < 0 ? text : text.slice(dot + 1)
  if (encoded.length > maxEncodedLength) return undefined
  const length = scratch.write(encoded, 'base64url')
  if (length < minBytes) return undefined
  // Node's decoder skips unknown characters and ignores trailing bits: only encoding again shows
  // them.
  const bytes = scratch.subarray(0, length)
  return bytes.toString('base64url') === encoded ? bytes : undefined
}

/**
 * Whether a text has the form of a ticket of this version: its length, its one canonical text, its
 * version and a lifetime that may be. No JWT has (RFC 7519 section 3): it has two dots, and begins
 * with another byte.
 */
export function hasTicketForm(text: string): boolean {
  const node = nodeOf(text)
  if (node !== '' && !isNodeName(node)) return false
  const bytes = fromText(text)
  if (bytes === undefined || bytes[0] !== version) return false
  const ttlSeconds = bytes.readUInt16BE(8)
  return ttlSeconds >= minTtlSeconds && ttlSeconds <= maxTtlSeconds
}
