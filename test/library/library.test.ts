import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { inspect } from 'node:util'
import t, { type Test } from 'tap'
import { clock as processClock } from '../../src/clock.js'
import { parseAddress } from '../../src/http/address.js'
import { problemBody, problemMediaType } from '../../src/http/problem.js'
import {
  createBootKey,
  createIssuer,
  createMemoryReplayCache,
  createVerifier,
  type IssuerOptions,
  maySubscribe,
  type NewTicket,
  type Presentation,
  type ReplayCache,
  TicketError,
  type VerifierOptions,
} from '../../src/library/index.js'
import { isInPrefix, prefixOf } from '../../src/ticket/address.js'
import { isInNetwork, packNetwork } from '../../src/ticket/network.js'
import '../support/built.js'
import type { Vector, Vectors } from '../ticket/make-vectors.js'

const nowMs = 1_764_000_000_123
const nowSeconds = 1_764_000_000
const expires = nowSeconds + 900
const maggie: NewTicket = { user: 'maggie', expires }
const secret = Buffer.alloc(32, 'one secret')
const outside = { id: 7, secret }

/** A clock that the test sets. */
const clockAt = (startMs = nowMs) => {
  const manual = { nowMs: startMs, clock: () => manual.nowMs }
  return manual
}

/** An issuer and a verifier of one process. */
const pair = (options: Partial<VerifierOptions & IssuerOptions> = {}) => {
  const { clock = () => nowMs, node, ttlSeconds, ...rest } = options
  const key = createBootKey()
  return {
    key,
    issuer: createIssuer({ key, clock, node, ttlSeconds }),
    verifier: createVerifier({ keys: [key], clock, node, ...rest }),
  }
}

/** A verifier elsewhere, created a minute ago, and the issuer that has its key. */
const outsidePair = (options: Partial<VerifierOptions> = {}, node = 'gate-1') => ({
  issuer: createIssuer({ key: outside, node, clock: () => nowMs }),
  verifier: createVerifier({
    keys: [outside],
    node,
    clock: () => nowMs,
    notBeforeMs: nowMs - 60_000,
    ...options,
  }),
})

/** `good`, or the code of the refusal, with its retry hint. */
const outcome = (verify: () => unknown): string => {
  try {
    verify()
    return 'good'
  } catch (error) {
    if (!(error instanceof TicketError)) throw error
    return error.retryAfterSeconds === undefined ? error.code : `${error.code} ${error.retryAfterSeconds}`
  }
}

t.test('a ticket issued in the same process identifies its user once', async t => {
  const { issuer, verifier } = pair()
  const all = {
    ...maggie,
    issued: nowSeconds - 5,
    session: 's1',
    channel: 'red',
    publish: ['chat.*'],
    subscribe: ['*'],
    claims: { email: 'm@a.test', level: -1.5, admin: false, roles: ['a', 'b'] },
  }
  const { ticket, expires: end } = issuer.issue(all)
  t.equal(end, nowSeconds + 10)
  t.match(ticket, /^[A-Za-z0-9_-]+$/)
  const holder = verifier.verify(ticket, { channel: 'red' })
  t.same(holder, all)
  t.equal(holder.claims?.constructor, undefined)
  t.ok(maySubscribe(holder, 'red') && !maySubscribe(holder, 'blue'))
  t.equal(
    outcome(() => verifier.verify(ticket, { channel: 'red' })),
    'ticket_used',
  )
  t.strictSame(verifier.verify(issuer.issue(maggie).ticket), maggie, 'absent members stay absent')
  t.equal(issuer.issue(maggie, { ttlSeconds: 3600 }).expires, expires, 'a ticket never outlives its session')
  t.strictSame(
    pair({ node: 'edge-1' }).issuer.issue(maggie).ticket.split('.')[0],
    'edge-1',
    'a load balancer can read the node',
  )
})

t.test('the default clock is the one of the process', async t => {
  const key = createBootKey()
  const endsSoon = { user: 'maggie', expires: Math.floor(processClock() / 1000) + 60 }
  const { ticket } = createIssuer({ key }).issue(endsSoon)
  t.strictSame(createVerifier({ keys: [key] }).verify(ticket), endsSoon)
})

