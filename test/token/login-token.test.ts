import { createSign, generateKeyPairSync } from 'node:crypto'
import t from 'tap'
import type { TokenPolicy } from '../../src/token/claims.js'
import { LoginTokens, secretIssuers } from '../../src/token/login-token.js'
import { TokenVerifier } from '../../src/token/verifier.js'
import { base64url, signText } from '../support/tokens.js'

const secret = 'token-tests-sign-with-Bz4k7Tq9Xe2Lm5Yw8Ra3Hc6'
const issuedAt = 1_764_000_000
const nowMs = issuedAt * 1000
const policy: TokenPolicy = { maxTtlSeconds: 86_400 }
const verifier = (extra: Partial<TokenPolicy> = {}, secrets = [secret], nodesAheadSeconds = 0) =>
  new TokenVerifier(secretIssuers({ secrets, policy: { ...policy, ...extra }, nodesAheadSeconds }), 4096)

const payloadOf = (changes: object = {}): string =>
  JSON.stringify({ sub: 'maggie', iat: issuedAt, exp: issuedAt + 900, ...changes })
const headerOf = (changes: object = {}): string => JSON.stringify({ alg: 'HS256', typ: 'JWT', ...changes })
const tokenOf = (header: object = {}, payload: object = {}): string =>
  signText(headerOf(header), payloadOf(payload), secret)

const outcome = (token: string, at = nowMs, verify = verifier()): string => {
  const result = verify.verify(token, at)
  return 'reason' in result ? result.reason : result.user
}

t.test('an issued token verifies, and has user, expiry and rights', async t => {
  const issuer = new LoginTokens({
    secret: () => secret,
    ttlSeconds: 900,
    issuer: 'https://id.test',
    audience: 'gate',
  })
  const channels = { publish: ['chat.*'], subscribe: ['*'] }
  const { token, expires } = issuer.issue({ user: 'maggie', channels }, nowMs + 999.9)
  t.equal(expires, issuedAt + 900, 'the expiry counts from the second of issue, rounded down')
  const verify = verifier({ issuer: { exactly: 'https://id.test' }, audiences: ['gate'] })
  const claims = verify.verify(token, nowMs)
  t.match(claims, { user: 'maggie', issuedAtSeconds: issuedAt, expiresAtSeconds: expires, ...channels })
  t.match(claims, { session: /^[\w-]{16}$/ })
  const again = issuer.issue({ user: 'maggie' }, nowMs)
  t.not(again.token, token, 'every login is its own session')
  t.equal(outcome(token, nowMs, verifier({ audiences: ['other'] })), 'audience')
})

t.test('a token made by other code is valid', async t => {
  t.equal(outcome(tokenOf()), 'maggie')
  const [head = '', payload = ''] = tokenOf().split('.')
  t.equal(Buffer.from(head, 'base64url').toString(), '{"alg":"HS256","typ":"JWT"}')
  t.equal(Buffer.from(payload, 'base64url').toString(), payloadOf())
})

