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
  const high = Math.floor(issuedAtMs / 2 ** 32)
  target[2] = high >> 8
  target[3] = high
  target[4] = issuedAtMs >>> 24
  target[5] = issuedAtMs >>> 16
  target[6] = issuedAtMs >>> 8
  target[7] = issuedAtMs
  target[8] = ttlSeconds >> 8
  target[9] = ttlSeconds
}

export const readHeader = (body: Buffer): TicketHeader => ({
  version: byteAt(body, 0),
  keyId: byteAt(body, 1),
  issuedAtMs: uint16At(body, 2) * 2 ** 32 + uint16At(body, 4) * 2 ** 16 + uint16At(body, 6),
  ttlSeconds: uint16At(body, 8),
})

const byteAt = (body: Buffer, at: number): number => body[at] ?? 0
const uint16At = (body: Buffer, at: number): number => (byteAt(body, at) << 8) | byteAt(body, at + 1)

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

/** The six bits of each base64url digit, by its code; 64 for anything else. */
const digits = new Uint8Array(256).fill(64)
for (const [value, digit] of [
  ...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_',
].entries())
  digits[digit.charCodeAt(0)] = value

// One ticket is decoded at a time and nothing is awaited meanwhile, so one buffer serves them all.
const encodedBytes = Buffer.alloc(maxEncodedLength + 1)
const scratch = Buffer.alloc(maxUnsignedBytes + macBytes)
/** The first bytes of `scratch`, by their number: making a Buffer takes as long as decoding. */
const views: Buffer[] = []

/**
 * Decodes the text of a ticket. Returns undefined if the length is impossible, or if the text is
 * not the one canonical text of its bytes. The next call overwrites the result.
 */
export function fromText(text: string): Buffer | undefined {
  const dot = text.indexOf('.')
  const encoded = dot < 0 ? text : text.slice(dot + 1)
  const { length } = encoded
  if (length > maxEncodedLength || length % 4 === 1) return undefined
  // Characters beyond ASCII take several bytes, none of which is a digit.
  if (encodedBytes.write(encoded) !== length) return undefined
  // Node's decoder skips unknown characters and ignores trailing bits. This takes a third of the
  // time of decoding and encoding again.
  const size = decode(length)
  if (size < minBytes) return undefined
  views[size] ??= scratch.subarray(0, size)
  return views[size]
}

/**
 * Decodes the digits in `encodedBytes` to `scratch`. Returns the number of bytes; 0 if a character
 * is not a digit, or if leftover bits are not zero.
 */
function decode(length: number): number {
  const whole = length - (length % 4)
  let faults = 0
  let size = 0
  for (let at = 0; at < whole; at += 4) {
    const a = digitAt(at)
    const b = digitAt(at + 1)
    const c = digitAt(at + 2)
    const d = digitAt(at + 3)
    faults |= a | b | c | d
    const bits = (a << 18) | (b << 12) | (c << 6) | d
    scratch[size++] = bits >> 16
    scratch[size++] = bits >> 8
    scratch[size++] = bits
  }
  if (whole < length) {
    const a = digitAt(whole)
    const b = digitAt(whole + 1)
    const c = whole + 2 < length ? digitAt(whole + 2) : 0
    const bits = (a << 18) | (b << 12) | (c << 6)
    faults |= a | b | c
    scratch[size++] = bits >> 16
    if (whole + 2 < length) scratch[size++] = bits >> 8
    if ((whole + 2 < length ? bits & 0xff : bits & 0xffff) !== 0) return 0
  }
  return faults < 64 ? size : 0
}

const digitAt = (at: number): number => digits[encodedBytes[at] as number] as number

/**
 * Whether a text has the form of a ticket of this version: its length, its one canonical text, its
 * version and a possible lifetime. No JWT has this form (RFC 7519 section 3): it has two dots, and
 * begins with another byte.
 */
export function hasTicketForm(text: string): boolean {
  const node = nodeOf(text)
  if (node !== '' && !isNodeName(node)) return false
  const bytes = fromText(text)
  if (bytes === undefined || bytes[0] !== version) return false
  const ttlSeconds = bytes.readUInt16BE(8)
  return ttlSeconds >= minTtlSeconds && ttlSeconds <= maxTtlSeconds
}