t.test('an issuer in another process can have the key in any form', async t => {
  const text = `7:${secret.toString('base64url')}`
  for (const key of [outside, text, `${text},8:${Buffer.alloc(40, 8).toString('base64url')}`]) {
    const issuer = createIssuer({ key, node: 'gate-1', clock: () => nowMs })
    for (const verifierKey of [outside, text]) {
      const { verifier } = outsidePair({ keys: [createBootKey(), verifierKey] })
      t.strictSame(verifier.verify(issuer.issue(maggie).ticket), maggie)
    }
  }
})

t.test('an issuer in another process uses the system clock', async t => {
  const before = Math.floor(Date.now() / 1000)
  const end = before + 3600
  const issuer = createIssuer({ key: outside, node: 'gate-1' })
  const issued = issuer.issue({ user: 'maggie', expires: end })
  t.ok(issued.expires >= before + 10 && issued.expires <= Math.floor(Date.now() / 1000) + 10)
  const verifier = createVerifier({ keys: [outside], node: 'gate-1', notBeforeMs: Date.now() - 60_000 })
  t.match(verifier.verify(issued.ticket), { user: 'maggie' })
})

t.test('a refused presentation gives its code and does not spend the ticket', async t => {
  const bound = { channel: 'red', origin: 'https://a.test', address: '203.0.113.9' }
  const lists = { publish: ['chat.*'], subscribe: ['news'] }
  const right: Presentation = { channel: 'red', origin: 'https://a.test', address: '203.0.113.9' }
  const { channel: _, ...noChannel } = right
  const { origin: __, ...noOrigin } = right
  const { address: ___, ...noAddress } = right
  const cases: readonly (readonly [string, Partial<NewTicket>, Presentation, Presentation, string])[] = [
    ['another channel', bound, { ...right, channel: 'blue' }, right, 'channel_forbidden'],
    ['no channel', bound, noChannel, right, 'channel_forbidden'],
    ['a channel not on the lists', lists, { channel: 'red' }, { channel: 'chat.a' }, 'channel_forbidden'],
    ['an invalid channel name', {}, { channel: 'a/b' }, { channel: 'a' }, 'channel_forbidden'],
    ['empty lists', { publish: [], subscribe: [] }, { channel: '' }, {}, 'channel_forbidden'],
    ['another origin', bound, { ...right, origin: 'https://b.test' }, right, 'origin_forbidden'],
    ['no origin', bound, noOrigin, right, 'origin_forbidden'],
    ['another address', bound, { ...right, address: '203.0.113.8' }, right, 'address_mismatch'],
    ['no address', bound, noAddress, right, 'address_mismatch'],
    ['an invalid address', bound, { ...right, address: 'localhost' }, right, 'address_mismatch'],
    ['channel before origin', bound, {}, right, 'channel_forbidden'],
  ]
  for (const [name, claims, wrong, good, code] of cases) {
    const { issuer, verifier } = pair()
    const { ticket } = issuer.issue({ ...maggie, ...claims })
    t.strictSame(
      [wrong, wrong, good, good, wrong].map(presented => outcome(() => verifier.verify(ticket, presented))),
      [code, code, 'good', 'ticket_used', code],
      name,
    )
  }
})

t.test('invalid tickets are refused', async t => {
  const { issuer, verifier } = pair()
  const { ticket } = issuer.issue(maggie)
  const cases: readonly (readonly [string, unknown, string])[] = [
    ['another key', pair().issuer.issue(maggie).ticket, 'ticket_invalid'],
    ['an unknown key', outsidePair().issuer.issue(maggie).ticket, 'wrong_node'],
    ['one character less', ticket.slice(0, -1), 'ticket_invalid'],
    ['nothing', '', 'ticket_invalid'],
    ['undefined', undefined, 'ticket_invalid'],
    ['null', null, 'ticket_invalid'],
    ['a list with the ticket', [ticket], 'ticket_invalid'],
    ['an object', { toString: () => ticket }, 'ticket_invalid'],
  ]
  for (const [name, text, code] of cases)
    t.equal(
      outcome(() => verifier.verify(text as string)),
      code,
      name,
    )
  t.equal(
    outcome(() => verifier.verify(ticket)),
    'good',
  )
  t.equal(
    outcome(() => verifier.verify(issuer.issue(maggie).ticket, { channel: ['a'] as unknown as string })),
    'channel_forbidden',
    'a list in place of a channel',
  )
})

