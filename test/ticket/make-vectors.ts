/**
 * Makes src/ticket/vectors.json: `npx tsx test/ticket/make-vectors.ts`. It follows FORMAT.md and
 * shares no code with src, so that the two check each other.
 */
import { createHash, createHmac } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** The parts of a ticket. `base` has the default of each. */
interface Parts {
  version?: number
  keyId?: number
  key?: Buffer
  /** The node before the dot in the text. */
  node?: string
  /** The node in the MAC input, if it is another. */
  macNode?: string
  label?: string
  issuedAtMs?: number
  ttlSeconds?: number
  claims?: Buffer
}

export interface Vector {
  readonly name: string
  readonly ticket: string
  readonly keyId: number
  /** In base64url. */
  readonly key: string
  /** The node name of the gate that gets the ticket, '' for none. */
  readonly node: string
  readonly nowMs: number
  /** The clock skew that the gate allows outside minters; 0 by default. */
  readonly skewSeconds?: number
  /** When the gate was started; long ago by default. */
  readonly bornAtMs?: number
  /** Whether the gate shares a store of spent tickets with other gates. */
  readonly store?: true
}

/** The properties of a gate, besides those that are the same in every vector. */
type Gate = Pick<Vector, 'skewSeconds' | 'bornAtMs' | 'store'>

export interface ValidVector extends Vector {
  readonly issuedAtMs: number
  readonly ttlSeconds: number
  /** In hexadecimal. */
  readonly nonce: string
  /** Under their keys in the ticket; `a` and `e` in hexadecimal. */
  readonly claims: Readonly<Record<string, unknown>>
}

export interface InvalidVector extends Vector {
  readonly code: 'ticket_invalid' | 'ticket_expired' | 'ticket_predates_gate' | 'wrong_node'
}

export interface Vectors {
  readonly about: string
  readonly valid: readonly ValidVector[]
  readonly invalid: readonly InvalidVector[]
}

const keyOf = (name: string, length = 32): Buffer =>
  Buffer.concat([0, 1, 2].map(n => createHash('sha256').update(`${name} ${n}`).digest())).subarray(0, length)

// 27 January 2026 06:30:00 UTC, and half an hour later.
const issuedAtMs = 1_769_495_400_000
const sessionEnd = 1_769_497_200

// As much of MessagePack as the claims need.
const uint32 = (n: number): Buffer => {
  const bytes = Buffer.from([0xce, 0, 0, 0, 0])
  bytes.writeUInt32BE(n, 1)
  return bytes
}
const str = (text: string): Buffer => {
  const bytes = Buffer.from(text)
  const head =
    bytes.length < 32
      ? [0xa0 | bytes.length]
      : bytes.length < 256
        ? [0xd9, bytes.length]
        : [0xda, bytes.length >> 8, bytes.length & 255]
  return Buffer.concat([Buffer.from(head), bytes])
}
const bin = (hex: string): Buffer => Buffer.concat([Buffer.of(0xc4, hex.length / 2), Buffer.from(hex, 'hex')])
const list = (...texts: string[]): Buffer =>
  Buffer.concat([Buffer.of(0x90 | texts.length), ...texts.map(str)])
const map = (entries: Readonly<Record<string, Buffer>>): Buffer =>
  Buffer.concat([
    Buffer.of(0x80 | Object.keys(entries).length),
    ...Object.entries(entries).flatMap(([key, value]) => [str(key), value]),
  ])
const raw = (hex: string): Buffer => Buffer.from(hex, 'hex')

const u = str('maggie')
const x = uint32(sessionEnd)

const base = {
  version: 1,
  keyId: 1,
  key: keyOf('key 1'),
  node: 'gate-1',
  label: 'ticketgate.ticket.v1',
  issuedAtMs,
  ttlSeconds: 10,
  claims: map({ u, x }),
}

const nonceFor = (name: string): Buffer => createHash('sha256').update(name).digest().subarray(0, 16)

/** The bytes of a ticket, including the MAC. Its nonce is derived from the name of the vector. */
function bytesOf(name: string, parts: Parts): Buffer {
  const all = { ...base, ...parts }
  const body = Buffer.alloc(26 + all.claims.length)
  body[0] = all.version
  body[1] = all.keyId
  body.writeUIntBE(all.issuedAtMs, 2, 6)
  body.writeUInt16BE(all.ttlSeconds, 8)
  nonceFor(name).copy(body, 10)
  all.claims.copy(body, 26)
  const input = Buffer.concat([Buffer.from(`${all.label}\0${all.macNode ?? all.node}\0`), body])
  return Buffer.concat([body, createHmac('sha256', all.key).update(input).digest()])
}

