import { deepStrictEqual, notStrictEqual, ok, strictEqual } from 'node:assert'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import type { CarriedClaims } from '../../src/ticket/carried-claims.js'
import { type TicketClaims, unpackClaims } from '../../src/ticket/claims.js'
import { issueTicket } from '../../src/ticket/issuer.js'
import { ticketKey } from '../../src/ticket/key-ring.js'
import { verifyTicket } from '../../src/ticket/verifier.js'
import { anyTime, labelOf, layOut, macOf, nowMs, pack, packClaims, secret, textOf } from './forge.js'

const seed = 20_260_601
const run = <T>(t: Test, property: fc.IProperty<T>, numRuns = 2000): void => {
  fc.assert(property, { seed, numRuns })
  t.pass(`${numRuns} runs`)
}

/** Well-formed text of any script, including control characters. */
const text = (maxLength: number, minLength = 0) => fc.string({ unit: 'binary', minLength, maxLength })
const name = (maxLength: number, minLength = 0) =>
  fc.string({ unit: fc.constantFrom(...'AZaz09._~:@-'), minLength, maxLength })
const patterns = fc.array(
  fc.tuple(name(12), fc.constantFrom('', '*')).map(parts => parts.join('')),
  { maxLength: 5 },
)
const seconds = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER })
const addressPrefix = fc
  .integer({ min: 0, max: 128 })
  .chain(bits =>
    fc
      .uint8Array({ minLength: Math.ceil(bits / 8), maxLength: Math.ceil(bits / 8) })
      .map(bytes => Buffer.of(bits, ...bytes)),
  )

const claimValue = fc.oneof(
  text(20),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map(value => (value === 0 ? 0 : value)),
  fc.integer(),
  fc.boolean(),
  fc.array(text(8), { maxLength: 3 }),
)
const carried: fc.Arbitrary<CarriedClaims> = fc
  .dictionary(fc.stringMatching(/^[a-z][a-z0-9-]{0,9}$/), claimValue, { maxKeys: 5 })
  .map(claims => Object.assign(Object.create(null), claims))
  .filter(claims => pack({ ...claims }).length <= 256)

const claims: fc.Arbitrary<TicketClaims> = fc.record(
  {
    user: text(60, 1).filter(user => !/\p{Cc}/u.test(user)),
    sessionEndsAtSeconds: fc.integer({ min: nowMs, max: Number.MAX_SAFE_INTEGER }),
    tokenIssuedAtSeconds: seconds,
    session: fc.string({
      unit: fc.integer({ min: 0x21, max: 0x7e }).map(code => String.fromCharCode(code)),
      minLength: 1,
      maxLength: 128,
    }),
    channel: name(128),
    publish: patterns,
    subscribe: patterns,
    origin: text(40),
    address: addressPrefix,
    carried,
  },
  { requiredKeys: ['user', 'sessionEndsAtSeconds'], noNullPrototype: true },
)

const ttlSeconds = fc.integer({ min: 1, max: 3600 })
const issuedAtMs = fc.integer({ min: 0, max: 2 ** 48 - 1 })
const keyId = fc.integer({ min: 0, max: 255 })
const ring = new Map([[0, ticketKey(0, secret)]])
const issue = (claims: TicketClaims): string =>
  issueTicket(claims, { key: ticketKey(0, secret), node: '', nowMs, ttlSeconds: 3600 }) ?? ''

t.comment(`seed ${seed}`)

t.test('a verified ticket has the claims it was issued with', async t => {
  const property = fc.property(
    claims,
    issuedAtMs,
    ttlSeconds,
    keyId,
    (claims, issuedAtMs, ttlSeconds, keyId) => {
      const key = ticketKey(keyId, secret)
      const issued = issueTicket(claims, { key, node: '', nowMs: issuedAtMs, ttlSeconds })
      if (packClaims(claims).length > 512) return strictEqual(issued, undefined)
      const verified = verifyTicket(issued ?? '', new Map([[keyId, key]]), issuedAtMs, anyTime)
      const nonce = Buffer.from(issued ?? '', 'base64url').toString('latin1', 10, 26)
      const expiresAtMs = issuedAtMs + ttlSeconds * 1000
      const ownSeconds = Math.floor(issuedAtMs / 1000)
      const { tokenIssuedAtSeconds: tokenSeconds = ownSeconds } = claims
      // Under configured keys, no token is issued after its ticket.
      const isLater = keyId > 0 && tokenSeconds * 1000 > issuedAtMs
      const authorizedAtSeconds = isLater ? ownSeconds : tokenSeconds
      return deepStrictEqual(verified, { keyId, nonce, expiresAtMs, authorizedAtSeconds, claims })
    },
  )
  run(t, property)
})