t.test('only HS256 with our secret is accepted', async t => {
  const unsigned = (alg: unknown) => `${base64url(headerOf({ alg }))}.${base64url(payloadOf())}.`
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const rs256Input = `${base64url(headerOf({ alg: 'RS256' }))}.${base64url(payloadOf())}`
  const rs256 = createSign('sha256').update(rs256Input).sign(privateKey, 'base64url')
  const publicPem = publicKey.export({ type: 'spki', format: 'pem' }).toString()
  const cases = [
    ['none', unsigned('none'), 'malformed'],
    ['None', unsigned('None'), 'malformed'],
    ['nOnE', unsigned('nOnE'), 'malformed'],
    ['none, with a signature', tokenOf({ alg: 'none' }), 'algorithm'],
    ['empty', tokenOf({ alg: '' }), 'algorithm'],
    ['absent', tokenOf({ alg: undefined }), 'algorithm'],
    ['null', tokenOf({ alg: null }), 'algorithm'],
    ['a list', tokenOf({ alg: ['HS256'] }), 'algorithm'],
    ['a name of Object.prototype', tokenOf({ alg: 'constructor' }), 'algorithm'],
    ['in lower case', tokenOf({ alg: 'hs256' }), 'algorithm'],
    [
      'HS384, correctly signed',
      signText(headerOf({ alg: 'HS384' }), payloadOf(), secret, 'sha384'),
      'algorithm',
    ],
    [
      'HS512, correctly signed',
      signText(headerOf({ alg: 'HS512' }), payloadOf(), secret, 'sha512'),
      'algorithm',
    ],
    ['RS256, signed with a foreign key', `${rs256Input}.${rs256}`, 'algorithm'],
    ['our HMAC, labelled RS256', tokenOf({ alg: 'RS256' }), 'algorithm'],
    ['our HMAC, labelled ES256', tokenOf({ alg: 'ES256' }), 'algorithm'],
    ['our HMAC, labelled EdDSA', tokenOf({ alg: 'EdDSA' }), 'algorithm'],
    ['HS256 with a public key as its secret', signText(headerOf(), payloadOf(), publicPem), 'signature'],
    [
      'signed with a key from its own header',
      signText(headerOf({ jwk: { kty: 'oct', k: 'AAAA' } }), payloadOf(), '\0\0\0'),
      'signature',
    ],
    ['a kid that is a path', signText(headerOf({ kid: '../../dev/null' }), payloadOf(), ''), 'signature'],
  ] as const
  for (const [name, token, reason] of cases) t.equal(outcome(token), reason, name)
})

t.test('the header fields typ, crit and kid are checked', async t => {
  const cases = [
    ['typ absent', { typ: undefined }, 'maggie'],
    ['typ in lower case', { typ: 'jwt' }, 'maggie'],
    ['typ at+jwt (RFC 9068)', { typ: 'at+jwt' }, 'maggie'],
    ['typ as a whole media type', { typ: 'application/at+jwt' }, 'maggie'],
    ['typ of a logout token', { typ: 'logout+jwt' }, 'typ'],
    ['typ of a DPoP proof', { typ: 'dpop+jwt' }, 'typ'],
    ['a longer typ that begins the same', { typ: 'JWT2' }, 'typ'],
    ['a longer typ that ends the same', { typ: 'xJWT' }, 'typ'],
    ['typ with a line break', { typ: 'JWT\n' }, 'typ'],
    ['typ empty', { typ: '' }, 'typ'],
    ['typ null', { typ: null }, 'typ'],
    ['typ a number', { typ: 5 }, 'typ'],
    ['typ a list', { typ: ['JWT'] }, 'typ'],
    ['crit with an unknown name', { crit: ['exp2'], exp2: 1 }, 'critical'],
    ['crit with a known name', { crit: ['b64'], b64: true }, 'critical'],
    ['crit empty', { crit: [] }, 'critical'],
    ['crit null', { crit: null }, 'critical'],
    ['kid null', { kid: null }, 'maggie'],
    ['kid a number', { kid: 1 }, 'malformed'],
    ['a kid, which is ignored', { kid: 'k1' }, 'maggie'],
  ] as const
  for (const [name, header, expected] of cases) t.equal(outcome(tokenOf(header)), expected, name)
})

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
const nextLetter = (letter: string): string => alphabet.charAt(alphabet.indexOf(letter) ^ 1)