t.test('a ticket ends at an exact millisecond', async t => {
  const manual = clockAt(nowSeconds * 1000)
  const { issuer, verifier } = pair({ clock: manual.clock, ttlSeconds: 2 })
  const [early, late, own] = [
    issuer.issue(maggie),
    issuer.issue(maggie),
    issuer.issue(maggie, { ttlSeconds: 1 }),
  ]
  const short = issuer.issue({ user: 'maggie', expires: nowSeconds + 1 })
  manual.nowMs += 1000
  t.equal(
    outcome(() => verifier.verify(own.ticket)),
    'ticket_expired',
    'a ttl for one ticket',
  )
  t.equal(
    outcome(() => verifier.verify(short.ticket)),
    'ticket_expired',
    'the session has ended',
  )
  t.equal(short.expires, nowSeconds + 1)
  manual.nowMs += 999
  t.equal(
    outcome(() => verifier.verify(early.ticket)),
    'good',
  )
  manual.nowMs += 1
  for (const { ticket } of [early, late])
    t.equal(
      outcome(() => verifier.verify(ticket)),
      'ticket_expired',
    )
  manual.nowMs -= 2000
  t.equal(
    outcome(() => verifier.verify(early.ticket)),
    'ticket_used',
    'setting the clock back does not make a spent ticket valid',
  )
})

t.test('tickets from another process are limited by node, notBeforeMs and clock skew', async t => {
  const at = (issuedMs: number, options: Partial<VerifierOptions> = {}, verifierNode = 'gate-1') => {
    const issuer = createIssuer({ key: outside, node: options.node ?? 'gate-1', clock: () => issuedMs })
    const { verifier } = outsidePair(options, verifierNode)
    return outcome(() => verifier.verify(issuer.issue(maggie).ticket))
  }
  const born = (notBeforeMs: number) => ({ notBeforeMs })
  // Under a name of its own, since the largest skew of a name counts.
  const exactly = { node: 'exact', clockSkewSeconds: 0, ...born(nowMs) }
  const cases = [
    ['in time', at(nowMs), 'good'],
    ['for another verifier', at(nowMs, {}, 'gate-2'), 'wrong_node'],
    ['clock ahead as far as allowed', at(nowMs + 5000), 'good'],
    ['clock further ahead', at(nowMs + 5001), 'ticket_invalid'],
    ['clock behind as far as allowed', at(nowMs - 14_999), 'good'],
    ['clock further behind', at(nowMs - 15_000), 'ticket_expired'],
    ['as old as the memory', at(nowMs - 1000, born(nowMs - 6000)), 'good'],
    ['a millisecond older', at(nowMs - 1001, born(nowMs - 6000)), 'ticket_predates_gate 5'],
    ['a memory that begins later', at(nowMs, born(nowMs + 20_000)), 'ticket_predates_gate 25'],
    ['no skew allowed, in time', at(nowMs, exactly), 'good'],
    ['no skew allowed, a millisecond older', at(nowMs - 1, exactly), 'ticket_predates_gate 1'],
    ['no skew allowed, ahead', at(nowMs + 1, exactly), 'ticket_invalid'],
  ] as const
  for (const [name, result, expected] of cases) t.equal(result, expected, name)
})

t.test('without notBeforeMs the memory begins when the verifier is created', async t => {
  const manual = clockAt()
  const verifier = createVerifier({ keys: [outside], node: 'gate-1', clock: manual.clock })
  const issuer = createIssuer({ key: outside, node: 'gate-1', clock: manual.clock })
  const early = issuer.issue(maggie, { ttlSeconds: 60 })
  manual.nowMs += 5000
  const edge = issuer.issue(maggie)
  manual.nowMs += 1
  const late = issuer.issue(maggie)
  const results = [early, edge, late].map(({ ticket }) => outcome(() => verifier.verify(ticket)))
  t.strictSame(results, ['ticket_predates_gate 5', 'ticket_predates_gate 5', 'good'])
})