t.test('a ticket is valid before its expiry, and never at or after it', async t => {
  const property = fc.property(
    issuedAtMs,
    ttlSeconds,
    fc.double({ min: -1e12, max: 1e12, noNaN: true }),
    (issuedAtMs, ttlSeconds, offset) => {
      const body = layOut({
        issuedAtMs,
        ttlSeconds,
        claims: packClaims({ user: 'm', sessionEndsAtSeconds: 2 ** 50 }),
      })
      const expiresAtMs = issuedAtMs + ttlSeconds * 1000
      const verified = verifyTicket(textOf(body, macOf(body)), ring, expiresAtMs + offset, anyTime)
      strictEqual(
        typeof verified === 'string' ? verified : 'good',
        expiresAtMs + offset < expiresAtMs ? 'good' : 'ticket_expired',
      )
    },
  )
  run(t, property)
})

t.test('an edited ticket is refused, unless its text is unchanged', async t => {
  const edit = fc.record({
    at: fc.nat(1000),
    cut: fc.nat(3),
    put: fc.string({ unit: 'binary', maxLength: 3 }),
  })
  const property = fc.property(claims, fc.array(edit, { maxLength: 3 }), (claims, edits) => {
    const issued = issue(claims)
    fc.pre(issued !== '')
    let edited = issued
    for (const { at, cut, put } of edits) {
      const index = at % (edited.length + 1)
      edited = edited.slice(0, index) + put + edited.slice(index + cut)
    }
    const verified = verifyTicket(edited, ring, nowMs, anyTime)
    strictEqual(typeof verified === 'object', edited === issued)
  })
  run(t, property)
})

t.test('no string is a ticket by chance, and none makes the verifier throw', async t => {
  const base64url = fc.uint8Array({ maxLength: 620 }).map(bytes => Buffer.from(bytes).toString('base64url'))
  const anyText = fc.oneof(
    text(900),
    fc.string({ unit: fc.nat(0xffff).map(code => String.fromCharCode(code)) }),
    base64url,
  )
  run(
    t,
    fc.property(anyText, issuedAtMs, (text, at) =>
      strictEqual(verifyTicket(text, ring, at, anyTime), 'ticket_invalid'),
    ),
    5000,
  )
})

t.test('a ticket signed with any other key or label is refused', async t => {
  const otherSecret = fc.uint8Array({ minLength: 32, maxLength: 100 })
  const property = fc.property(
    claims,
    otherSecret,
    fc.uint8Array({ maxLength: 40 }),
    (claims, other, label) => {
      const body = layOut({ claims: packClaims(claims) })
      if (!Buffer.from(other).equals(secret)) {
        const byOther = verifyTicket(textOf(body, macOf(body, labelOf(), other)), ring, nowMs, anyTime)
        strictEqual(byOther, 'ticket_invalid')
      }
      if (!labelOf().equals(label))
        strictEqual(verifyTicket(textOf(body, macOf(body, label)), ring, nowMs, anyTime), 'ticket_invalid')
    },
  )
  run(t, property)
})

t.test('a valid MAC does not make malformed claims valid', async t => {
  const property = fc.property(fc.uint8Array({ maxLength: 512 }), claims, fc.nat(), (noise, claims, at) => {
    const packed = packClaims(claims)
    const noisy = Buffer.from(packed)
    noisy.set(noise.subarray(0, 2), at % Math.max(1, packed.length - 2))
    for (const bytes of [Buffer.from(noise), noisy.subarray(0, 512)]) {
      const body = layOut({ claims: bytes })
      const verified = verifyTicket(textOf(body, macOf(body)), ring, nowMs, anyTime)
      const unpacked = unpackClaims(bytes)
      if (typeof verified === 'object') isWellFormed(verified.claims)
      if (unpacked === undefined) strictEqual(verified, 'ticket_invalid')
      else isWellFormed(unpacked)
    }
  })
  run(t, property, 5000)
})

const members = new Set([
  'user',
  'sessionEndsAtSeconds',
  'tokenIssuedAtSeconds',
  'session',
  'channel',
  'publish',
  'subscribe',
  'origin',
  'address',
  'carried',
])

/** States the rules for claims a second time, independently of the code under test. */
function isWellFormed(claims: TicketClaims): void {
  ok(Object.keys(claims).every(name => members.has(name)))
  notStrictEqual(claims.user, '')
  for (const text of [claims.user, claims.session ?? '', claims.channel ?? '', claims.origin ?? ''])
    strictEqual(typeof text, 'string')
  for (const time of [claims.sessionEndsAtSeconds, claims.tokenIssuedAtSeconds ?? 0])
    ok(Number.isSafeInteger(time) && time >= 0)
  for (const list of [claims.publish ?? [], claims.subscribe ?? []])
    ok(Array.isArray(list) && list.every(text => typeof text === 'string'))
  for (const [name, value] of Object.entries(claims.carried ?? {})) {
    ok(/^[a-z][\w-]{0,31}$/i.test(name), name)
    for (const each of Array.isArray(value) ? value : [value, value])
      ok(
        typeof each === 'string' ||
          (!Array.isArray(value) && (typeof each === 'boolean' || Number.isFinite(each))),
      )
  }
  if (claims.address !== undefined)
    ok(claims.address.length === 1 + Math.ceil((claims.address[0] ?? 255) / 8) && claims.address.length <= 17)
}