const textOf = (node: string, bytes: Buffer): string =>
  `${node === '' ? '' : `${node}.`}${bytes.toString('base64url')}`

function valid(
  name: string,
  claims: Readonly<Record<string, unknown>>,
  parts: Parts = {},
  nowMs = issuedAtMs,
  gate: Gate = {},
): ValidVector {
  const { keyId, key, node, issuedAtMs: issued, ttlSeconds } = { ...base, ...parts }
  return {
    name,
    ticket: textOf(node, bytesOf(name, parts)),
    keyId,
    key: key.toString('base64url'),
    node,
    nowMs,
    ...gate,
    issuedAtMs: issued,
    ttlSeconds,
    nonce: nonceFor(name).toString('hex'),
    claims,
  }
}

interface Presented extends Gate {
  readonly code?: InvalidVector['code']
  readonly nowMs?: number
  /** Changes the bytes of the ticket. */
  readonly bytes?: (bytes: Buffer) => Buffer
  /** Changes its text. */
  readonly text?: (text: string) => string
  /** The gate that gets the ticket; by default the one it is for. */
  readonly at?: { readonly keyId?: number; readonly key?: Buffer; readonly node?: string }
}

function invalid(name: string, parts: Parts, presented: Presented = {}): InvalidVector {
  const {
    code = 'ticket_invalid',
    nowMs = issuedAtMs,
    bytes = same,
    text = same,
    at = {},
    ...others
  } = presented
  const gate = { ...base, ...parts, ...at }
  return {
    name,
    ticket: text(textOf(parts.node ?? base.node, bytes(bytesOf(name, parts)))),
    keyId: gate.keyId,
    key: gate.key.toString('base64url'),
    node: gate.node,
    nowMs,
    ...others,
    code,
  }
}

const same = <T>(value: T): T => value

const flip =
  (at: number) =>
  (bytes: Buffer): Buffer => {
    const copy = Buffer.from(bytes)
    const index = at < 0 ? copy.length + at : at
    copy[index] = (copy[index] ?? 0) ^ 1
    return copy
  }

const claimsOf = (entries: Readonly<Record<string, Buffer>>): Parts => ({ claims: map(entries) })
const least = { u: 'maggie', x: sessionEnd }

/** Claims of exactly `length` bytes, 300 or more: the origin fills them. */
const filler = (length: number): string => 'o'.repeat(length - 22)
const claimsWeighing = (length: number): Buffer => map({ u, x, o: str(filler(length)) })

const epoch = '0d5b0a2f6c1e4b7f9a3811c25e7d90b4'

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'

/** Sets the lowest of the spare bits of the last character. */
function withSpareBit(text: string): string {
  const last = alphabet[alphabet.indexOf(text.slice(-1)) | 1]
  return text.slice(0, -1) + last
}

export const makeVectors = (): Vectors => ({
  about:
    'Tickets of version 1 (FORMAT.md) and what a gate called `node`, with the key `key` (base64url) under the id `keyId`, answers at `nowMs`. It allows `skewSeconds` for the clocks of minters (0 where left out) and was started at `bornAtMs` (long before where left out). With `store` it keeps what was spent in a store that gates share. Claims stand under their keys in the ticket, `a` and `e` in hexadecimal.',
  valid: [...acceptedTickets(), ...acceptedClaims(), ...acceptedCarriedClaims(), ...acceptedEncodings()],
  invalid: [
    ...times(),
    ...damaged(),
    ...signedWrongly(),
    ...texts(),
    ...headers(),
    ...claims(),
    invalid('an epoch, at a gate without a store', claimsOf({ u, x, e: bin(epoch) })),
    invalid('no epoch, at a gate with a store', {}, { store: true }),
    invalid('an epoch of 15 bytes', claimsOf({ u, x, e: bin(epoch.slice(2)) }), { store: true }),
    invalid('an epoch of 17 bytes', claimsOf({ u, x, e: bin(`${epoch}00`) }), { store: true }),
    invalid('an epoch that is text', claimsOf({ u, x, e: str(epoch.slice(16)) }), { store: true }),
    invalid('a ticket for another gate', {}, { at: { node: 'gate-2' }, code: 'wrong_node' }),
  ],
})

