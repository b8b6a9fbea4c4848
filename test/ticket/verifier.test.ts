import t from 'tap'
import type { TicketClaims } from '../../src/ticket/claims.js'
import { fromText } from '../../src/ticket/codec.js'
import { issueTicket } from '../../src/ticket/issuer.js'
import { type TicketKey, ticketKey } from '../../src/ticket/key-ring.js'
import {
  ownTicketsOnly,
  type TicketPolicy,
  type VerifiedTicket,
  verifyTicket,
} from '../../src/ticket/verifier.js'
import {
  anyTime,
  labelOf,
  layOut,
  macOf,
  nowMs,
  nowSeconds,
  type Parts,
  packClaims,
  seal,
  secret,
  smallClaims,
  textOf,
  vectorClaims,
  vectorText,
} from './forge.js'

const ringOf = (...keys: readonly TicketKey[]) => new Map(keys.map(key => [key.id, key]))
const ring = ringOf(ticketKey(0, secret))
const otherSecret = Uint8Array.from({ length: 32 }, () => 9)

const outcome = (text: string, at = nowMs, keys = ring, policy: TicketPolicy = anyTime): string => {
  const result = verifyTicket(text, keys, at, policy)
  return typeof result === 'string' ? result : 'good'
}

const claimsEndingAt = (seconds: number) => packClaims({ user: 'm', sessionEndsAtSeconds: seconds })

/** Valid claims of exactly this packed size. */
const claimsOfBytes = (bytes: number): Buffer => {
  const packed = packClaims({
    user: 'm',
    sessionEndsAtSeconds: nowSeconds + 900,
    origin: 'a'.repeat(bytes - 17),
  })
  if (packed.length !== bytes) throw new Error(`${packed.length} bytes`)
  return packed
}

t.test('a ticket signed in another language is valid', async t => {
  const expected: VerifiedTicket = {
    keyId: 0,
    nonce: Buffer.from('a0a1a2a3a4a5a6a7a8a9aaabacadaeaf', 'hex').toString('latin1'),
    expiresAtMs: nowMs + 10_000,
    authorizedAtSeconds: vectorClaims.tokenIssuedAtSeconds,
    claims: vectorClaims,
  }
  t.strictSame(verifyTicket(vectorText, ring, nowMs, anyTime), expected)
})

t.test('an issued ticket is valid, and has the requested claims', async t => {
  const issued = issueTicket(vectorClaims, {
    key: ticketKey(0, secret),
    node: '',
    nowMs: nowMs + 0.7,
    ttlSeconds: 3600,
  })
  t.match(verifyTicket(issued ?? '', ring, nowMs, anyTime), {
    expiresAtMs: nowMs + 3_600_000,
    claims: vectorClaims,
  })
})

t.test('outside tickets are dated by the earliest possible time, and own ones as they say', async t => {
  const { tokenIssuedAtSeconds: _, ...claims } = vectorClaims
  const skewed = { node: '', skewMs: 5000, earliestOutsideMs: 0, outsideUntilMs: nowMs + 60_000 }
  const shared = { ...skewed, store: true }
  const ahead = nowSeconds + 4
  const epoch = Buffer.alloc(16)
  const cases: readonly (readonly [
    name: string,
    keyId: number,
    atSeconds: number,
    claims: Partial<TicketClaims>,
    policy: TicketPolicy,
    expected: number,
  ])[] = [
    ['an own one without a token date', 0, nowSeconds - 1, {}, skewed, -1],
    ['an own one', 0, nowSeconds, { tokenIssuedAtSeconds: nowSeconds - 9 }, skewed, -9],
    ['an own one, for the token of a node ahead', 0, nowSeconds, { tokenIssuedAtSeconds: ahead }, skewed, 4],
    ['without a token date', 1, nowSeconds, {}, skewed, -5],
    ['without a token date, its minter ahead', 1, ahead, {}, skewed, -1],
    ['for a token of the same second', 1, ahead, { tokenIssuedAtSeconds: ahead }, skewed, -1],
    ['for an older token', 1, ahead, { tokenIssuedAtSeconds: ahead - 9 }, skewed, -10],
    ['for a later token', 1, ahead, { tokenIssuedAtSeconds: ahead + 1 }, skewed, -1],
    [
      'in a store, for the token of a node ahead',
      1,
      nowSeconds,
      { tokenIssuedAtSeconds: ahead, epoch },
      shared,
      4,
    ],
    ['in a store, for a later token', 1, nowSeconds, { tokenIssuedAtSeconds: ahead + 2, epoch }, shared, -5],
  ]
  for (const [name, id, atSeconds, more, policy, expected] of cases) {
    const key = ticketKey(id, secret)
    const signing = { key, node: '', nowMs: atSeconds * 1000, ttlSeconds: 10 }
    const text = issueTicket({ ...claims, ...more }, signing) ?? ''
    const verified = verifyTicket(text, ringOf(key), nowMs, policy) as VerifiedTicket
    t.equal(verified.authorizedAtSeconds - nowSeconds, expected, name)
  }
})

