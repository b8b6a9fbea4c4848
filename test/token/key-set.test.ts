import { createHmac, generateKeyPairSync } from 'node:crypto'
import t from 'tap'
import { readKeySet } from '../../src/token/key-set.js'
import { createProviderTokenVerifier } from '../../src/token/provider.js'
import type { Json } from '../support/http.js'
import { type Algorithm, newKey, type ProviderKey, signedBy } from '../support/provider.js'
import { base64url, claimsFor, nowSeconds, signText } from '../support/tokens.js'

const algorithms = ['RS256', 'PS256', 'ES256', 'EdDSA'] as const
const keys = new Map(algorithms.map(algorithm => [algorithm, newKey(algorithm, `k-${algorithm}`)]))
const keyOf = (algorithm: Algorithm): ProviderKey => keys.get(algorithm) as ProviderKey
const setText = (...jwks: readonly unknown[]): string => JSON.stringify({ keys: jwks })
const whole = setText(...[...keys.values()].map(key => key.jwk))
const policy = { maxTtlSeconds: 86_400 }

/** What a verifier with these keys makes of a token, and how often it asked for others. */
const judge = (text: string, token: string, extra: object = {}, nowMs = Date.now()) => {
  let misses = 0
  const set = readKeySet(text)
  const keysOf = { current: () => set, missed: () => void misses++ }
  const result = createProviderTokenVerifier(keysOf, { ...policy, ...extra }).verify(token, nowMs)
  return { outcome: typeof result === 'string' ? result : result.user, misses }
}

t.test('a token by each kind of key is good, by its kid', async t => {
  for (const algorithm of algorithms) {
    t.strictSame(judge(whole, signedBy(keyOf(algorithm))), { outcome: 'maggie', misses: 0 }, algorithm)
    const bare = setText({ ...keyOf(algorithm).jwk, use: undefined, alg: undefined, key_ops: ['verify'] })
    t.equal(judge(bare, signedBy(keyOf(algorithm))).outcome, 'maggie', `${algorithm}, no use and alg`)
  }
})

t.test('a token without a kid is good where one key alone can have signed it', async t => {
  const token = signedBy(keyOf('ES256'), {}, { kid: undefined })
  t.equal(judge(whole, token).outcome, 'maggie', 'one of this kind')
  const twin = newKey('ES256', 'other')
  t.strictSame(
    judge(setText(keyOf('ES256').jwk, twin.jwk), token),
    { outcome: 'token_invalid', misses: 0 },
    'two of this kind',
  )
  t.equal(
    judge(setText(keyOf('ES256').jwk, { ...twin.jwk, kid: keyOf('ES256').kid }), signedBy(keyOf('ES256')))
      .outcome,
    'token_invalid',
    'two of one name',
  )
  t.equal(
    judge(setText({ ...keyOf('ES256').jwk, kid: undefined }), signedBy(keyOf('ES256'))).outcome,
    'token_invalid',
    'a kid that the set does not give',
  )
})

t.test('an unknown kid asks for fresh keys, nothing else does', async t => {
  const rs = keyOf('RS256')
  const cases = [
    ['a kid that is not there', signedBy(rs, {}, { kid: 'new' }), 1],
    ['an empty one', signedBy(rs, {}, { kid: '' }), 1],
    ['no kid', signedBy(newKey('EdDSA', 'x'), {}, { kid: undefined }), 0],
    ['a kid of another kind of key', signedBy(rs, {}, { kid: keyOf('ES256').kid }), 0],
    ['a kid that is a number', signedBy(rs, {}, { kid: 7 }), 0],
    ['a kid that is a list', signedBy(rs, {}, { kid: [rs.kid] }), 0],
    ['a good kid and a signature by another', signedBy({ ...newKey('RS256', rs.kid) }), 0],
    ['garbage', 'x.y.z', 0],
    ['a good token', signedBy(rs), 0],
  ] as const
  for (const [name, token, misses] of cases)
    t.strictSame(
      judge(whole, token),
      { outcome: name === 'a good token' ? 'maggie' : 'token_invalid', misses },
      name,
    )
})