const acceptedTickets = (): ValidVector[] => [
  valid('the least a ticket says', least),
  valid('no node', least, { node: '' }),
  valid('everything a ticket can say', allClaims, allParts),
  valid('key id 0, as a gate signs for itself', least, { keyId: 0, node: '', key: keyOf('boot') }),
  valid('key id 255', least, { keyId: 255 }),
  valid('a key of 64 bytes', least, { key: keyOf('long', 64) }),
  valid('a key of 65 bytes', least, { key: keyOf('longer', 65) }),
  valid('a node of 32 characters', least, { node: 'a-0123456789-abcdefghijklmnopqrs' }),
  valid('the shortest life, in its last millisecond', least, { ttlSeconds: 1 }, issuedAtMs + 999),
  valid(
    'the longest life, in its last millisecond',
    { u: 'maggie', x: sessionEnd + 3600 },
    { ttlSeconds: 3600, ...claimsOf({ u, x: uint32(sessionEnd + 3600) }) },
    issuedAtMs + 3_599_999,
  ),
  valid(
    'the last millisecond of the session',
    { u: 'maggie', x: issuedAtMs / 1000 + 5 },
    claimsOf({ u, x: uint32(issuedAtMs / 1000 + 5) }),
    issuedAtMs + 4999,
  ),
  valid('a minter whose clock is ahead by the skew', least, {}, issuedAtMs - 5000, { skewSeconds: 5 }),
  valid('a minter whose clock is behind by the skew', least, {}, issuedAtMs + 14_999, { skewSeconds: 5 }),
  valid('as old as the gate allows', least, {}, issuedAtMs, {
    skewSeconds: 5,
    bornAtMs: issuedAtMs - 5000,
  }),
]

const acceptedClaims = (): ValidVector[] => [
  valid('claims of 512 bytes', { ...least, o: filler(512) }, { claims: claimsWeighing(512) }),
  valid('a user beyond ASCII', { u: 'Zoë 李', x: sessionEnd }, claimsOf({ u: str('Zoë 李'), x })),
  valid('the channel with the empty name', { ...least, c: '' }, claimsOf({ u, x, c: str('') })),
  valid('no rights at all', { ...least, p: [], s: [] }, claimsOf({ u, x, p: list(), s: list() })),
  valid('an IPv4 address', { ...least, a: '20cb007105' }, claimsOf({ u, x, a: bin('20cb007105') })),
  valid(
    'an IPv6 prefix of 50 bits',
    { ...least, a: '3220010db8000040' },
    claimsOf({ u, x, a: bin('3220010db8000040') }),
  ),
  valid(
    'an epoch, at a gate whose store it is for',
    { ...least, e: epoch },
    { node: '', ...claimsOf({ u, x, e: bin(epoch) }) },
    issuedAtMs,
    { store: true },
  ),
]

const acceptedCarriedClaims = (): ValidVector[] => [
  valid(
    'carried claims of every type',
    { ...least, d: carried },
    claimsOf({
      u,
      x,
      d: map({
        email: str('maggie@example.com'),
        org: raw('2a'),
        'Display-Name': str('Zoë 李'),
        score: raw('cb3ff8000000000000'),
        balance: raw('d0d6'),
        ratio: raw('cac0200000'),
        admin: raw('c2'),
        roles: list('trader', 'a,b'),
        none: list(),
      }),
    }),
  ),
  valid(
    'carried claims of 256 bytes',
    { ...least, d: { note: 'n'.repeat(248) } },
    claimsOf({ u, x, d: map({ note: str('n'.repeat(248)) }) }),
  ),
  valid(
    'sixteen carried claims',
    { ...least, d: Object.fromEntries(sixteen.map(name => [name, true])) },
    claimsOf({
      u,
      x,
      d: Buffer.concat([raw('de0010'), ...sixteen.map(name => Buffer.concat([str(name), raw('c3')]))]),
    }),
  ),
]

const acceptedEncodings = (): ValidVector[] => [
  valid('claims in another order', least, claimsOf({ x, u })),
  valid('claims in longer encodings', least, {
    claims: Buffer.concat([raw('de0002d90175d906'), Buffer.from('maggie'), raw('a178'), x]),
  }),
]

const carried = {
  email: 'maggie@example.com',
  org: 42,
  'Display-Name': 'Zoë 李',
  score: 1.5,
  balance: -42,
  ratio: -2.5,
  admin: false,
  roles: ['trader', 'a,b'],
  none: [],
}

const sixteen = [...'abcdefghijklmnop']