t.test('malformed and forged tokens are refused', async t => {
  const token = tokenOf()
  const [head = '', payload = '', signature = ''] = token.split('.')
  const cases = [
    ['empty', '', 'malformed'],
    ['two dots', '..', 'malformed'],
    ['no signature', `${head}.${payload}.`, 'malformed'],
    ['two parts', `${head}.${payload}`, 'malformed'],
    ['four parts', `${token}.${signature}`, 'malformed'],
    ['parts in another order', `${payload}.${head}.${signature}`, 'algorithm'],
    [
      'the claims of another user',
      `${head}.${base64url(payloadOf({ sub: 'admin' }))}.${signature}`,
      'signature',
    ],
    ['another secret', signText(headerOf(), payloadOf(), `${secret}.`), 'signature'],
    ['no secret', signText(headerOf(), payloadOf(), ''), 'signature'],
    ['a signature cut short', token.slice(0, -4), 'malformed'],
    ['a signature cut short by three bytes', `${head}.${payload}.${signature.slice(0, -3)}`, 'signature'],
    ['padding', `${token}=`, 'malformed'],
    ['nonzero unused bits at the end', `${token.slice(0, -1)}${nextLetter(token.slice(-1))}`, 'malformed'],
    [
      'base64, not base64url',
      signText(headerOf({ n: '????????' }), payloadOf(), secret).replace(/_/, '/'),
      'malformed',
    ],
    ['a character whose low byte is a base64url letter', token.replace('e', 'ť'), 'malformed'],
    ['a space before', ` ${token}`, 'malformed'],
    ['a header that is not JSON', signText('{"alg":"HS256"', payloadOf(), secret), 'malformed'],
    ['a header that is a list', signText('["HS256"]', payloadOf(), secret), 'malformed'],
    ['a header with alg twice', signText('{"alg":"none","alg":"HS256"}', payloadOf(), secret), 'malformed'],
    ['a payload that is a list', signText(headerOf(), '[]', secret), 'malformed'],
    ['a payload that is a string', signText(headerOf(), '"maggie"', secret), 'malformed'],
    ['a payload that is null', signText(headerOf(), 'null', secret), 'malformed'],
    ['a payload that is not JSON', signText(headerOf(), '{"sub":', secret), 'malformed'],
    [
      'a payload with sub twice',
      signText(headerOf(), payloadOf().replace('{', '{"sub":"admin",'), secret),
      'malformed',
    ],
    ['an empty payload', signText(headerOf(), '', secret), 'malformed'],
    ['over 4096 characters', tokenOf({}, { note: 'a'.repeat(4096) }), 'too_large'],
    ['a megabyte', 'A'.repeat(1 << 20), 'too_large'],
  ] as const
  for (const [name, text, reason] of cases) t.equal(outcome(text), reason, name)
})

t.test('a token with any bit changed is refused', async t => {
  const token = tokenOf()
  const verify = verifier()
  const accepted: string[] = []
  for (const [part, text] of token.split('.').entries()) {
    const bytes = Buffer.from(text, 'base64url')
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const copy = Buffer.from(bytes)
      copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      const parts = token.split('.')
      parts[part] = copy.toString('base64url')
      if (outcome(parts.join('.'), nowMs, verify) === 'maggie') accepted.push(`bit ${bit} of part ${part}`)
    }
  }
  t.strictSame(accepted, [], 'no changed token is accepted')
  t.equal(outcome(token, nowMs, verify), 'maggie')
})

t.test('a remembered token expires on time', async t => {
  const verify = verifier()
  const token = tokenOf()
  for (const at of [nowMs, nowMs + 899_999, nowMs + 899_999.9])
    t.equal(outcome(token, at, verify), 'maggie', `${at}`)
  for (const at of [nowMs + 900_000, nowMs + 900_000.1, nowMs * 2])
    t.equal(outcome(token, at, verify), 'expired', `${at}`)
})

t.test('refusals are not remembered, and a forgery is not taken for a remembered token', async t => {
  const verify = verifier()
  const token = tokenOf({}, { nbf: issuedAt + 10 })
  t.equal(outcome(token, nowMs + 9_999, verify), 'not_yet_valid', 'refused before nbf')
  t.equal(outcome(token, nowMs + 10_000, verify), 'maggie', 'accepted from nbf on')
  t.equal(outcome(`${token.slice(0, -1)}`, nowMs + 10_000, verify), 'malformed')
  t.equal(
    outcome(`${token.slice(0, -8)}AAAAAAAA`, nowMs + 10_000, verify),
    'signature',
    'another end of the signature is refused',
  )
  t.equal(outcome(`${token} `, nowMs + 10_000, verify), 'malformed', 'a longer text is refused')
})

