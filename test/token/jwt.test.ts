import { createSign, generateKeyPairSync } from 'node:crypto'
import t from 'tap'
import { createTokenIssuer, createTokenVerifier } from '../../src/token/jwt.js'
import { base64url, signText } from '../support/tokens.js'

const secret = 'token-tests-sign-with-Bz4k7Tq9Xe2Lm5Yw8Ra3Hc6'
const issuedAt = 1_764_000_000
const nowMs = issuedAt * 1000
const policy = { secret, maxTtlSeconds: 86_400 }
const verifier = () => createTokenVerifier(policy)

const payloadOf = (changes: object = {}): string =>
  JSON.stringify({ sub: 'maggie', iat: issuedAt, exp: issuedAt + 900, ...changes })
const headerOf = (changes: object = {}): string => JSON.stringify({ alg: 'HS256', typ: 'JWT', ...changes })
const tokenOf = (header: object = {}, payload: object = {}): string =>
  signText(headerOf(header), payloadOf(payload), secret)

const outcome = (token: string, at = nowMs, verify = verifier()): string => {
  const result = verify.verify(token, at)
  return typeof result === 'string' ? result : result.user
}

t.test('an issued token says who, until when, and verifies', async t => {
  const issuer = createTokenIssuer({ secret, ttlSeconds: 900, issuer: 'https://id.test', audience: 'gate' })
  const channels = { publish: ['chat.*'], subscribe: ['*'] }
  const { token, expires } = issuer.issue({ user: 'maggie', channels }, nowMs + 999.9)
  t.equal(expires, issuedAt + 900, 'counted from the second of issue, rounded down')
  const verify = createTokenVerifier({ ...policy, issuer: 'https://id.test', audience: 'gate' })
  const claims = verify.verify(token, nowMs)
  t.match(claims, { user: 'maggie', issuedAtSeconds: issuedAt, expiresAtSeconds: expires, ...channels })
  t.match(claims, { session: /^[\w-]{16}$/ })
  const again = issuer.issue({ user: 'maggie' }, nowMs)
  t.not(again.token, token, 'every login is a session of its own')
  t.equal(outcome(token, nowMs, createTokenVerifier({ ...policy, audience: 'other' })), 'token_invalid')
})

t.test('a token by another hand is good', async t => {
  t.equal(outcome(tokenOf()), 'maggie')
  const [head = '', payload = ''] = tokenOf().split('.')
  t.equal(Buffer.from(head, 'base64url').toString(), '{"alg":"HS256","typ":"JWT"}')
  t.equal(Buffer.from(payload, 'base64url').toString(), payloadOf())
})

t.test('algorithms', async t => {
  const unsigned = (alg: unknown) => `${base64url(headerOf({ alg }))}.${base64url(payloadOf())}.`
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const rs256Input = `${base64url(headerOf({ alg: 'RS256' }))}.${base64url(payloadOf())}`
  const rs256 = createSign('sha256').update(rs256Input).sign(privateKey, 'base64url')
  const publicPem = publicKey.export({ type: 'spki', format: 'pem' }).toString()
  const cases = [
    ['none', unsigned('none')],
    ['None', unsigned('None')],
    ['nOnE', unsigned('nOnE')],
    ['none, with a signature', tokenOf({ alg: 'none' })],
    ['empty', tokenOf({ alg: '' })],
    ['absent', tokenOf({ alg: undefined })],
    ['null', tokenOf({ alg: null })],
    ['a list', tokenOf({ alg: ['HS256'] })],
    ['in lower case', tokenOf({ alg: 'hs256' })],
    ['HS384, rightly signed', signText(headerOf({ alg: 'HS384' }), payloadOf(), secret, 'sha384')],
    ['HS512, rightly signed', signText(headerOf({ alg: 'HS512' }), payloadOf(), secret, 'sha512')],
    ['RS256 by a key of its own', `${rs256Input}.${rs256}`],
    ['RS256 in name over our HMAC', tokenOf({ alg: 'RS256' })],
    ['ES256 in name over our HMAC', tokenOf({ alg: 'ES256' })],
    ['EdDSA in name over our HMAC', tokenOf({ alg: 'EdDSA' })],
    ['HS256 by a public key', signText(headerOf(), payloadOf(), publicPem)],
    ['a key in the header', signText(headerOf({ jwk: { kty: 'oct', k: 'AAAA' } }), payloadOf(), '\0\0\0')],
    ['a key id and another key', signText(headerOf({ kid: '../../dev/null' }), payloadOf(), '')],
  ] as const
  for (const [name, token] of cases) t.equal(outcome(token), 'token_invalid', name)
})