const allClaims = {
  ...least,
  t: issuedAtMs / 1000 - 60,
  i: 'WZ3kQ0m8',
  c: 'chat.lobby',
  p: ['chat.*'],
  s: ['chat.*', 'news'],
  o: 'https://app.example.com',
  a: '18cb0071',
}

const allParts: Parts = {
  claims: map({
    u,
    x,
    t: uint32(issuedAtMs / 1000 - 60),
    i: str('WZ3kQ0m8'),
    c: str('chat.lobby'),
    p: list('chat.*'),
    s: list('chat.*', 'news'),
    o: str('https://app.example.com'),
    a: bin('18cb0071'),
  }),
}

const times = (): InvalidVector[] => [
  invalid('exactly at its expiry', {}, { nowMs: issuedAtMs + 10_000, code: 'ticket_expired' }),
  invalid('long after its expiry', {}, { nowMs: issuedAtMs + 1e9, code: 'ticket_expired' }),
  invalid(
    'exactly at its expiry and the skew',
    {},
    {
      nowMs: issuedAtMs + 15_000,
      skewSeconds: 5,
      code: 'ticket_expired',
    },
  ),
  invalid(
    'the skew is not for key id 0',
    { keyId: 0 },
    {
      nowMs: issuedAtMs + 10_000,
      skewSeconds: 5,
      code: 'ticket_expired',
    },
  ),
  invalid('from the future', {}, { nowMs: issuedAtMs - 1 }),
  invalid('from further in the future than the skew', {}, { nowMs: issuedAtMs - 5001, skewSeconds: 5 }),
  invalid('older than the gate', {}, { bornAtMs: issuedAtMs + 1, code: 'ticket_predates_gate' }),
  invalid(
    'older than the gate, if the clock of the minter is ahead',
    {},
    {
      skewSeconds: 5,
      bornAtMs: issuedAtMs - 4999,
      code: 'ticket_predates_gate',
    },
  ),
  invalid('exactly at the end of the session', claimsOf({ u, x: uint32(issuedAtMs / 1000 + 5) }), {
    nowMs: issuedAtMs + 5000,
    code: 'ticket_expired',
  }),
]

const damaged = (): InvalidVector[] => [
  invalid('one bit of the version changed', {}, { bytes: flip(0) }),
  invalid('one bit of the key id changed', {}, { bytes: flip(1) }),
  invalid('one bit of issuedAt changed', {}, { bytes: flip(7) }),
  invalid('one bit of the ttl changed', {}, { bytes: flip(9) }),
  invalid('one bit of the nonce changed', {}, { bytes: flip(10) }),
  invalid('one bit of the claims changed', {}, { bytes: flip(30) }),
  invalid('the first bit of the MAC changed', {}, { bytes: flip(-32) }),
  invalid('the last bit of the MAC changed', {}, { bytes: flip(-1) }),
  invalid('a byte after the MAC', {}, { bytes: bytes => Buffer.concat([bytes, Buffer.of(0)]) }),
  invalid('without its last byte', {}, { bytes: bytes => bytes.subarray(0, -1) }),
  invalid('without claims', { claims: Buffer.alloc(0) }),
  invalid('only the MAC', {}, { bytes: bytes => bytes.subarray(-32) }),
]

const signedWrongly = (): InvalidVector[] => [
  invalid('signed with another key', {}, { at: { key: keyOf('key 2') } }),
  invalid('a key id the gate does not have', { keyId: 2 }, { at: { keyId: 1 } }),
  invalid('signed for another node', { macNode: 'gate-2' }),
  invalid('signed for no node', { macNode: '' }),
  invalid('signed for a node, presented without one', { node: '', macNode: 'gate-1' }),
  invalid('signed under another label', { label: 'ticketgate.ticket.v2' }),
]

// Their length is not a multiple of three, so the last character has unused bits.
const fourSpareBits = claimsOf({ u: str('anna'), x })
const twoSpareBits = claimsOf({ u: str('agnes'), x })

const texts = (): InvalidVector[] => [
  invalid('padding', fourSpareBits, { text: text => `${text}==` }),
  invalid('padding where none is possible', {}, { text: text => `${text}=` }),
  invalid('a trailing space', {}, { text: text => `${text} ` }),
  invalid('a trailing line feed', {}, { text: text => `${text}\n` }),
  invalid('its first character percent-encoded', { node: '' }, { text: text => `%41${text.slice(1)}` }),
  invalid(
    'base64 with + and /',
    {},
    { text: text => `gate-1.${Buffer.from(text.slice(7), 'base64url').toString('base64')}` },
  ),
  invalid('one of four spare bits set', fourSpareBits, { text: withSpareBit }),
  invalid('one of two spare bits set', twoSpareBits, { text: withSpareBit }),
  invalid('an empty node', { node: '' }, { text: text => `.${text}` }),
  invalid('two nodes', {}, { text: text => `gate-1.${text}` }),
  invalid('empty', { node: '' }, { text: () => '' }),
  invalid('hexadecimal', { node: '' }, { text: text => Buffer.from(text, 'base64url').toString('hex') }),
]