t.test(
  'of two verifiers with the same name, neither accepts a ticket that the other has accepted',
  async t => {
    const manual = clockAt()
    const create = (options: Partial<VerifierOptions> = {}) =>
      createVerifier({ keys: [outside], node: 'twins', clock: manual.clock, ...options })
    const issue = () =>
      createIssuer({ key: outside, node: 'twins', clock: () => manual.nowMs + 5000 }).issue(maggie).ticket
    const elder = create()
    manual.nowMs += 1
    const spent = issue()
    t.match(elder.verify(spent), maggie)
    const younger = create()
    t.equal(
      outcome(() => younger.verify(spent)),
      'ticket_predates_gate 6',
      'a ticket spent in the same millisecond is refused',
    )
    manual.nowMs += 1
    const fresh = issue()
    t.equal(
      outcome(() => elder.verify(fresh)),
      'replay_cache_unavailable 1',
    )
    t.match(younger.verify(fresh), maggie)

    const replay = createMemoryReplayCache(100)
    const [one, two] = [create({ replay, notBeforeMs: 0 }), create({ replay, notBeforeMs: 0 })]
    const [first, second] = [issue(), issue()]
    t.match(one.verify(first), maggie)
    t.match(two.verify(second), maggie, 'verifiers that share a memory both work')
    t.strictSame(
      [one, two].flatMap(verifier => [first, second].map(text => outcome(() => verifier.verify(text)))),
      Array(4).fill('ticket_used'),
    )
  },
)

t.test('a verifier with a smaller clock skew accepts no ticket that an older one has accepted', async t => {
  const cases = [
    ['a smaller skew', [60, 5]],
    ['none', [300, 0]],
    ['smaller twice', [60, 30, 5]],
    ['larger in between', [60, 300, 5]],
  ] as const
  for (const [index, [name, [first, ...later]]] of cases.entries()) {
    const manual = clockAt()
    const node = `skews-${index}`
    const create = (clockSkewSeconds: number) =>
      createVerifier({ keys: [outside], node, clock: manual.clock, clockSkewSeconds })
    const issue = (aheadMs: number) =>
      createIssuer({ key: outside, node, clock: () => manual.nowMs + aheadMs }).issue(maggie).ticket
    const elder = create(first)
    manual.nowMs += 1
    const ticket = issue(first * 1000)
    t.match(elder.verify(ticket), maggie, name)
    const verifiers = later.map(create)
    manual.nowMs += first * 1000
    t.match(
      verifiers.map(verifier => outcome(() => verifier.verify(ticket))).at(-1),
      /^ticket_predates_gate/,
      name,
    )
    manual.nowMs += 300_000
    t.match(verifiers.at(-1)?.verify(issue(0)), maggie, `${name}: later tickets are accepted`)
  }
})

t.test(
  'a memory that lost its name to another cannot take it back: it lacks the tickets spent there',
  async t => {
    const manual = clockAt()
    const [first, second] = [createMemoryReplayCache(100), createMemoryReplayCache(100)]
    const create = (replay: ReplayCache, node: string) => () =>
      createVerifier({ keys: [outside], node, clock: manual.clock, replay })
    const elder = create(first, 'back')()
    manual.nowMs += 1
    const younger = create(second, 'back')()
    manual.nowMs += 1
    const { ticket } = createIssuer({ key: outside, node: 'back', clock: () => manual.nowMs + 5000 }).issue(
      maggie,
    )
    t.match(younger.verify(ticket), maggie)
    t.throws(create(first, 'back'), { name: 'TypeError', message: /^replay must be .* a new one/ })
    t.equal(
      outcome(() => elder.verify(ticket)),
      'replay_cache_unavailable 1',
    )
    t.doesNotThrow(create(second, 'back'), 'the memory in use can be used again')
    t.doesNotThrow(create(first, 'elsewhere'), 'the other can be used for another name')
  },
)

t.test('verifiers that share a memory must have the same clock skew', async t => {
  const replay = createMemoryReplayCache(100)
  const create = (clockSkewSeconds: number) => () =>
    createVerifier({ keys: [outside], node: 'skewed', clock: () => nowMs, replay, clockSkewSeconds })
  create(0)()
  t.throws(create(300), { name: 'TypeError', message: /^clockSkewSeconds must be/ })
  t.doesNotThrow(create(0))
})