t.test('a verified ticket is not changed by the next one', async t => {
  const verified = verifyTicket(vectorText, ring, nowMs, anyTime)
  const copy = structuredClone(verified)
  verifyTicket(seal({ nonce: Buffer.alloc(16, 0xff), claims: Buffer.alloc(200, 0xff) }), ring, nowMs, anyTime)
  t.match(verified, copy)
})

t.test('tickets and sessions end at an exact millisecond', async t => {
  const endSeconds = nowSeconds + 5
  const cases: readonly (readonly [name: string, parts: Parts, at: number, expected: string])[] = [
    ['at the instant of issue', {}, nowMs, 'good'],
    ['a millisecond before it', {}, nowMs - 1, 'good'],
    ['a millisecond before expiry', {}, nowMs + 9_999, 'good'],
    ['a fraction before expiry', {}, nowMs + 9_999.99, 'good'],
    ['exactly at expiry', {}, nowMs + 10_000, 'ticket_expired'],
    ['a fraction after expiry', {}, nowMs + 10_000.01, 'ticket_expired'],
    ['years after expiry', {}, nowMs * 2, 'ticket_expired'],
    ['the shortest ttl, before', { ttlSeconds: 1 }, nowMs + 999, 'good'],
    ['the shortest ttl, at', { ttlSeconds: 1 }, nowMs + 1000, 'ticket_expired'],
    ['the longest ttl, before', { ttlSeconds: 3600 }, nowMs + 3_599_999, 'good'],
    ['the longest ttl, at', { ttlSeconds: 3600 }, nowMs + 3_600_000, 'ticket_expired'],
    ['before the session ends', { claims: claimsEndingAt(endSeconds) }, endSeconds * 1000 - 1, 'good'],
    ['when the session ends', { claims: claimsEndingAt(endSeconds) }, endSeconds * 1000, 'ticket_expired'],
    ['a session that ended long ago', { claims: claimsEndingAt(0) }, nowMs, 'ticket_expired'],
  ]
  for (const [name, parts, at, expected] of cases) t.equal(outcome(seal(parts), at), expected, name)
})

t.test('invalid tickets are refused even with a valid MAC', async t => {
  t.equal(outcome(seal({ claims: claimsOfBytes(512) })), 'good', '512 bytes of claims are accepted')
  const cases: readonly (readonly [name: string, parts: Parts])[] = [
    ['ttl 0', { ttlSeconds: 0 }],
    ['ttl 3601', { ttlSeconds: 3601 }],
    ['ttl 65535', { ttlSeconds: 65_535 }],
    ['version 0', { version: 0 }],
    ['version 2', { version: 2 }],
    ['no claims', { claims: Buffer.alloc(0) }],
    ['claims without a user', { claims: Buffer.from('81a17805', 'hex') }],
    [
      'an unknown claim',
      { claims: Buffer.concat([Buffer.of(0x83), smallClaims.subarray(1), Buffer.from('a17a01', 'hex')]) },
    ],
    ['a byte after the claims', { claims: Buffer.concat([smallClaims, Buffer.of(0xc0)]) }],
    ['513 bytes of claims', { claims: claimsOfBytes(513) }],
  ]
  for (const [name, parts] of cases) t.equal(outcome(seal(parts)), 'ticket_invalid', name)
  t.equal(
    outcome(seal({ ttlSeconds: 0 }), nowMs + 1),
    'ticket_invalid',
    'invalid takes precedence over expired',
  )
})