t.test('no algorithm stands in for another', async t => {
  const rs = keyOf('RS256')
  const hs = (secret: string | Buffer, kid = rs.kid): string => {
    const input = `${base64url(JSON.stringify({ alg: 'HS256', typ: 'JWT', kid }))}.${base64url(JSON.stringify(claimsFor('maggie')))}`
    return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`
  }
  const header = (alg: unknown) => JSON.stringify({ alg, typ: 'JWT', kid: rs.kid })
  const unsigned = (alg: unknown) =>
    `${base64url(header(alg))}.${base64url(JSON.stringify(claimsFor('maggie')))}.`
  const relabelled = (alg: string) => signedBy(rs, {}, { alg })
  const secret = 'a-secret-that-the-set-lists-itself-0123456789'
  const cases = [
    ['HS256 by the public key, PEM', hs(rs.publicKey.export({ type: 'spki', format: 'pem' }))],
    ['HS256 by the public key, PKCS #1', hs(rs.publicKey.export({ type: 'pkcs1', format: 'pem' }))],
    ['HS256 by the public key, DER', hs(rs.publicKey.export({ type: 'spki', format: 'der' }))],
    ['HS256 by the JWK', hs(JSON.stringify(rs.jwk))],
    ['HS256 by the modulus', hs(String(rs.jwk.n))],
    ['HS256 by a secret in the set', hs(secret, 'shared')],
    ['none', unsigned('none')],
    ['None', unsigned('None')],
    ['none with a signature', signedBy(rs, {}, { alg: 'none' })],
    ['absent', signedBy(rs, {}, { alg: undefined })],
    ['a list', signedBy(rs, {}, { alg: ['RS256'] })],
    ['a name of Object.prototype', relabelled('constructor')],
    ['RS256 called PS256', relabelled('PS256')],
    ['RS256 called RS512', relabelled('RS512')],
    ['RS256 called ES256', relabelled('ES256')],
    ['RS256 called EdDSA', relabelled('EdDSA')],
    ['an alg that the key is not for', signedBy({ ...rs, algorithm: 'PS256' })],
    ['a key in the header', signedBy({ ...newKey('RS256', 'own') }, {}, { jwk: newKey('RS256', 'own').jwk })],
    ['a URL in the header', signedBy(newKey('RS256', 'own'), {}, { jku: 'http://127.0.0.1:1/' })],
    ['ES256 with a signature of zeros', `${signedBy(keyOf('ES256')).replace(/[^.]+$/, '')}${'A'.repeat(86)}`],
    ['no signature', signedBy(keyOf('ES256')).replace(/[^.]+$/, '')],
  ] as const
  const set = setText(...[...keys.values()].map(key => key.jwk), {
    kty: 'oct',
    kid: 'shared',
    k: base64url(secret),
    alg: 'HS256',
  })
  for (const [name, token] of cases) t.equal(judge(set, token).outcome, 'token_invalid', name)
})

t.test('keys that are of no use', async t => {
  const { jwk } = keyOf('RS256')
  const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey.export({ format: 'jwk' })
  const k1 = generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey.export({ format: 'jwk' })
  const ed448 = generateKeyPairSync('ed448').publicKey.export({ format: 'jwk' })
  const small = newKey('RS256', 'small', {}, 1024).jwk
  const cases: [name: string, entry: unknown][] = [
    ['a secret', { kty: 'oct', k: base64url('0123456789abcdef0123456789abcdef'), alg: 'HS256' }],
    ['for encryption', { ...jwk, use: 'enc' }],
    ['for other operations', { ...jwk, key_ops: ['encrypt'] }],
    ['with operations that are no list', { ...jwk, key_ops: 'verify' }],
    ['for another algorithm', { ...jwk, alg: 'RS512' }],
    ['for a symmetric algorithm', { ...jwk, alg: 'HS256' }],
    ['a private one', { ...keyOf('RS256').privateKey.export({ format: 'jwk' }), kid: 'p' }],
    ['RSA of 1024 bits', small],
    ['P-384', p384],
    ['secp256k1', k1],
    ['Ed448', ed448],
    ['a point that is not on the curve', { ...keyOf('ES256').jwk, x: keyOf('ES256').jwk.y }],
    ['a modulus missing', { ...jwk, n: undefined }],
    ['an unknown type', { ...jwk, kty: 'LWE' }],
    ['a type of Object.prototype', { ...jwk, kty: 'constructor' }],
    ['a kid that is a number', { ...jwk, kid: 5 }],
    ['a kid of 257 characters', { ...jwk, kid: 'a'.repeat(257) }],
    ['null', null],
    ['a string', 'key'],
  ]
  for (const [name, entry] of cases) {
    t.throws(() => readKeySet(setText(entry)), /no key for signatures/, `${name}: alone`)
    t.equal(readKeySet(setText(entry, keyOf('EdDSA').jwk)).size, 1, `${name}: beside a good one`)
  }
})

t.test('texts that are no key set', async t => {
  const cases: [name: string, text: string, reason: RegExp][] = [
    ['nothing', '', /no JSON/],
    ['a page', '<!doctype html><title>Sign in</title>', /no JSON/],
    ['cut short', whole.slice(0, -5), /no JSON/],
    ['null', 'null', /no list of keys/],
    ['a key alone', JSON.stringify(keyOf('RS256').jwk), /no list of keys/],
    ['a list', '[]', /no list of keys/],
    ['an error of the provider', '{"error":"unavailable"}', /no list of keys/],
    ['keys that are none', '{"keys":{}}', /no list of keys/],
    ['no keys', '{"keys":[]}', /no key for signatures/],
    ['65 keys', setText(...Array.from({ length: 65 }, () => keyOf('EdDSA').jwk)), /more than 64/],
  ]
  for (const [name, text, reason] of cases) t.throws(() => readKeySet(text), reason, name)
})

t.test('claims: the policy is that of every token, with the skew on top', async t => {
  const key = keyOf('EdDSA')
  const now = nowSeconds()
  const nowMs = now * 1000
  const strict = { issuer: 'https://id.test', audience: 'gate', skewSeconds: 5 }
  const good: Json = { iss: 'https://id.test', aud: ['other', 'gate'], iat: now, exp: now + 600 }
  const cases: [name: string, claims: Json, header: Json, outcome: string][] = [
    ['good', {}, {}, 'maggie'],
    ['an access token (RFC 9068)', {}, { typ: 'at+jwt' }, 'maggie'],
    ['a logout token', {}, { typ: 'logout+jwt' }, 'token_invalid'],
    ['crit', {}, { crit: ['exp'] }, 'token_invalid'],
    ['another issuer', { iss: 'https://id.test/' }, {}, 'token_invalid'],
    ['no issuer', { iss: undefined }, {}, 'token_invalid'],
    ['for another', { aud: 'other' }, {}, 'token_invalid'],
    ['for nobody', { aud: undefined }, {}, 'token_invalid'],
    ['no subject', { sub: undefined }, {}, 'token_invalid'],
    ['issued ahead, within the skew', { iat: now + 5 }, {}, 'maggie'],
    ['issued ahead of that', { iat: now + 6 }, {}, 'token_invalid'],
    ['not yet good, within the skew', { nbf: now + 5 }, {}, 'maggie'],
    ['not yet good', { nbf: now + 6 }, {}, 'token_invalid'],
    ['over, within the skew', { iat: now - 600, exp: now - 4 }, {}, 'maggie'],
    ['over at the end of the skew', { iat: now - 600, exp: now - 5 }, {}, 'token_expired'],
    ['without end', { exp: undefined }, {}, 'token_invalid'],
    ['too long a life', { exp: now + 86_401 }, {}, 'token_invalid'],
  ]
  for (const [name, claims, header, outcome] of cases)
    t.equal(judge(whole, signedBy(key, { ...good, ...claims }, header), strict, nowMs).outcome, outcome, name)
})

t.test('the skew never lengthens a token that is not over', async t => {
  const now = nowSeconds()
  const set = readKeySet(whole)
  const verifier = createProviderTokenVerifier(
    { current: () => set, missed() {} },
    { ...policy, skewSeconds: 5 },
  )
  const token = signedBy(keyOf('EdDSA'), { iat: now, exp: now + 60 })
  for (const round of ['new', 'remembered']) {
    t.match(verifier.verify(token, (now + 59) * 1000), { expiresAtSeconds: now + 60 }, round)
    t.match(verifier.verify(token, (now + 60) * 1000), { expiresAtSeconds: now + 65 }, round)
    t.equal(verifier.verify(token, (now + 65) * 1000), 'token_expired', round)
  }
})

t.test('a token counts as issued when it can have been at the earliest', async t => {
  const now = nowSeconds()
  const set = readKeySet(whole)
  const verifier = createProviderTokenVerifier(
    { current: () => set, missed() {} },
    { ...policy, skewSeconds: 5 },
  )
  for (const [iat, issuedAtSeconds] of [
    [now, now - 5],
    [now + 5, now],
    [3, 0],
  ] as const) {
    const token = signedBy(keyOf('EdDSA'), { iat, exp: iat + 60 })
    t.match(verifier.verify(token, iat * 1000), { issuedAtSeconds })
  }
})

t.test('what was verified with keys that are gone is forgotten', async t => {
  let set: ReturnType<typeof readKeySet> | undefined
  const verifier = createProviderTokenVerifier({ current: () => set, missed() {} }, policy)
  const token = signedBy(keyOf('ES256'))
  t.equal(verifier.verify(token, Date.now()), 'keys_unavailable')
  set = readKeySet(whole)
  t.match(verifier.verify(token, Date.now()), { user: 'maggie' })
  set = readKeySet(setText(keyOf('RS256').jwk))
  t.equal(verifier.verify(token, Date.now()), 'token_invalid')
  set = readKeySet(whole)
  t.match(verifier.verify(token, Date.now()), { user: 'maggie' })
})

t.test('a token of our own secret is none of the provider', async t => {
  const claims = JSON.stringify(claimsFor('maggie'))
  t.equal(judge(whole, signText('{"alg":"HS256","typ":"JWT"}', claims)).outcome, 'token_invalid')
})