t.test('a verifier that is refused keeps neither its boot key nor its node from others', async t => {
  const manual = clockAt()
  const { clock } = manual
  const create = (options: Partial<VerifierOptions>) => () =>
    createVerifier({ keys: [outside], node: 'refused', clock, ...options })
  const key = createBootKey()
  const replay = createMemoryReplayCache(100)
  create({ replay })()
  const other = { keys: [key, outside], replay, clockSkewSeconds: 0 }
  t.throws(create(other), { name: 'TypeError', message: /^clockSkewSeconds must be/ })
  t.doesNotThrow(create({ keys: [key] }), 'the boot key is free')

  const current = create({ clockSkewSeconds: 5 })()
  const bound = { keys: [key, outside], clockSkewSeconds: 300 }
  t.throws(create(bound), { name: 'TypeError', message: /^replay must be/ })
  manual.nowMs += 1
  const issuer = createIssuer({ key: outside, node: 'refused', clock: () => manual.nowMs + 5000 })
  t.match(current.verify(issuer.issue(maggie).ticket), maggie, 'the node stays where it is')
  const later = create({})()
  manual.nowMs += 1
  t.match(later.verify(issuer.issue(maggie).ticket), maggie, 'the refused clock skew does not count')
})

t.test('verifiers with the same boot key must share a memory', async t => {
  const key = createBootKey()
  const replay = createMemoryReplayCache(100)
  const one = createVerifier({ keys: [key], clock: () => nowMs, replay })
  t.throws(() => createVerifier({ keys: [key] }), { name: 'TypeError', message: /^replay must be/ })
  const two = createVerifier({ keys: [key], clock: () => nowMs, replay })
  const { ticket } = createIssuer({ key, clock: () => nowMs }).issue(maggie)
  t.match(two.verify(ticket), maggie)
  t.equal(
    outcome(() => one.verify(ticket)),
    'ticket_used',
  )
})

t.test('a full memory refuses without forgetting or spending tickets, and recovers', async t => {
  const manual = clockAt()
  const { issuer, verifier } = pair({ clock: manual.clock, capacity: 2 })
  const tickets = [10, 10, 60].map(ttlSeconds => issuer.issue(maggie, { ttlSeconds }).ticket)
  const present = () => tickets.map(ticket => outcome(() => verifier.verify(ticket)))
  t.strictSame(present(), ['good', 'good', 'replay_cache_full 10'])
  t.strictSame(present(), ['ticket_used', 'ticket_used', 'replay_cache_full 10'])
  manual.nowMs += 10_001
  t.strictSame(present(), ['ticket_expired', 'ticket_expired', 'good'])
})

t.test('an unavailable memory refuses, as does one that returns an invalid result', async t => {
  const base = createMemoryReplayCache(100)
  const saying = (answer: unknown): ReplayCache => ({ ...base, spend: () => answer as 'fresh' })
  for (const answer of ['unavailable', Promise.resolve('fresh'), undefined, true]) {
    const { issuer, verifier } = pair({ replay: saying(answer) })
    t.equal(
      outcome(() => verifier.verify(issuer.issue(maggie).ticket)),
      'replay_cache_unavailable 1',
    )
  }
})

t.test("the error is a complete HTTP response, the same as the server's", async t => {
  const full = pair({ capacity: 1 })
  full.verifier.verify(full.issuer.issue(maggie).ticket)
  const { issuer, verifier } = pair()
  const { ticket } = issuer.issue({ ...maggie, channel: 'red' })
  const cases = [
    [() => verifier.verify(''), 'ticket_invalid', 401, {}],
    [() => verifier.verify(ticket), 'channel_forbidden', 403, {}],
    [() => verifier.verify(`other.${ticket}`), 'wrong_node', 421, {}],
    [
      () => full.verifier.verify(full.issuer.issue(maggie).ticket),
      'replay_cache_full',
      503,
      { 'Retry-After': '10' },
    ],
  ] as const
  for (const [verify, code, status, headers] of cases) {
    try {
      verify()
      t.fail(`${code}: accepted`)
    } catch (error) {
      if (!(error instanceof TicketError)) throw error
      t.match(error, { name: 'TicketError', code, status })
      t.equal(JSON.stringify(error), problemBody(code))
      t.strictSame(error.headers, {
        'Content-Type': problemMediaType,
        'Cache-Control': 'no-store',
        ...headers,
      })
      t.notOk(inspect(error, { depth: 9 }).includes(ticket), 'the error does not contain the ticket')
    }
  }
})

