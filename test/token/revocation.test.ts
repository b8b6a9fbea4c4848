import t from 'tap'
import {
  createRevocations,
  endsAtOnce,
  isRevocation,
  laterOf,
  type Revocation,
} from '../../src/token/revocation.js'

const at = 1_764_000_000
const revoke = (name: string, more: Partial<Revocation> = {}): Revocation => ({
  type: 'revoke',
  subject: 'user',
  name,
  atSeconds: at,
  untilSeconds: at + 900,
  ...more,
})
const token = (user: string, issuedAtSeconds: number, session?: string) => ({
  user,
  session,
  issuedAtSeconds,
})

t.test('tokens issued up to the second of the revocation are revoked, later ones are not', async t => {
  const revocations = createRevocations()
  t.equal(revocations.covers(token('maggie', at)), false)
  t.equal(revocations.add(revoke('maggie'), at), 'added')
  for (const [issued, covered] of [
    [0, true],
    [at - 1, true],
    [at, true],
    [at + 1, false],
  ] as const)
    t.equal(revocations.covers(token('maggie', issued)), covered, `issued at ${issued}`)
  t.equal(revocations.covers(token('theo', at - 1)), false, 'another user')
  t.equal(revocations.covers(token('theo', at - 1, 'maggie')), false, 'a session of that name')
})

t.test('a session is revoked separately', async t => {
  const revocations = createRevocations()
  revocations.add(revoke('s1', { subject: 'session' }), at)
  t.equal(revocations.covers(token('maggie', at, 's1')), true)
  t.equal(revocations.covers(token('maggie', at, 's2')), false)
  t.equal(revocations.covers(token('maggie', at)), false)
  t.equal(revocations.covers(token('s1', at)), false)
  t.equal(revocations.covers(token('maggie', at + 1, 's1')), false)
})

t.test('names are compared exactly', async t => {
  const revocations = createRevocations()
  for (const name of ['__proto__', 'constructor', 'hasOwnProperty'])
    t.equal(revocations.covers(token(name, at, name)), false, name)
  revocations.add(revoke('__proto__'), at)
  t.equal(revocations.covers(token('__proto__', at)), true)
  t.equal(revocations.size, 1)
})

t.test('the latest revocation and the latest end apply, in whatever order they arrive', async t => {
  const revocations = createRevocations()
  revocations.add(revoke('maggie', { atSeconds: at, untilSeconds: at + 100 }), at)
  revocations.add(revoke('maggie', { atSeconds: at - 50, untilSeconds: at + 50 }), at)
  t.equal(revocations.covers(token('maggie', at)), true)
  t.match(revocations.list(at + 99), [{ atSeconds: at, untilSeconds: at + 100 }])
})

t.test('revocations are forgotten once the tokens that they concern have expired, not before', async t => {
  const revocations = createRevocations()
  revocations.add(revoke('maggie'), at)
  revocations.add(revoke('s', { subject: 'session', untilSeconds: at + 1000 }), at)
  t.equal(revocations.list(at + 899).length, 2)
  t.match(revocations.list(at + 900), [{ name: 's' }])
  t.equal(revocations.size, 1)
  t.strictSame(revocations.list(at + 1000), [])
})

t.test('a channel stays revoked until the sessions that began before have ended', async t => {
  const news = revoke('news', { subject: 'channel' })
  const maggies = revoke('maggie', { subject: 'user_channel', channel: 'sport' })
  const longest = at + 5000
  const cases = [
    ['a session that began before', token('maggie', at), longest, longest, longest],
    ['a later session', token('maggie', at + 1), longest, at + 900, at + 900],
    ['a session of another user', token('theo', at - 5), longest, longest, at + 900],
    ['a session that ends with its token', token('maggie', at), at + 900, at + 900, at + 900],
    ['a session that ends a second later', token('maggie', at), at + 901, at + 901, at + 901],
  ] as const
  for (const [name, authority, ends, newsUntil, sportUntil] of cases) {
    const revocations = createRevocations([revoke('maggie'), news])
    revocations.add(maggies, at)
    revocations.keepFor(authority, ends)
    t.match(
      revocations.list(at),
      [revoke('maggie'), { untilSeconds: newsUntil }, { untilSeconds: sportUntil }],
      name,
    )
    t.equal(revocations.size, 3, name)
  }
})

