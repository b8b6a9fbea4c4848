import t from 'tap'
import { isUserName } from '../../src/protocol.js'
import { checkTokenClaims, type TokenPolicy } from '../../src/token/claims.js'
import { defaultRightsOf, isPatternTemplate } from '../../src/token/default-rights.js'
import { ticketClaimName } from '../../src/token/ticket-claims.js'

const issuedAt = 1_764_000_000
const nowMs = issuedAt * 1000 + 500
const day = 86_400

type Payload = Readonly<Record<string, unknown>>

const policy: TokenPolicy = { maxTtlSeconds: day }
const good: Payload = { sub: 'maggie', iat: issuedAt, exp: issuedAt + 900 }

const outcome = (changes: Payload, at = nowMs, rules: TokenPolicy = policy): string => {
  const result = checkTokenClaims({ ...good, ...changes }, rules, at)
  return 'reason' in result ? result.reason : 'good'
}

t.test('a valid payload gives user, times, session and rights', async t => {
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
    'unknown claims are left out',
  )
})

t.test('times are exact to the millisecond', async t => {
  const at = (seconds: number, ms = 0) => seconds * 1000 + ms
  const cases: readonly (readonly [name: string, changes: Payload, at: number, expected: string])[] = [
    ['at the second of issue', {}, at(issuedAt), 'good'],
    ['a millisecond before it', {}, at(issuedAt, -1), 'not_yet_valid'],
    ['a fraction before it', {}, at(issuedAt, -0.01), 'not_yet_valid'],
    ['a millisecond before exp', {}, at(issuedAt + 900, -1), 'good'],
    ['a fraction before exp', {}, at(issuedAt + 900, -0.01), 'good'],
    ['exactly at exp', {}, at(issuedAt + 900), 'expired'],
    ['a fraction after exp', {}, at(issuedAt + 900, 0.01), 'expired'],
    ['years after exp', {}, at(issuedAt * 2), 'expired'],
    ['a lifetime of a second, before its end', { exp: issuedAt + 1 }, at(issuedAt + 1, -1), 'good'],
    ['a lifetime of a second, at its end', { exp: issuedAt + 1 }, at(issuedAt + 1), 'expired'],
    ['a lifetime of zero', { exp: issuedAt }, at(issuedAt), 'lifetime'],
    ['a lifetime that ends before it begins', { exp: issuedAt - 1 }, at(issuedAt), 'lifetime'],
    ['the longest lifetime', { exp: issuedAt + day }, nowMs, 'good'],
    ['a second too long', { exp: issuedAt + day + 1 }, nowMs, 'lifetime'],
    ['a second too long, and expired', { exp: issuedAt + day + 1 }, at(issuedAt + 2 * day), 'lifetime'],
    ['nbf now', { nbf: issuedAt + 1 }, at(issuedAt + 1), 'good'],
    ['nbf a millisecond ahead', { nbf: issuedAt + 1 }, at(issuedAt + 1, -1), 'not_yet_valid'],
    ['nbf a fraction ahead', { nbf: issuedAt + 1 }, at(issuedAt + 1, -0.01), 'not_yet_valid'],
    ['a fraction of a second in exp is rounded down', { exp: issuedAt + 1.9 }, at(issuedAt + 1), 'expired'],
    ['a fraction of a second too long', { exp: issuedAt + day + 0.1 }, nowMs, 'lifetime'],
    ['a fraction in iat', { iat: issuedAt + 0.25 }, nowMs, 'good'],
    [
      'a fraction in nbf, a millisecond before it',
      { nbf: issuedAt + 0.502 },
      at(issuedAt, 501),
      'not_yet_valid',
    ],
    ['a fraction in nbf, at it', { nbf: issuedAt + 0.5 }, at(issuedAt, 500), 'good'],
    ['nbf null, as serialisers of .NET write it', { nbf: null }, nowMs, 'good'],
    ['nbf before iat', { nbf: issuedAt - 60 }, nowMs, 'good'],
    ['iat at the epoch, exp within a day of it', { iat: 0, exp: 1 }, 0, 'good'],
  ]
  for (const [name, changes, at, expected] of cases) t.equal(outcome(changes, at), expected, name)
})

