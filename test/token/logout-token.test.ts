import t, { type Test } from 'tap'
import type { Payload } from '../../src/token/claim-path.js'
import { checkTokenClaims } from '../../src/token/claims.js'
import { fixedKeys, IssuerClock, type LogoutPolicy, type TrustedIssuer } from '../../src/token/issuer.js'
import { readKeySet } from '../../src/token/key-set.js'
import { LogoutTokenVerifier } from '../../src/token/logout-token.js'
import { TokenVerifier } from '../../src/token/verifier.js'
import type { Json } from '../support/http.js'
import { newKey, signedBy } from '../support/provider.js'
import { base64url, signText } from '../support/tokens.js'

const key = newKey('ES256', 'one')
const iat = 1_764_000_000
const nowMs = iat * 1000 + 500
const event = 'http://schemas.openid.net/event/backchannel-logout'

const good: Json = {
  iss: 'https://id.example',
  aud: 'web',
  sub: 'maggie',
  sid: 'session-1',
  iat,
  exp: iat + 120,
  jti: 'a1',
  events: { [event]: {} },
}

const trusted = (logout: LogoutPolicy | undefined, changes: Partial<TrustedIssuer> = {}): TrustedIssuer => ({
  keys: fixedKeys(readKeySet(JSON.stringify({ keys: [key.jwk] })).set),
  algorithms: ['ES256'],
  policy: {
    maxTtlSeconds: 600,
    issuer: { exactly: 'https://id.example' },
    audiences: ['gate'],
    skewSeconds: 5,
    graceSeconds: 5,
  },
  clock: IssuerClock.exact(),
  logout,
  ...changes,
})
const issuer = trusted({ audiences: ['web', 'app'], ends: 'session' })

const sign = (changes: Json = {}, header: Json = { typ: 'logout+jwt' }): string =>
  signedBy(key, { ...good, ...changes }, header)

const verify = (token: string, at = nowMs, by = issuer) =>
  new LogoutTokenVerifier(() => by, 16_384).verify(token, at)

const outcome = (...args: Parameters<typeof verify>): string => {
  const result = verify(...args)
  return 'reason' in result ? result.reason : 'good'
}

t.test('a logout token ends its session, or all sessions of its user', async t => {
  const order = { id: '["https://id.example","a1"]', issuedAtSeconds: iat }
  t.strictSame(verify(sign()), { ...order, subject: { session: 'session-1' } })
  t.strictSame(verify(sign({ sub: undefined })), { ...order, subject: { session: 'session-1' } })
  t.strictSame(verify(sign({ sid: undefined })), { ...order, subject: { user: 'maggie' } })
  const byUser = trusted({ audiences: ['web'], ends: 'user' })
  t.strictSame(verify(sign(), nowMs, byUser), { ...order, subject: { user: 'maggie' } })
  const policy = { ...issuer.policy, userClaim: 'email' }
  const byEmail = trusted({ audiences: ['web'], ends: 'user' }, { policy })
  t.match(verify(sign({ email: 'm@a.test' }), nowMs, byEmail), { subject: { user: 'm@a.test' } })
  t.equal(outcome(sign(), nowMs, byEmail), 'subject_missing', 'the sub does not stand in for a missing email')
})

t.test('valid logout tokens are accepted', async t => {
  const cases: [name: string, token: string, at?: number][] = [
    ['without typ', sign({}, { typ: undefined })],
    ['with the typ of any token', sign({}, { typ: 'JWT' })],
    ['with a media type', sign({}, { typ: 'application/logout+jwt' })],
    ['for several audiences', sign({ aud: ['x', 'app'] })],
    ['with more events', sign({ events: { [event]: { reason: 'x' }, other: 1 } })],
    ['dated ahead by the allowed skew', sign(), nowMs - 5500],
    ['expired within the allowed skew', sign(), (iat + 125) * 1000 - 1],
  ]
  for (const [name, token, at] of cases) t.equal(outcome(token, at), 'good', name)
})

/** Expects each token to be refused for this reason. */
const refuses = (
  t: Test,
  cases: readonly [name: string, token: string, reason: string, at?: number, by?: TrustedIssuer][],
): void => {
  for (const [name, token, reason, at, by] of cases) t.equal(outcome(token, at, by), reason, name)
}

t.test('malformed and forged logout tokens are refused', async t => {
  const forged = signedBy(newKey('ES256', 'one'), good, { typ: 'logout+jwt' })
  const [head = '', , signature = ''] = sign().split('.')
  refuses(t, [
    ['nothing', '', 'malformed'],
    ['not a token', 'hello', 'malformed'],
    ['too large', 'a'.repeat(16_385), 'too_large'],
    ['a member twice', signText('{"alg":"ES256"}', '{"iss":"a","iss":"b"}'), 'malformed'],
    [
      'alg none',
      `${base64url('{"alg":"none","typ":"logout+jwt"}')}.${base64url(JSON.stringify(good))}.eA`,
      'algorithm',
    ],
    [
      'signed with the public key as a secret',
      signText('{"alg":"HS256"}', JSON.stringify(good)),
      'algorithm',
    ],
    ['signed by another key', forged, 'signature'],
    [
      'a changed payload',
      `${head}.${base64url(JSON.stringify({ ...good, sid: 'session-2' }))}.${signature}`,
      'signature',
    ],
  ])
})