t.test('a full memory keeps its entries and accepts no new ones', async t => {
  const revocations = createRevocations([], 2)
  t.equal(revocations.add(revoke('a', { untilSeconds: at + 10 }), at), 'added')
  t.equal(revocations.add(revoke('b'), at), 'added')
  t.equal(revocations.add(revoke('c'), at + 9), 'full')
  t.equal(revocations.covers(token('c', at)), false)
  t.equal(
    revocations.add(revoke('a', { atSeconds: at + 5 }), at + 9),
    'added',
    'a later revocation replaces its own entry',
  )
  t.equal(revocations.covers(token('a', at + 5)), true)
  t.equal(revocations.add(revoke('a'), at + 9), 'known')
  t.equal(revocations.add(revoke('c'), at + 900), 'added', 'there is room once others are forgotten')
  t.equal(revocations.size, 1)
})

t.test('loaded revocations are all kept, even beyond the capacity', async t => {
  const revocations = createRevocations([revoke('a'), revoke('b'), revoke('c')], 2)
  for (const name of ['a', 'b', 'c']) t.equal(revocations.covers(token(name, at)), true, name)
})

t.test('listed revocations can be loaded again', async t => {
  const before = createRevocations()
  before.add(revoke('maggie'), at)
  before.add(revoke('s1', { subject: 'session' }), at)
  const after = createRevocations(before.list(at))
  t.strictSame(after.list(at), before.list(at))
  t.equal(after.covers(token('x', at, 's1')), true)
})

t.test('all earlier tokens are revoked at once', async t => {
  const revocations = createRevocations()
  revocations.add(revoke('', { subject: 'all' }), at)
  t.equal(revocations.covers(token('maggie', at)), true)
  t.equal(revocations.covers(token('theo', at, 's1')), true)
  t.equal(revocations.covers(token('theo', at + 1, 's1')), false)
  t.equal(revocations.firstGoodSecond('maggie'), at + 1)
})

t.test('revoking a channel, for all or for one user, revokes nothing else', async t => {
  const revocations = createRevocations()
  revocations.add(revoke('news', { subject: 'channel' }), at)
  revocations.add(revoke('maggie', { subject: 'user_channel', channel: 'lobby' }), at)
  revocations.add(revoke('maggie', { subject: 'user_channel', channel: 'red', atSeconds: at + 5 }), at)
  for (const [user, channel, issued, isRevoked] of [
    ['theo', 'news', at, true],
    ['theo', 'news', at + 1, false],
    ['theo', 'lobby', at, false],
    ['maggie', 'lobby', at, true],
    ['maggie', 'lobby', at + 1, false],
    ['maggie', 'red', at + 5, true],
    ['maggie', 'maggie', at, false],
  ] as const)
    t.equal(
      revocations.onChannel(token(user, issued), channel) !== undefined,
      isRevoked,
      `${user} ${channel}`,
    )
  t.equal(revocations.covers(token('maggie', at)), false)
  t.equal(revocations.size, 3)
  t.equal(
    revocations.firstGoodSecond('maggie'),
    at + 6,
    'a new login must be later than every revocation for its user',
  )
  t.equal(revocations.firstGoodSecond('theo'), 0)
  t.strictSame(createRevocations(revocations.list(at)).list(at), revocations.list(at))
  t.strictSame(revocations.list(at + 900), [])
  t.equal(revocations.size, 0)
})