t.test('tickets with an invalid MAC are refused', async t => {
  const body = layOut()
  const cases = [
    ['another secret', seal({}, undefined, otherSecret)],
    ['no label', seal({}, Buffer.alloc(0))],
    ['the label without zero bytes', seal({}, Buffer.from('ticketgate.ticket.v1'))],
    ['the label with one zero byte', seal({}, Buffer.from('ticketgate.ticket.v1\0'))],
    ['the label in capitals', seal({}, Buffer.from('TICKETGATE.TICKET.V1\0\0'))],
    ['the label of a node', seal({}, labelOf('edge-1'))],
    ['a MAC of zeros', textOf(body, Buffer.alloc(32))],
    ['a MAC over one byte less', textOf(body, macOf(body.subarray(0, -1)))],
    ['a MAC before the body', textOf(macOf(body), body)],
    ['the MAC of another ticket', textOf(body, macOf(layOut({ ttlSeconds: 11 })))],
    ['an expired ticket with a bad MAC', textOf(layOut({ issuedAtMs: 0 }), Buffer.alloc(32))],
  ] as const
  for (const [name, text] of cases) t.equal(outcome(text), 'ticket_invalid', name)
})

t.test('the key id selects the key, and only that one', async t => {
  const two = ringOf(ticketKey(0, secret), ticketKey(7, otherSecret))
  const cases = [
    ['key 0', seal(), 'good'],
    ['key 7', seal({ keyId: 7 }, undefined, otherSecret), 'good'],
    ['key 7 with the secret of key 0', seal({ keyId: 7 }), 'ticket_invalid'],
    ['key 0 with the secret of key 7', seal({}, undefined, otherSecret), 'ticket_invalid'],
    ['an unknown key', seal({ keyId: 1 }), 'ticket_invalid'],
    ['an unknown key with the highest id', seal({ keyId: 255 }), 'ticket_invalid'],
  ] as const
  for (const [name, text, expected] of cases) t.equal(outcome(text, nowMs, two), expected, name)
  t.equal(outcome(seal(), nowMs, new Map()), 'ticket_invalid', 'an empty ring')
})

t.test('a ticket is valid only at the gate that it names, both in its text and in its MAC', async t => {
  const of = (inText: string, inMac: string) => {
    const body = layOut()
    return `${inText}${textOf(body, macOf(body, labelOf(inMac)))}`
  }
  const at = (node: string) => {
    const keys = ringOf(ticketKey(0, secret, node))
    return (text: string) => outcome(text, nowMs, keys, { ...anyTime, node })
  }
  const [nameless, edge1] = [at(''), at('edge-1')]
  const cases = [
    ['no name, at a gate without one', nameless(of('', '')), 'good'],
    ['its own name', edge1(of('edge-1.', 'edge-1')), 'good'],
    ['another name', edge1(of('edge-2.', 'edge-2')), 'wrong_node'],
    ['another name in the text alone', edge1(of('edge-2.', 'edge-1')), 'wrong_node'],
    ['another name under the MAC alone', edge1(of('edge-1.', 'edge-2')), 'ticket_invalid'],
    ['a name at a gate without one', nameless(of('edge-1.', 'edge-1')), 'wrong_node'],
    ['a name in the text alone, at a gate without one', nameless(of('edge-1.', '')), 'wrong_node'],
    ['no name at a gate with one', edge1(of('', 'edge-1')), 'ticket_invalid'],
    ['an empty name', nameless(of('.', '')), 'ticket_invalid'],
    ['an empty name at a gate with one', edge1(of('.', 'edge-1')), 'ticket_invalid'],
    ['the name twice', edge1(of('edge-1.edge-1.', 'edge-1')), 'ticket_invalid'],
    ['the name in capitals', edge1(of('EDGE-1.', 'edge-1')), 'ticket_invalid'],
    ['the name and a space', edge1(of('edge-1 .', 'edge-1')), 'ticket_invalid'],
    ['an invalid name', edge1(of(`${'a'.repeat(33)}.`, 'edge-1')), 'ticket_invalid'],
  ] as const
  for (const [name, result, expected] of cases) t.equal(result, expected, name)
})