t.test('networks match as in the gate, in every form of an address', async t => {
  const cases: readonly (readonly [network: string, packed: string, inside: string[], outside: string[]])[] =
    [
      ['203.0.113.9', '20cb007109', ['203.0.113.9', '::ffff:203.0.113.9'], ['203.0.113.8', '::1']],
      ['::ffff:203.0.113.9', '20cb007109', ['203.0.113.9'], ['203.0.113.8']],
      ['203.0.113.77/24', '18cb0071', ['203.0.113.0', '203.0.113.255'], ['203.0.112.255', '203.0.114.0']],
      ['10.0.0.0/9', '090a00', ['10.127.255.255'], ['10.128.0.0']],
      ['0.0.0.0/0', '00', ['1.2.3.4'], ['::', '2001:db8::1']],
      [
        '2001:db8::5:6:7:8',
        '4020010db800000000',
        ['2001:db8::1', '2001:db8::ffff:0:0:1'],
        ['2001:db8:0:1::1'],
      ],
      ['2001:db8:ffff::/33', '2120010db880', ['2001:db8:8000::'], ['2001:db8:7fff::', '32.1.13.184']],
      ['fe80::1%eth0', '40fe80000000000000', ['fe80::2%eth1', 'fe80::3'], ['fe81::1']],
    ]
  for (const [network, packed, inside, outside] of cases) {
    const prefix = packNetwork(network) ?? Buffer.alloc(0)
    t.equal(Buffer.from(prefix).toString('hex'), packed, network)
    for (const [address, expected] of [
      ...inside.map(a => [a, true] as const),
      ...outside.map(a => [a, false] as const),
    ]) {
      const bytes = parseAddress(address.replace(/%.*/, '')) ?? Buffer.alloc(0)
      t.strictSame(
        [isInNetwork(address, prefix), isInNetwork(bytes, prefix), isInPrefix(bytes, prefix)],
        [expected, expected, expected],
        `${address} in ${network}`,
      )
    }
  }
  for (const address of ['198.51.100.7', '2001:db8:1:2:3:4:5:6']) {
    const bytes = parseAddress(address) ?? Buffer.alloc(0)
    t.strictSame(packNetwork(bytes), prefixOf(bytes, bytes.length === 4 ? 32 : 64))
  }
  t.notOk(isInNetwork('203.0.113.9', Buffer.from('18cb007100', 'hex')), 'a packed network with an extra byte')
  t.notOk(
    isInNetwork('203.0.113.9', Buffer.from('17cb0071', 'hex')),
    'a packed network with a bit after the prefix',
  )
})

t.test('the library agrees with the vectors of the format', async t => {
  const file = new URL('../../src/ticket/vectors.json', import.meta.url)
  const { valid, invalid } = JSON.parse(readFileSync(file, 'utf8')) as Vectors
  const verifierOf = ({ keyId, key, node, nowMs: at, skewSeconds = 0, bornAtMs = 0 }: Vector) =>
    createVerifier({
      keys: [{ id: keyId, secret: Buffer.from(key, 'base64url') }],
      node,
      clock: () => at,
      clockSkewSeconds: skewSeconds,
      notBeforeMs: bornAtMs,
    })
  const usable = ({ keyId, node, store }: Vector) => keyId > 0 && node !== '' && store !== true
  const good = valid.filter(usable)
  const bad = invalid.filter(usable)
  t.ok(
    good.length >= 5 && bad.length >= 20,
    `enough vectors apply: ${good.length} valid, ${bad.length} invalid`,
  )
  for (const vector of good) {
    const { c: channel, o: origin, a, u: user, x } = vector.claims as Record<string, string>
    const [bits = 0, ...prefix] = Buffer.from(a ?? '', 'hex')
    const address = Uint8Array.from({ length: bits > 32 ? 16 : 4 }, (_, index) => prefix[index] ?? 0)
    t.match(
      verifierOf(vector).verify(vector.ticket, { channel, origin, address }),
      { user, expires: x },
      vector.name,
    )
  }
  for (const vector of bad)
    t.equal(outcome(() => verifierOf(vector).verify(vector.ticket)).split(' ')[0], vector.code, vector.name)
})

type Misuse = readonly [option: string, misuse: () => unknown]

const expectTypeErrors = (t: Test, cases: readonly Misuse[]): void => {
  for (const [option, misuse] of cases)
    t.throws(
      misuse,
      { name: 'TypeError', message: new RegExp(`^${option.replace(/[[\].]/g, '\\$&')}[: ]`) },
      option,
    )
}