t.test('of two revocations of one subject, the stricter applies to sockets', async t => {
  const [one, other] = ['AAAAAAAA.1', 'AAAAAAAA.2']
  for (const [name, first, second, expected] of [
    ['at once, and later', {}, { renewBySeconds: at + 60 }, { strictAtSeconds: at }],
    ['later, and at once', { renewBySeconds: at + 60 }, {}, {}],
    ['two times', { renewBySeconds: at + 60 }, { renewBySeconds: at + 30 }, { renewBySeconds: at + 30 }],
    ['one socket, and all', { socket: one }, {}, {}],
    ['all, and one socket', {}, { socket: one }, {}],
    ['one socket twice', { socket: one }, { socket: one }, { socket: one }],
    ['two sockets', { socket: one }, { socket: other }, {}],
  ] as const) {
    const merged = laterOf(revoke('maggie', first), revoke('maggie', { atSeconds: at + 1, ...second }))
    t.strictSame(merged, revoke('maggie', { atSeconds: at + 1, ...expected }), name)
  }
  const strict = revoke('maggie')
  t.equal(
    laterOf(strict, revoke('maggie', { renewBySeconds: at + 60 })),
    strict,
    'a more lenient one changes nothing',
  )
  for (const lenient of [{ renewBySeconds: at + 60 }, { socket: one }])
    t.strictSame(
      laterOf(revoke('maggie', lenient), strict),
      strict,
      'a stricter one of the same second replaces it',
    )
})

t.test('of revocations of one subject, the last one that ends sockets at once is remembered', async t => {
  const strict = (second: number): Revocation => revoke('maggie', { atSeconds: at + second })
  const lenient = (second: number): Revocation =>
    revoke('maggie', { atSeconds: at + second, renewBySeconds: at + 60 })
  const cases: readonly (readonly [
    name: string,
    all: readonly Revocation[],
    expected: number | undefined,
  ])[] = [
    ['it is the first', [strict(1), lenient(9)], 1],
    ['a later one', [strict(1), lenient(9), strict(5)], 5],
    ['an earlier one', [strict(5), lenient(9), strict(1)], 5],
    ['one of the last second', [strict(1), lenient(9), strict(9)], undefined],
    ['after the last one', [strict(1), lenient(5), strict(9)], undefined],
    ['between two others', [lenient(1), strict(5), lenient(9)], 5],
    ['there is none', [lenient(1), lenient(9)], undefined],
  ]
  for (const [name, all, expected] of cases)
    for (const [order, ordered] of [
      ['', all],
      [', reversed', all.toReversed()],
    ] as const) {
      const merged = ordered.reduce(laterOf)
      t.match(merged, { atSeconds: at + 9, strictAtSeconds: expected && at + expected }, name + order)
      t.ok(isRevocation(merged))
      for (const one of all) t.equal(laterOf(merged, one), merged, `${name}${order}: known`)
      if (expected === undefined) continue
      t.ok(endsAtOnce(merged, at + expected), 'a socket of that second ends at once')
      t.notOk(endsAtOnce(merged, at + expected + 1), 'a later one may renew')
    }
})

t.test('revocations from files and other nodes are validated', async t => {
  t.ok(isRevocation(revoke('maggie')), 'a user, in the original form')
  for (const [name, good] of [
    ['all', { subject: 'all', name: '' }],
    ['a channel', { subject: 'channel', name: '' }],
    ['a channel of a user', { subject: 'user_channel', name: 'maggie', channel: 'a:b' }],
    ['with all optional members', { socket: 'AAAAAAAA.1', renewBySeconds: at, reason: 'ü'.repeat(50) }],
  ] as const)
    t.ok(isRevocation({ ...revoke('maggie'), ...good }), name)
  for (const [name, bad] of [
    ['another subject', { subject: 'toString' }],
    ['all with a name', { subject: 'all' }],
    ['a user with a channel', { channel: 'news' }],
    ['a channel of a user, without the channel', { subject: 'user_channel' }],
    ['an invalid channel name', { subject: 'user_channel', channel: 'a b' }],
    ['an invalid socket id', { socket: 'x' }],
    ['a fraction of a second', { renewBySeconds: 1.5 }],
    ['a negative second', { strictAtSeconds: -1 }],
    ['a reason that is too long', { reason: `${'ü'.repeat(50)}!` }],
    ['a reason with a line break', { reason: 'a\nb' }],
  ] as const)
    t.notOk(isRevocation({ ...revoke('maggie'), ...bad }), name)
})