t.test('results stay correct with more tokens than are remembered', async t => {
  const verify = verifier()
  const count = 10_500
  const tokens = Array.from({ length: count }, (_, n) =>
    tokenOf({}, { sub: `user-${n}`, exp: issuedAt + 1 + (n % 900) }),
  )
  const wrong: number[] = []
  for (const at of [nowMs, nowMs + 450_000])
    for (const [n, token] of tokens.entries()) {
      const isOver = at >= (issuedAt + 1 + (n % 900)) * 1000
      if (outcome(token, at, verify) !== (isOver ? 'expired' : `user-${n}`)) wrong.push(n)
    }
  t.strictSame(wrong, [])
})

t.test('two verifiers with two secrets share no memory', async t => {
  const token = tokenOf()
  t.equal(outcome(token, nowMs, verifier()), 'maggie')
  t.equal(outcome(token, nowMs, verifier({}, [`${secret}2`])), 'signature')
})

t.test('tokens of each of our secrets are accepted, such as the previous one', async t => {
  const both = verifier({}, [`${secret}2`, secret])
  t.equal(outcome(tokenOf(), nowMs, both), 'maggie')
  const theirs = signText(headerOf(), payloadOf(), `${secret}2`)
  t.equal(outcome(theirs, nowMs, both), 'maggie')
  t.equal(outcome(signText(headerOf(), payloadOf(), `${secret}3`), nowMs, both), 'signature')
})

t.test('only tokens made by others may be dated ahead by the skew, ours may not', async t => {
  const skewed = () => verifier({ skewSeconds: 5 })
  const dated = (iat: number, header = {}) => tokenOf(header, { iat, exp: iat + 900 })
  t.equal(outcome(dated(issuedAt + 5), nowMs, skewed()), 'maggie')
  t.equal(outcome(dated(issuedAt + 6), nowMs, skewed()), 'not_yet_valid')
  t.equal(outcome(tokenOf({}, { nbf: issuedAt + 5 }), nowMs, skewed()), 'maggie')
  t.equal(outcome(tokenOf({}, { nbf: issuedAt + 6 }), nowMs, skewed()), 'not_yet_valid')
  t.equal(outcome(tokenOf({}, { exp: issuedAt + 1 }), nowMs + 1000, skewed()), 'expired', 'exp is exact')
  const ours = new LoginTokens({ secret: () => secret, ttlSeconds: 900 }).issue(
    { user: 'maggie' },
    nowMs + 1000,
  ).token
  t.equal(outcome(ours, nowMs, skewed()), 'not_yet_valid')
  t.equal(
    outcome(ours, nowMs, verifier({ skewSeconds: 5 }, [secret], 1)),
    'maggie',
    'ours may be dated ahead by another node',
  )
})

t.test('a token that was dated ahead counts as issued at the earliest possible time', async t => {
  const verify = verifier({ skewSeconds: 5 })
  const issuedAtOf = (token: string, at: number): unknown => {
    const result = verify.verify(token, at)
    return 'reason' in result ? result.reason : result.issuedAtSeconds
  }
  const before = tokenOf()
  const ahead = tokenOf({}, { iat: issuedAt + 3 })
  t.equal(issuedAtOf(before, nowMs), issuedAt, 'the time of issue is exact until a token is dated ahead')
  t.equal(issuedAtOf(ahead, nowMs), issuedAt - 2)
  t.equal(issuedAtOf(ahead, nowMs + 10_000), issuedAt - 2, 'the earliest time still counts later')
  t.equal(issuedAtOf(before, nowMs + 10_000), issuedAt - 5, 'other tokens by that clock count so as well')
  const ours = new LoginTokens({ secret: () => secret, ttlSeconds: 900 }).issue(
    { user: 'maggie' },
    nowMs,
  ).token
  t.equal(issuedAtOf(ours, nowMs), issuedAt, 'it does not count for our own tokens')
})
