import t from 'tap'
import { isUserName } from '../../src/protocol.js'
import { checkTokenClaims, type TokenPolicy } from '../../src/token/claims.js'

const issuedAt = 1_764_000_000
const nowMs = issuedAt * 1000 + 500
const day = 86_400

type Payload = Readonly<Record<string, unknown>>

const policy: TokenPolicy = { maxTtlSeconds: day }
const good: Payload = { sub: 'maggie', iat: issuedAt, exp: issuedAt + 900 }

const outcome = (changes: Payload, at = nowMs, rules: TokenPolicy = policy): string => {
  const result = checkTokenClaims({ ...good, ...changes }, rules, at)
  return typeof result === 'string' ? result : 'good'
}

t.test('what a good payload says', async t => {
  t.strictSame(checkTokenClaims(good, policy, nowMs), {
    user: 'maggie',
    issuedAtSeconds: issuedAt,
    expiresAtSeconds: issuedAt + 900,
  })
  const full = {
    ...good,
    sid: 's-1',
    channels: { publish: ['chat.*'], subscribe: ['*'] },
    role: 'admin',
    jti: 5,
  }
  t.strictSame(
    checkTokenClaims(full, policy, nowMs),
    {
      user: 'maggie',
      issuedAtSeconds: issuedAt,
      expiresAtSeconds: issuedAt + 900,
      session: 's-1',
      publish: ['chat.*'],
      subscribe: ['*'],
    },
    'claims nobody knows are left out',
  )
})

t.test('time, to the millisecond', async t => {
  const at = (seconds: number, ms = 0) => seconds * 1000 + ms
  const cases: readonly (readonly [name: string, changes: Payload, at: number, expected: string])[] = [
    ['at the second of issue', {}, at(issuedAt), 'good'],
    ['a millisecond before it', {}, at(issuedAt, -1), 'token_invalid'],
    ['a fraction before it', {}, at(issuedAt, -0.01), 'token_invalid'],
    ['a millisecond before exp', {}, at(issuedAt + 900, -1), 'good'],
    ['a fraction before exp', {}, at(issuedAt + 900, -0.01), 'good'],
    ['exactly at exp', {}, at(issuedAt + 900), 'token_expired'],
    ['a fraction after exp', {}, at(issuedAt + 900, 0.01), 'token_expired'],
    ['years after exp', {}, at(issuedAt * 2), 'token_expired'],
    ['a life of a second, before its end', { exp: issuedAt + 1 }, at(issuedAt + 1, -1), 'good'],
    ['a life of a second, at its end', { exp: issuedAt + 1 }, at(issuedAt + 1), 'token_expired'],
    ['a life of nothing', { exp: issuedAt }, at(issuedAt), 'token_invalid'],
    ['a life that ends before it begins', { exp: issuedAt - 1 }, at(issuedAt), 'token_invalid'],
    ['the longest life', { exp: issuedAt + day }, nowMs, 'good'],
    ['a second more', { exp: issuedAt + day + 1 }, nowMs, 'token_invalid'],
    [
      'a second more, when it is over as well',
      { exp: issuedAt + day + 1 },
      at(issuedAt + 2 * day),
      'token_invalid',
    ],
    ['nbf now', { nbf: issuedAt + 1 }, at(issuedAt + 1), 'good'],
    ['nbf a millisecond ahead', { nbf: issuedAt + 1 }, at(issuedAt + 1, -1), 'token_invalid'],
    ['nbf a fraction ahead', { nbf: issuedAt + 1 }, at(issuedAt + 1, -0.01), 'token_invalid'],
    ['nbf before iat', { nbf: issuedAt - 60 }, nowMs, 'good'],
    ['iat at the epoch, exp within a day of it', { iat: 0, exp: 1 }, 0, 'good'],
  ]
  for (const [name, changes, at, expected] of cases) t.equal(outcome(changes, at), expected, name)
})

t.test('numbers that are no whole seconds', async t => {
  const wrong = [
    undefined,
    null,
    true,
    '1764000900',
    '',
    [1_764_000_900],
    {},
    1_764_000_900.5,
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
    Number.NaN,
    -1,
    2 ** 53,
    1e300,
    JSON.parse('1e400'),
    1_764_000_900n,
  ]
  for (const value of wrong)
    for (const claim of ['exp', 'iat', 'nbf']) {
      if (claim === 'nbf' && value === undefined) continue
      t.equal(outcome({ [claim]: value }), 'token_invalid', `${claim} ${typeof value} ${String(value)}`)
    }
})

