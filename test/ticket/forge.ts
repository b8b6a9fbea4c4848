/**
 * Tickets made by hand, from FORMAT.md, node:crypto and msgpackr alone. None of the code under test
 * takes part, so agreement with these tickets shows that it is correct, not merely consistent.
 */
import { createHmac } from 'node:crypto'
import { Packr } from 'msgpackr'
import type { TicketClaims } from '../../src/ticket/claims.js'

/** The fixed time of these tests, Unix milliseconds. */
export const nowMs = 1_764_000_000_123
export const nowSeconds = 1_764_000_000

/** The bytes 1, 2, … 32. */
export const secret = Uint8Array.from({ length: 32 }, (_, index) => index + 1)

/** The policy of a gate without a name whose memory of spent tickets is complete. */
export const anyTime = {
  node: '',
  skewMs: 0,
  earliestOutsideMs: 0,
  outsideUntilMs: Number.POSITIVE_INFINITY,
}

/**
 * Signed in Python, with its hmac and struct modules, under `secret`; its claims are those of
 * `vectorClaims`.
 */
export const vectorText =
  'AQABmraX6HsACqChoqOkpaanqKmqq6ytrq-JoXWmbWFnZ2lloXjOaSSEhKF0zmkkgQChaaJzMaFjo3JlZKFwkaZjaGF0Liqhc5Chb65odHRwczovL2EudGVzdKFhxAUgywBxCY_eWu5kOoiL5NaxmoHjvwpkDRGx7c9HUl7Nr_TSJm_-'

export const vectorClaimsHex =
  '89a175a66d6167676965a178ce69248484a174ce69248100a169a27331a163a3726564a17091a6636861742e2aa17390' +
  'a16fae68747470733a2f2f612e74657374a161c40520cb007109'

export const vectorClaims = {
  user: 'maggie',
  sessionEndsAtSeconds: 1_764_000_900,
  tokenIssuedAtSeconds: nowSeconds,
  session: 's1',
  channel: 'red',
  publish: ['chat.*'],
  subscribe: [],
  origin: 'https://a.test',
  address: Buffer.of(32, 203, 0, 113, 9),
}

export interface Parts {
  readonly version?: number
  readonly keyId?: number
  readonly issuedAtMs?: number
  readonly ttlSeconds?: number
  readonly nonce?: Uint8Array
  /** Packed in MessagePack. */
  readonly claims?: Uint8Array
}

/** `{u: 'm', x: <a day from now>}` */
export const smallClaims = Buffer.concat([
  Buffer.from('82a175a16da178ce', 'hex'),
  uint32(nowSeconds + 86_400),
])

const maps = new Packr({ useRecords: false, variableMapSize: true })

/** Any value in MessagePack. */
export const pack = (value: unknown): Buffer => maps.pack(value)

/** Claims in MessagePack, under the keys and in the order of FORMAT.md. */
export function packClaims(claims: TicketClaims): Buffer {
  const { user, sessionEndsAtSeconds, tokenIssuedAtSeconds, session, channel } = claims
  const { publish, subscribe, origin, address, epoch, carried } = claims
  const members = {
    u: user,
    x: sessionEndsAtSeconds,
    t: tokenIssuedAtSeconds,
    i: session,
    c: channel,
    p: publish,
    s: subscribe,
    o: origin,
    a: address,
    e: epoch,
    d: carried,
  }
  return pack(Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)))
}

/** A ticket up to its MAC. */
export function layOut(parts: Parts = {}): Buffer {
  const { version = 1, keyId = 0, issuedAtMs = nowMs, ttlSeconds = 10 } = parts
  const { nonce = Buffer.alloc(16, 0xa5), claims = smallClaims } = parts
  const time = Buffer.alloc(8)
  time.writeBigUInt64BE(BigInt(issuedAtMs))
  return Buffer.concat([
    Uint8Array.of(version, keyId),
    time.subarray(2),
    Uint8Array.of(ttlSeconds >> 8, ttlSeconds & 0xff),
    nonce,
    claims,
  ])
}

/** The bytes that the MAC covers before those of the ticket. */
export const labelOf = (node = ''): Buffer =>
  Buffer.concat([Buffer.from('ticketgate.ticket.v1'), Uint8Array.of(0), Buffer.from(node), Uint8Array.of(0)])

export const macOf = (body: Uint8Array, label: Uint8Array = labelOf(), key: Uint8Array = secret): Buffer =>
  createHmac('sha256', key).update(label).update(body).digest()

export const textOf = (...parts: readonly Uint8Array[]): string => Buffer.concat(parts).toString('base64url')

/** A whole ticket, with a valid MAC. */
export function seal(parts: Parts = {}, label?: Uint8Array, key?: Uint8Array): string {
  const body = layOut(parts)
  return textOf(body, macOf(body, label, key))
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}