t.test(
  'tickets from outside minters are limited by the clock skew and the times that the gate allows',
  async t => {
    const startMs = nowMs - 60_000
    const policy = {
      node: '',
      skewMs: 5000,
      earliestOutsideMs: startMs + 5000,
      outsideUntilMs: nowMs + 60_000,
    }
    const keys = ringOf(ticketKey(0, secret), ticketKey(7, otherSecret))
    const minted = (issuedAtMs: number, ttlSeconds = 3600) =>
      seal({ keyId: 7, issuedAtMs, ttlSeconds }, undefined, otherSecret)
    const own = (issuedAtMs: number, ttlSeconds = 3600) => seal({ issuedAtMs, ttlSeconds })
    const cases = [
      ['a clock as far ahead as allowed', minted(nowMs + 5000), nowMs, 'good'],
      ['a millisecond further ahead', minted(nowMs + 5001), nowMs, 'ticket_invalid'],
      ['a clock as far behind as allowed', minted(nowMs, 10), nowMs + 14_999, 'good'],
      ['a millisecond further behind', minted(nowMs, 10), nowMs + 15_000, 'ticket_expired'],
      ['as old as the memory', minted(policy.earliestOutsideMs), nowMs, 'good'],
      ['a millisecond older', minted(policy.earliestOutsideMs - 1), nowMs, 'ticket_predates_gate'],
      ['from before the gate', minted(startMs - 1), nowMs, 'ticket_predates_gate'],
      ['a millisecond before the allowed time ends', minted(nowMs), policy.outsideUntilMs - 1, 'good'],
      ['when the allowed time ends', minted(nowMs), policy.outsideUntilMs, 'replay_cache_unavailable'],
      ['expired as well', minted(startMs - 20_000, 1), nowMs, 'ticket_expired'],
      ['its own tickets get no skew', own(nowMs, 10), nowMs + 10_000, 'ticket_expired'],
      ['its own tickets can predate the gate', own(startMs - 1), nowMs, 'good'],
      ['its own tickets have no such end', own(nowMs), policy.outsideUntilMs, 'good'],
    ] as const
    for (const [name, text, at, expected] of cases) t.equal(outcome(text, at, keys, policy), expected, name)
    t.equal(
      outcome(minted(nowMs), nowMs, keys, ownTicketsOnly),
      'ticket_predates_gate',
      'without outside minters',
    )
    t.equal(outcome(own(nowMs), nowMs, keys, ownTicketsOnly), 'good')
    const verified = verifyTicket(minted(nowMs, 10), keys, nowMs, policy)
    t.match(verified, { expiresAtMs: nowMs + 15_000 }, 'it is remembered for as long as it could be accepted')
  },
)

t.test('texts at and above the maximum length', async t => {
  t.equal(outcome('A'.repeat(760)), 'ticket_invalid')
  t.equal(fromText('A'.repeat(760))?.length, 570, 'a text of the maximum length is decoded')
  t.equal(fromText('A'.repeat(761)), undefined, 'a longer one is not')
  t.equal(outcome('A'.repeat(761)), 'ticket_invalid')
  t.equal(outcome('A'.repeat(10_000_000)), 'ticket_invalid')
})