t.test('headers: typ and crit', async t => {
  const cases = [
    ['typ absent', { typ: undefined }, 'maggie'],
    ['typ in lower case', { typ: 'jwt' }, 'maggie'],
    ['typ at+jwt (RFC 9068)', { typ: 'at+jwt' }, 'maggie'],
    ['typ as a whole media type', { typ: 'application/at+jwt' }, 'maggie'],
    ['typ of a logout token', { typ: 'logout+jwt' }, 'token_invalid'],
    ['typ of a DPoP proof', { typ: 'dpop+jwt' }, 'token_invalid'],
    ['typ that begins like it', { typ: 'JWT2' }, 'token_invalid'],
    ['typ that ends like it', { typ: 'xJWT' }, 'token_invalid'],
    ['typ with a line break', { typ: 'JWT\n' }, 'token_invalid'],
    ['typ empty', { typ: '' }, 'token_invalid'],
    ['typ null', { typ: null }, 'token_invalid'],
    ['typ a number', { typ: 5 }, 'token_invalid'],
    ['typ a list', { typ: ['JWT'] }, 'token_invalid'],
    ['crit of something unknown', { crit: ['exp2'], exp2: 1 }, 'token_invalid'],
    ['crit of something known', { crit: ['b64'], b64: true }, 'token_invalid'],
    ['crit empty', { crit: [] }, 'token_invalid'],
    ['crit null', { crit: null }, 'token_invalid'],
    ['kid, which we have no use for', { kid: 'k1' }, 'maggie'],
  ] as const
  for (const [name, header, expected] of cases) t.equal(outcome(tokenOf(header)), expected, name)
})

t.test('forms', async t => {
  const token = tokenOf()
  const [head = '', payload = '', signature = ''] = token.split('.')
  const cases = [
    ['empty', ''],
    ['two dots', '..'],
    ['no signature', `${head}.${payload}.`],
    ['two parts', `${head}.${payload}`],
    ['four parts', `${token}.${signature}`],
    ['parts in another order', `${payload}.${head}.${signature}`],
    ['the claims of another', `${head}.${base64url(payloadOf({ sub: 'admin' }))}.${signature}`],
    ['another secret', signText(headerOf(), payloadOf(), `${secret}.`)],
    ['no secret', signText(headerOf(), payloadOf(), '')],
    ['a signature cut short', token.slice(0, -4)],
    ['a space before', ` ${token}`],
    ['a header that is no JSON', signText('{"alg":"HS256"', payloadOf(), secret)],
    ['a header that is a list', signText('["HS256"]', payloadOf(), secret)],
    ['a payload that is a list', signText(headerOf(), '[]', secret)],
    ['a payload that is a string', signText(headerOf(), '"maggie"', secret)],
    ['a payload that is null', signText(headerOf(), 'null', secret)],
    ['a payload that is no JSON', signText(headerOf(), '{"sub":', secret)],
    ['an empty payload', signText(headerOf(), '', secret)],
    ['over 4096 characters', tokenOf({}, { note: 'a'.repeat(4096) })],
    ['a megabyte', 'A'.repeat(1 << 20)],
  ] as const
  for (const [name, text] of cases) t.equal(outcome(text), 'token_invalid', name)
})

t.test('every bit of a token counts', async t => {
  const token = tokenOf()
  const verify = verifier()
  const survivors: string[] = []
  for (const [part, text] of token.split('.').entries()) {
    const bytes = Buffer.from(text, 'base64url')
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const copy = Buffer.from(bytes)
      copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      const parts = token.split('.')
      parts[part] = copy.toString('base64url')
      if (outcome(parts.join('.'), nowMs, verify) !== 'token_invalid')
        survivors.push(`bit ${bit} of part ${part}`)
    }
  }
  t.strictSame(survivors, [])
  t.equal(outcome(token, nowMs, verify), 'maggie')
})

t.test('a remembered token ends when it ends', async t => {
  const verify = verifier()
  const token = tokenOf()
  for (const at of [nowMs, nowMs + 899_999, nowMs + 899_999.9])
    t.equal(outcome(token, at, verify), 'maggie', `${at}`)
  for (const at of [nowMs + 900_000, nowMs + 900_000.1, nowMs * 2])
    t.equal(outcome(token, at, verify), 'token_expired', `${at}`)
})

t.test('a refusal is not remembered for good, nor a token for its forgery', async t => {
  const verify = verifier()
  const token = tokenOf({}, { nbf: issuedAt + 10 })
  t.equal(outcome(token, nowMs + 9_999, verify), 'token_invalid', 'not yet')
  t.equal(outcome(token, nowMs + 10_000, verify), 'maggie', 'now')
  t.equal(outcome(`${token.slice(0, -1)}`, nowMs + 10_000, verify), 'token_invalid')
  t.equal(
    outcome(`${token.slice(0, -8)}AAAAAAAA`, nowMs + 10_000, verify),
    'token_invalid',
    'the end of the signature',
  )
  t.equal(outcome(`${token} `, nowMs + 10_000, verify), 'token_invalid', 'a longer text')
})

t.test('more tokens than are remembered: answers stay those of a verifier without memory', async t => {
  const verify = verifier()
  const count = 10_500
  const tokens = Array.from({ length: count }, (_, n) =>
    tokenOf({}, { sub: `user-${n}`, exp: issuedAt + 1 + (n % 900) }),
  )
  const wrong: number[] = []
  for (const at of [nowMs, nowMs + 450_000])
    for (const [n, token] of tokens.entries()) {
      const isOver = at >= (issuedAt + 1 + (n % 900)) * 1000
      if (outcome(token, at, verify) !== (isOver ? 'token_expired' : `user-${n}`)) wrong.push(n)
    }
  t.strictSame(wrong, [])
})

t.test('two verifiers with two secrets share no memory', async t => {
  const token = tokenOf()
  t.equal(outcome(token, nowMs, verifier()), 'maggie')
  t.equal(outcome(token, nowMs, createTokenVerifier({ ...policy, secret: `${secret}2` })), 'token_invalid')
})