const headers = (): InvalidVector[] => [
  invalid('version 0', { version: 0 }),
  invalid('version 2', { version: 2 }),
  invalid('a ttl of 0', { ttlSeconds: 0 }),
  invalid('a ttl of 3601 seconds', { ttlSeconds: 3601 }),
]

const claims = (): InvalidVector[] =>
  Object.entries({
    'claims of 513 bytes': claimsWeighing(513),
    'claims that are not a map': list('u', 'maggie'),
    'a byte after the claims': Buffer.concat([map({ u, x }), raw('c0')]),
    'truncated claims': map({ u, x }).subarray(0, -1),
    'no user': map({ x }),
    'an empty user': map({ u: str(''), x }),
    'a user that is a number': map({ u: raw('07'), x }),
    'no end of the session': map({ u }),
    'an end of the session that is text': map({ u, x: str('1769497200') }),
    'an end of the session before 1970': map({ u, x: raw('ff') }),
    'an end of the session with a fraction': map({ u, x: raw('cb41da5e0e1c200000') }),
    'an end of the session at infinity': map({ u, x: raw('cb7ff0000000000000') }),
    'an unknown claim': map({ u, x, z: str('') }),
    'a claim that is nil': map({ u, x, c: raw('c0') }),
    'a channel that is a list': map({ u, x, c: list('lobby') }),
    'rights that are text': map({ u, x, p: str('chat.*') }),
    'a right that is a number': map({ u, x, s: raw('9107') }),
    'an address that is text': map({ u, x, a: str('203.0.113.5') }),
    'an address with no length': map({ u, x, a: bin('') }),
    'an address with a byte too few': map({ u, x, a: bin('20cb0071') }),
    'an address with a byte too many': map({ u, x, a: bin('18cb007100') }),
    'an address of 129 bits': map({ u, x, a: bin(`81${'20'.repeat(17)}`) }),
    'carried claims that are not a map': map({ u, x, d: list('org', '42') }),
    'carried claims of 257 bytes': map({ u, x, d: map({ note: str('n'.repeat(249)) }) }),
    'a carried claim that is nil': map({ u, x, d: map({ org: raw('c0') }) }),
    'a carried claim that is a map': map({ u, x, d: map({ org: map({ id: raw('2a') }) }) }),
    'a carried claim that is bytes': map({ u, x, d: map({ org: bin('2a') }) }),
    'a carried claim that is a list of numbers': map({ u, x, d: map({ org: raw('912a') }) }),
    'a carried claim that is infinite': map({ u, x, d: map({ org: raw('cb7ff0000000000000') }) }),
    'a carried claim that is not a number': map({ u, x, d: map({ org: raw('cb7ff8000000000000') }) }),
    'a carried claim beyond the safe integers': map({
      u,
      x,
      d: map({ org: raw('cf0020000000000000') }),
    }),
    'a carried claim that is not UTF-8': map({ u, x, d: map({ org: raw('a1ff') }) }),
    'a carried claim twice': map({ u, x, d: raw(`82${'a36f72672a'.repeat(2)}`) }),
    'two carried claims that map to one header field': map({
      u,
      x,
      d: map({ org_id: raw('2a'), 'Org-ID': raw('2a') }),
    }),
    'a carried claim under an empty name': map({ u, x, d: map({ '': raw('2a') }) }),
    'a carried claim under a name with a colon': map({ u, x, d: map({ 'a:b': raw('2a') }) }),
    'a carried claim under __proto__': map({ u, x, d: map({ ['__proto__']: raw('2a') }) }),
    'a carried claim under a name of 33 characters': map({
      u,
      x,
      d: map({ ['n'.repeat(33)]: raw('2a') }),
    }),
  }).map(([name, packed]) => invalid(name, { claims: packed }))

const file = new URL('../../src/ticket/vectors.json', import.meta.url)
if (process.argv[1] === fileURLToPath(import.meta.url))
  writeFileSync(file, `${JSON.stringify(makeVectors(), undefined, 2)}\n`)
