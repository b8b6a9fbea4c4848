import { hash, timingSafeEqual } from 'node:crypto'
import { macBytes, maxUnsignedBytes } from './codec.js'

/**
 * The id of the boot key, with which a gate signs its own tickets. It lives only in its process.
 */
export const bootKeyId = 0

const minKeyBytes = 32
const blockBytes = 64

/** One key of the ring, ready to sign for one node. */
export interface TicketKey {
  readonly id: number
  /**
   * The input of the inner hash: key block, domain-separation label and node, then room for a body.
   */
  readonly inner: Buffer
  /** Where in `inner` the body begins. */
  readonly bodyAt: number
  /** Returns the input of the inner hash with a body of that many bytes. */
  readonly inputs: Buffer[]
  /** The input of the outer hash: key block, then room for the inner digest. */
  readonly outer: Buffer
}

/** Verifying keys by id. */
export type KeyRing = ReadonlyMap<number, TicketKey>

/**
 * A key for tickets of `node` ('' for none).
 * @throws TypeError for an id outside 0..255 or a secret shorter than 32 bytes
 */
export function ticketKey(id: number, secret: Uint8Array, node = ''): TicketKey {
  if (!Number.isInteger(id) || id < 0 || id > 255) throw new TypeError('id must be an integer from 0 to 255')
  if (secret.length < minKeyBytes) throw new TypeError(`secret must be ${minKeyBytes} bytes or more`)
  const block = secret.length > blockBytes ? hash('sha256', secret, 'buffer') : secret
  const label = Buffer.from(`ticketgate.ticket.v1\0${node}\0`, 'latin1')
  const inner = Buffer.alloc(blockBytes + label.length + maxUnsignedBytes)
  const outer = Buffer.alloc(blockBytes + macBytes)
  for (let at = 0; at < blockBytes; at++) {
    inner[at] = (block[at] ?? 0) ^ 0x36
    outer[at] = (block[at] ?? 0) ^ 0x5c
  }
  label.copy(inner, blockBytes)
  return { id, inner, bodyAt: blockBytes + label.length, inputs: [], outer }
}

/**
 * Writes HMAC-SHA-256 (RFC 2104) over the key's label and the first `length` of `bytes` to `target`
 * at `offset`.
 *
 * It calls SHA-256 of node:crypto twice, with the key blocks kept in place and digests as one-byte
 * strings. That takes less than half the time of `createHmac`, which makes a stream for every
 * ticket.
 */
export function writeMac(
  key: TicketKey,
  bytes: Buffer,
  length: number,
  target: Buffer,
  offset: number,
): void {
  const { inner, bodyAt, inputs } = key
  // A body is short: a loop takes less time than the call of a copy.
  for (let at = 0; at < length; at++) inner[bodyAt + at] = bytes[at] as number
  inputs[length] ??= inner.subarray(0, bodyAt + length)
  key.outer.write(hash('sha256', inputs[length], 'binary'), blockBytes, 'binary')
  target.write(hash('sha256', key.outer, 'binary'), offset, 'binary')
}

const expected = Buffer.alloc(macBytes)
const presented = Buffer.alloc(macBytes)

/** Whether the first `length` of `bytes` are followed by their MAC. Takes constant time. */
export function macHolds(key: TicketKey, bytes: Buffer, length: number): boolean {
  if (bytes.length - length !== macBytes) return false
  writeMac(key, bytes, length, expected, 0)
  for (let at = 0; at < macBytes; at++) presented[at] = bytes[length + at] as number
  return timingSafeEqual(expected, presented)
}