t.test('other kinds of token are refused', async t => {
  refuses(t, [
    ['an access token', sign({ events: undefined }, { typ: 'at+jwt' }), 'typ'],
    ['a token of another kind', sign({}, { typ: 'secevent+jwt' }), 'typ'],
    ['a typ that is not text', sign({}, { typ: 1 }), 'typ'],
    ['an ID token', sign({ events: undefined, nonce: 'n' }, { typ: 'JWT' }), 'events'],
    ['an ID token with an event', sign({ nonce: 'n' }, { typ: 'JWT' }), 'nonce'],
    ['a nonce that is null', sign({ nonce: null }), 'nonce'],
    ['no events', sign({ events: undefined }), 'events'],
    ['events as text', sign({ events: event }), 'events'],
    ['events as a list', sign({ events: [event] }), 'events'],
    [
      'another event',
      sign({ events: { 'https://schemas.openid.net/event/backchannel-logout': {} } }),
      'events',
    ],
    ['an event that is not an object', sign({ events: { [event]: true } }), 'events'],
    ['an event that is null', sign({ events: { [event]: null } }), 'events'],
  ])
})

t.test('logout tokens with wrong claims are refused', async t => {
  refuses(t, [
    ['another issuer', sign({ iss: 'https://evil.example' }), 'issuer'],
    ['no issuer', sign({ iss: undefined }), 'issuer'],
    ['an issuer that sends no logout tokens', sign(), 'issuer', nowMs, trusted(undefined)],
    ['no audience', sign({ aud: undefined }), 'audience'],
    ['another audience', sign({ aud: 'shop' }), 'audience'],
    ['the audience of access tokens', sign({ aud: 'gate' }), 'audience'],
    ['an audience that is an object', sign({ aud: { web: 1 } }), 'claim_type:aud'],
    ['no iat', sign({ iat: undefined }), 'claim_missing:iat'],
    ['no exp', sign({ exp: undefined }), 'claim_missing:exp'],
    ['exp as text', sign({ exp: '1' }), 'claim_type:exp'],
    ['at the end of the allowed skew', sign(), 'expired', (iat + 125) * 1000],
    ['dated ahead by more than the skew', sign(), 'not_yet_valid', nowMs - 5501],
    ['valid for too long', sign({ exp: iat + 601 }), 'lifetime'],
    ['no jti', sign({ jti: undefined }), 'claim_missing:jti'],
    ['an empty jti', sign({ jti: '' }), 'claim_type:jti'],
    ['a jti that is a number', sign({ jti: 1 }), 'claim_type:jti'],
    ['a jti that is too long', sign({ jti: 'j'.repeat(257) }), 'claim_type:jti'],
    ['neither sub nor sid', sign({ sub: undefined, sid: undefined }), 'subject_missing'],
    ['a sub that is a number, beside a sid', sign({ sub: 1 }), 'claim_type:sub'],
    ['a sid that is a number', sign({ sid: 1 }), 'claim_type:sid'],
    ['an empty sid', sign({ sid: '' }), 'claim_type:sid'],
    ['an empty sub', sign({ sub: '', sid: undefined }), 'subject_invalid'],
  ])
})

t.test('a logout token by an unknown key is refused, or has to wait if keys may still arrive', async t => {
  const unknown = signedBy(newKey('ES256', 'two'), good, { typ: 'logout+jwt' })
  t.equal(outcome(unknown), 'key_unknown')
  const late = trusted(issuer.logout, { keys: { current: () => undefined, missing: () => 5 } })
  t.match(verify(sign(), nowMs, late), { reason: 'keys_unavailable', waitMs: 1000 })
  const known = fixedKeys(readKeySet(JSON.stringify({ keys: [key.jwk] })).set)
  const rotating = trusted(issuer.logout, { keys: { ...known, missing: () => 700 } })
  t.match(verify(unknown, nowMs, rotating), { reason: 'key_pending', waitMs: 700 })
})

t.test('a logout token gets no ticket, whatever its typ and audience', async t => {
  const open = { ...issuer, policy: { maxTtlSeconds: 600 } }
  const tokens = new TokenVerifier(() => open, 16_384)
  for (const typ of ['logout+jwt', 'JWT', undefined])
    t.match(tokens.verify(sign({}, { typ }), nowMs), { reason: 'typ' }, String(typ))
  const claims = { ...good, events: { other: {} } } as Payload
  t.match(
    checkTokenClaims(claims, open.policy, nowMs),
    { user: 'maggie' },
    'a token with other events is an ordinary token',
  )
})