const shortKey = { id: 1, secret: Buffer.alloc(31) }

t.test('invalid options of an issuer are TypeErrors that name the option', async t => {
  const key = createBootKey()
  const issuer = (options: unknown) => () => createIssuer(options as IssuerOptions)
  expectTypeErrors(t, [
    ['options', issuer(undefined)],
    ['options.ttl', issuer({ key, ttl: 5 })],
    ['key', issuer({})],
    ['key', issuer({ key: '' })],
    ['key', issuer({ key: '7:tooshort' })],
    ['key', issuer({ key: '0:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA' })],
    ['key.id', issuer({ key: structuredClone(key) })],
    ['key.id', issuer({ key: { id: 0, secret } })],
    ['key.id', issuer({ key: { id: 256, secret } })],
    ['key.id', issuer({ key: { id: 1.5, secret } })],
    ['key.secret', issuer({ key: shortKey })],
    ['key.secret', issuer({ key: { id: 1, secret: 'a'.repeat(64) } })],
    ['node', issuer({ key: outside })],
    ['node', issuer({ key, node: 'Gate 1' })],
    ['ttlSeconds', issuer({ key, ttlSeconds: 0 })],
    ['ttlSeconds', issuer({ key, ttlSeconds: 3601 })],
    ['ttlSeconds', issuer({ key, ttlSeconds: 1.5 })],
    ['ttlSeconds', issuer({ key, ttlSeconds: '10' })],
    ['clock', issuer({ key, clock: 5 })],
    ['clock', () => createIssuer({ key, clock: () => Number.NaN }).issue(maggie)],
    ['clock', () => createIssuer({ key, clock: () => -1 }).issue(maggie)],
  ])
})

t.test('invalid claims are TypeErrors that name the claim', async t => {
  const key = createBootKey()
  const issue = (claims: unknown, options?: unknown) => () =>
    createIssuer({ key, clock: () => nowMs }).issue(claims as NewTicket, options as { ttlSeconds: number })
  expectTypeErrors(t, [
    ['claims', issue(undefined)],
    ['claims.chanel', issue({ ...maggie, chanel: 'red' })],
    ['claims.user', issue({ expires })],
    ['claims.user', issue({ user: '', expires })],
    ['claims.user', issue({ user: 5, expires })],
    ['claims.user', issue({ user: 'a\r\nb', expires })],
    ['claims.user', issue({ user: '\ud800', expires })],
    ['claims.expires', issue({ user: 'maggie' })],
    ['claims.expires', issue({ user: 'maggie', expires: nowMs })],
    ['claims.expires', issue({ user: 'maggie', expires: 1.5 })],
    ['claims.expires', issue({ user: 'maggie', expires: Number.POSITIVE_INFINITY })],
    ['claims.expires', issue({ user: 'maggie', expires: new Date() })],
    ['claims.issued', issue({ ...maggie, issued: -1 })],
    ['claims.session', issue({ ...maggie, session: '' })],
    ['claims.channel', issue({ ...maggie, channel: 'a b' })],
    ['claims.channel', issue({ ...maggie, channel: null })],
    ['claims.publish', issue({ ...maggie, publish: 'chat.*' })],
    ['claims.subscribe', issue({ ...maggie, subscribe: ['a*b'] })],
    ['claims.claims', issue({ ...maggie, claims: ['a'] })],
    ['claims.claims', issue({ ...maggie, claims: { 'a b': 'x' } })],
    ['claims.claims', issue({ ...maggie, claims: { org_id: 'x', 'Org-Id': 'y' } })],
    ['claims.claims', issue({ ...maggie, claims: JSON.parse('{"__proto__":"x"}') })],
    ['claims.claims', issue({ ...maggie, claims: { org: null } })],
    ['claims.claims', issue({ ...maggie, claims: { org: { id: 1 } } })],
    ['claims.claims', issue({ ...maggie, claims: { level: Number.NaN } })],
    ['claims.claims', issue({ ...maggie, claims: { org: '\ud800' } })],
    ['claims.claims', issue({ ...maggie, claims: { org: 'x'.repeat(256) } })],
    ['claims.origin', issue({ ...maggie, origin: 'https://a.test/' })],
    ['claims.origin', issue({ ...maggie, origin: 'null' })],
    ['claims.address', issue({ ...maggie, address: 'localhost' })],
    ['claims.address', issue({ ...maggie, address: '' })],
    ['claims.address', issue({ ...maggie, address: '10.0.0.0/33' })],
    ['claims.address', issue({ ...maggie, address: '10.0.0.0/8/8' })],
    ['claims.address', issue({ ...maggie, address: '10.0.0.0/' })],
    ['claims.address', issue({ ...maggie, address: '2001:db8::/32' })],
    ['claims.address', issue({ ...maggie, address: '::ffff:10.0.0.0/104' })],
    ['claims.address', issue({ ...maggie, address: Buffer.alloc(5) })],
    ['claims', issue({ ...maggie, publish: Array(40).fill('a-long-name-of-a-channel') })],
    ['ttlSeconds', issue(maggie, { ttlSeconds: 0 })],
    ['options.channel', issue(maggie, { channel: 'red' })],
  ])
})