t.test('subjects', async t => {
  const good = [
    'm',
    'maggie',
    'Ä',
    '馬',
    '🦄',
    'a b',
    'a'.repeat(256),
    '€'.repeat(85),
    '__proto__',
    '\u00a0',
    'a@b.test',
  ]
  for (const sub of good) t.equal(outcome({ sub }), 'good', sub.slice(0, 20))
  const wrong = [
    undefined,
    null,
    5,
    true,
    '',
    ['maggie'],
    { toString: () => 'maggie' },
    'a'.repeat(257),
    '€'.repeat(86),
    '🦄'.repeat(65),
    '\n',
    'mag\0gie',
    'maggie\n',
    '\x1b[31mred',
    'mag\x7fgie',
    'mag\x80gie',
    'mag\x9fgie',
    '\ud800',
    'maggie\udc00',
  ]
  for (const sub of wrong) t.equal(outcome({ sub }), 'token_invalid', JSON.stringify(sub))
  t.ok(isUserName('maggie'))
})

t.test('issuer and audience, where they are demanded', async t => {
  const strict: TokenPolicy = { ...policy, issuer: 'https://id.test', audience: 'gate' }
  const both = { iss: 'https://id.test', aud: 'gate' }
  const cases: readonly (readonly [name: string, changes: Payload, expected: string])[] = [
    ['both right', both, 'good'],
    ['the audience among others', { ...both, aud: ['other', 'gate'] }, 'good'],
    ['no issuer', { aud: 'gate' }, 'token_invalid'],
    ['issuer null', { ...both, iss: null }, 'token_invalid'],
    ['an issuer that begins like it', { ...both, iss: 'https://id.test.evil' }, 'token_invalid'],
    ['an issuer with a slash more', { ...both, iss: 'https://id.test/' }, 'token_invalid'],
    ['a list of issuers', { ...both, iss: ['https://id.test'] }, 'token_invalid'],
    ['no audience', { iss: both.iss }, 'token_invalid'],
    ['audience null', { ...both, aud: null }, 'token_invalid'],
    ['another audience', { ...both, aud: 'gate2' }, 'token_invalid'],
    ['an audience that holds it', { ...both, aud: 'gate, other' }, 'token_invalid'],
    ['an audience in another case', { ...both, aud: 'Gate' }, 'token_invalid'],
    ['no audiences', { ...both, aud: [] }, 'token_invalid'],
    ['a list in a list', { ...both, aud: [['gate']] }, 'token_invalid'],
    ['an object', { ...both, aud: { gate: true } }, 'token_invalid'],
  ]
  for (const [name, changes, expected] of cases) t.equal(outcome(changes, nowMs, strict), expected, name)
  t.equal(outcome({ iss: 'anyone', aud: 'anything' }), 'good', 'where they are not demanded they say nothing')
})

t.test('sessions', async t => {
  for (const sid of ['a', 'A-z0.9_~:@-', 'a'.repeat(64)]) t.equal(outcome({ sid }), 'good', sid)
  for (const sid of ['', 'a'.repeat(65), 'a b', 'a\n', 'ä', 'a/b', '"', 5, null, ['a'], {}])
    t.equal(outcome({ sid }), 'token_invalid', JSON.stringify(sid))
})

t.test('channels', async t => {
  const rightsOf = (channels: unknown) => {
    const result = checkTokenClaims({ ...good, channels }, policy, nowMs)
    return typeof result === 'string' ? result : [result.publish, result.subscribe]
  }
  const cases = [
    ['absent: all', undefined, [undefined, undefined]],
    ['both', { publish: ['a'], subscribe: ['b.*'] }, [['a'], ['b.*']]],
    ['publish left out grants none', { subscribe: ['*'] }, [[], ['*']]],
    ['subscribe left out grants none', { publish: ['*'] }, [['*'], []]],
    ['empty grants none', {}, [[], []]],
    ['what else is in it does not count', { publish: ['a'], admin: ['*'] }, [['a'], []]],
    ['null', null, 'token_invalid'],
    ['a list', ['a'], 'token_invalid'],
    ['a string', '*', 'token_invalid'],
    ['true', true, 'token_invalid'],
    ['publish a string', { publish: '*' }, 'token_invalid'],
    ['publish null', { publish: null }, 'token_invalid'],
    ['publish a map', { publish: { 0: '*' } }, 'token_invalid'],
    ['publish with a number', { publish: ['a', 5] }, 'token_invalid'],
    ['a pattern in the middle', { subscribe: ['a*b'] }, 'token_invalid'],
    ['a name that no channel has', { subscribe: ['a b'] }, 'token_invalid'],
  ] as const
  for (const [name, channels, expected] of cases) t.strictSame(rightsOf(channels), expected, name)
})