t.test('claims that are not times are refused', async t => {
  const wrong = [
    undefined,
    null,
    true,
    '1764000900',
    '',
    [1_764_000_900],
    {},
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
      if (claim === 'nbf' && (value === undefined || value === null)) continue
      const kind = value === undefined ? 'missing' : 'type'
      t.equal(
        outcome({ [claim]: value }),
        `claim_${kind}:${claim}`,
        `${claim} ${typeof value} ${String(value)}`,
      )
    }
})

t.test('valid and invalid subjects', async t => {
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
  for (const sub of [undefined, null]) t.equal(outcome({ sub }), 'subject_missing', String(sub))
  for (const sub of [5, true, ['maggie'], { toString: () => 'maggie' }])
    t.equal(outcome({ sub }), 'claim_type:sub', JSON.stringify(sub))
  const wrong = [
    '',
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
  for (const sub of wrong) t.equal(outcome({ sub }), 'subject_invalid', JSON.stringify(sub))
  t.ok(isUserName('maggie'))
})

t.test('issuer and audience are checked if they are required', async t => {
  const strict: TokenPolicy = {
    ...policy,
    issuer: { exactly: 'https://id.test' },
    audiences: ['gate'],
  }
  const both = { iss: 'https://id.test', aud: 'gate' }
  const cases: readonly (readonly [name: string, changes: Payload, expected: string])[] = [
    ['both correct', both, 'good'],
    ['the audience among others', { ...both, aud: ['other', 'gate'] }, 'good'],
    ['no issuer', { aud: 'gate' }, 'issuer'],
    ['issuer null', { ...both, iss: null }, 'issuer'],
    ['a longer issuer that begins the same', { ...both, iss: 'https://id.test.evil' }, 'issuer'],
    ['an issuer with an extra slash', { ...both, iss: 'https://id.test/' }, 'issuer'],
    ['a list of issuers', { ...both, iss: ['https://id.test'] }, 'issuer'],
    ['no audience', { iss: both.iss }, 'audience'],
    ['another audience', { ...both, aud: 'gate2' }, 'audience'],
    ['an audience that contains it', { ...both, aud: 'gate, other' }, 'audience'],
    ['an audience in another case', { ...both, aud: 'Gate' }, 'audience'],
    ['no audiences', { ...both, aud: [] }, 'audience'],
  ]
  for (const [name, changes, expected] of cases) t.equal(outcome(changes, nowMs, strict), expected, name)
  t.equal(
    outcome({ iss: 'anyone', aud: 'anything' }),
    'good',
    'any issuer and audience are accepted if none is required',
  )
})

t.test(
  'an audience that is neither text nor a list of texts is refused, even if none is required',
  async t => {
    for (const aud of [null, 5, true, { gate: true }, ['gate', 5], [['gate']], [null]])
      t.equal(outcome({ aud }), 'claim_type:aud', JSON.stringify(aud))
  },
)

t.test('valid and invalid session ids', async t => {
  for (const sid of [
    undefined,
    null,
    'a',
    'A-z0.9_~:@-',
    'a/b+c==',
    '"\\',
    '08a5019c-17e1-4977-8f42-65a12843ea02.1',
    '!'.repeat(128),
  ])
    t.equal(outcome({ sid }), 'good', String(sid))
  for (const sid of ['', 'a'.repeat(129), 'a b', 'a\n', 'a\x7f', 'ä', 5, ['a'], {}])
    t.equal(outcome({ sid }), 'claim_type:sid', JSON.stringify(sid))
})

t.test('the channels claim gives the rights to publish and subscribe', async t => {
  const rightsOf = (channels: unknown) => {
    const result = checkTokenClaims({ ...good, channels }, policy, nowMs)
    return 'reason' in result ? result.reason : [result.publish, result.subscribe]
  }
  const cases = [
    ['absent: no restriction', undefined, [undefined, undefined]],
    ['both', { publish: ['a'], subscribe: ['b.*'] }, [['a'], ['b.*']]],
    ['publish left out grants none', { subscribe: ['*'] }, [[], ['*']]],
    ['subscribe left out grants none', { publish: ['*'] }, [['*'], []]],
    ['empty grants none', {}, [[], []]],
    ['other members are ignored', { publish: ['a'], admin: ['*'] }, [['a'], []]],
    ['null', null, 'claim_type:channels'],
    ['a list', ['a'], 'claim_type:channels'],
    ['a string', '*', 'claim_type:channels'],
    ['true', true, 'claim_type:channels'],
    ['publish a string', { publish: '*' }, 'claim_type:channels'],
    ['publish null', { publish: null }, 'claim_type:channels'],
    ['publish a map', { publish: { 0: '*' } }, 'claim_type:channels'],
    ['publish with a number', { publish: ['a', 5] }, 'claim_type:channels'],
    ['a star in the middle', { subscribe: ['a*b'] }, 'claim_type:channels'],
    ['an invalid channel name', { subscribe: ['a b'] }, 'claim_type:channels'],
  ] as const
  for (const [name, channels, expected] of cases) t.strictSame(rightsOf(channels), expected, name)
})

t.test('claims are carried into the ticket', async t => {
  const paths = ['email', 'org.id', ['https://a.test/roles'], 'on', 'n'] as const
  const rules: TokenPolicy = {
    ...policy,
    ticketClaims: paths.map(path => ({ path, name: ticketClaimName(path) })),
  }
  const carriedOf = (changes: Payload) => {
    const result = checkTokenClaims({ ...good, ...changes }, rules, nowMs)
    return 'reason' in result ? result.reason : result.carried && { ...result.carried }
  }
  const cases: [name: string, claims: Payload, expected: unknown][] = [
    ['none', { other: 1 }, undefined],
    ['null counts as absent', { email: null }, undefined],
    ['text', { email: 'a@b.test' }, { email: 'a@b.test' }],
    ['empty text', { email: '' }, { email: '' }],
    ['at a path', { org: { id: 7, name: 'x' } }, { id: 7 }],
    ['a list of text', { 'https://a.test/roles': ['a', 'b'] }, { roles: ['a', 'b'] }],
    ['false and zero', { on: false, n: 0 }, { on: false, n: 0 }],
    ['a negative fraction', { n: -1.5 }, { n: -1.5 }],
    ['a path that exists only in Object.prototype', { org: {} }, undefined],
    ['an object', { email: { address: 'a@b.test' } }, 'claim_type:email'],
    ['a list of numbers', { 'https://a.test/roles': [1] }, 'claim_type:https://a.test/roles'],
    ['a list in a list', { 'https://a.test/roles': [['a']] }, 'claim_type:https://a.test/roles'],
    ['an infinite number', { n: Number.POSITIVE_INFINITY }, 'claim_type:n'],
    ['a lone surrogate', { email: '\ud83d' }, 'claim_type:email'],
    ['256 bytes packed', { email: 'e'.repeat(247) }, { email: 'e'.repeat(247) }],
    ['257 bytes packed', { email: 'e'.repeat(248) }, 'ticket_claims_too_large'],
    [
      'too large together',
      { email: 'é'.repeat(60), 'https://a.test/roles': ['r'.repeat(130)] },
      'ticket_claims_too_large',
    ],
    ['far too many', { 'https://a.test/roles': Array(70_000).fill('') }, 'ticket_claims_too_large'],
  ]
  for (const [name, claims, expected] of cases) t.strictSame(carriedOf(claims), expected, name)
})

t.test('a token without the channels claim gets the default rights', async t => {
  const rules: TokenPolicy = {
    ...policy,
    defaultRights: defaultRightsOf(['chat.*'], ['${user}', 'user.${user}.*', '${user}.${user}']),
  }
  const rightsOf = (sub: string, channels?: unknown) => {
    const result = checkTokenClaims({ ...good, sub, channels }, rules, nowMs)
    return 'reason' in result ? result.reason : [result.publish, result.subscribe]
  }
  t.strictSame(rightsOf('maggie'), [['chat.*'], ['maggie', 'user.maggie.*', 'maggie.maggie']])
  t.strictSame(rightsOf('maggie', { publish: ['a'] }), [['a'], []], 'the claim replaces the defaults')
  for (const sub of ['auth0|5', '*', 'a*', 'a b', 'ä', '${user}', 'a'.repeat(129)])
    t.strictSame(rightsOf(sub), [['chat.*'], []], `${sub} is not a channel name`)
  t.strictSame(
    rightsOf('a'.repeat(100)),
    [['chat.*'], ['a'.repeat(100), `user.${'a'.repeat(100)}.*`]],
    'a pattern that would become too long is left out',
  )
})

t.test('valid and invalid templates of channel patterns', async t => {
  for (const good of ['', '*', 'chat.*', '${user}', 'user.${user}.*']) t.ok(isPatternTemplate(good), good)
  for (const bad of ['a b', '*a', 'user.${name}', 'user.$user', '${user', 'a**', '${user}*x'])
    t.notOk(isPatternTemplate(bad), bad)
})