t.test('invalid options of a verifier are TypeErrors that name the option', async t => {
  const key = createBootKey()
  const verifier = (options: unknown) => () => createVerifier(options as VerifierOptions)
  expectTypeErrors(t, [
    ['options', verifier(undefined)],
    ['options.capcity', verifier({ keys: [key], capcity: 5 })],
    ['keys', verifier({})],
    ['keys', verifier({ keys: [] })],
    ['keys', verifier({ keys: outside, node: 'gate-1' })],
    ['keys', verifier({ keys: [outside, { id: 7, secret: Buffer.alloc(32) }], node: 'gate-1' })],
    ['keys', verifier({ keys: [key, createBootKey()] })],
    ['keys[0]', verifier({ keys: [undefined] })],
    ['keys[1].secret', verifier({ keys: [outside, shortKey], node: 'gate-1' })],
    ['node', verifier({ keys: [outside] })],
    ['node', verifier({ keys: [key], node: 'a.b' })],
    ['clockSkewSeconds', verifier({ keys: [key], clockSkewSeconds: -1 })],
    ['clockSkewSeconds', verifier({ keys: [key], clockSkewSeconds: 301 })],
    ['clockSkewSeconds', verifier({ keys: [key], clockSkewSeconds: Number.NaN })],
    ['notBeforeMs', verifier({ keys: [key], notBeforeMs: Number.NaN })],
    ['notBeforeMs', verifier({ keys: [key], notBeforeMs: '0' })],
    ['capacity', verifier({ keys: [key], capacity: 0 })],
    ['capacity', verifier({ keys: [key], capacity: 1.5 })],
    ['capacity', verifier({ keys: [key], capacity: 5, replay: createMemoryReplayCache(5) })],
    ['replay', verifier({ keys: [key], replay: {} })],
    ['clock', verifier({ keys: [key], clock: 5 })],
    ['clock', () => pair({ clock: () => Number.NaN, notBeforeMs: 0 }).verifier.verify('')],
  ])
})

t.test('printing a key, or an error about it, does not reveal it', async t => {
  const shown = inspect([createBootKey(), createIssuer({ key: outside, node: 'gate-1' })], {
    depth: 9,
    showHidden: true,
  })
  t.notMatch(shown, /Buffer|Uint8Array/)
  const text = `7:${secret.toString('base64url')}`
  t.throws(() => createIssuer({ key: `${text}=`, node: 'gate-1' }), { message: /^(?!.*b25lIHNl).*$/s })
  t.match(text, /b25lIHNl/, 'the pattern above matches the secret')
})

t.test('the package exports the library as ticketgate/ticket, without the server', async t => {
  const script = `
    const names = Object.keys(await import('ticketgate/ticket'))
    const { sharedObjects } = process.report.getReport()
    console.log(JSON.stringify({ names, uws: sharedObjects.filter(path => /uws/i.test(path)) }))`
  const printed = execFileSync(process.execPath, ['--input-type=module', '--eval', script], {
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
    env: {},
    encoding: 'utf8',
  })
  t.strictSame(JSON.parse(printed), {
    names: [
      'TicketError',
      'createBootKey',
      'createIssuer',
      'createMemoryReplayCache',
      'createVerifier',
      'mayOpen',
      'mayPublish',
      'maySubscribe',
    ],
    uws: [],
  })
})
