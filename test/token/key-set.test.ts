import { createHash, createHmac, generateKeyPairSync } from 'node:crypto'
import t from 'tap'
import { algorithmNames } from '../../src/token/algorithms.js'
import type { TokenPolicy } from '../../src/token/claims.js'
import { fixedKeys, IssuerClock, type KeySource } from '../../src/token/issuer.js'
import { type KeySet, readKeySet } from '../../src/token/key-set.js'
import { TokenVerifier } from '../../src/token/verifier.js'
import type { Json } from '../support/http.js'
import { type Algorithm, newKey, type ProviderKey, signedBy } from '../support/provider.js'
import { base64url, claimsFor, nowSeconds, signText } from '../support/tokens.js'

const algorithms: readonly Algorithm[] = [
  ...(['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'] as const),
  ...(['ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'] as const),
]
const keys = new Map(algorithms.map(algorithm => [algorithm, newKey(algorithm, `k-${algorithm}`)]))
const keyOf = (algorithm: Algorithm): ProviderKey => keys.get(algorithm) as ProviderKey
const setText = (...jwks: readonly unknown[]): string => JSON.stringify({ keys: jwks })
const whole = setText(...[...keys.values()].map(key => key.jwk))
const policy = { maxTtlSeconds: 86_400 }

const verifierOf = (keys: KeySource, extra: Partial<TokenPolicy> = {}, clock = IssuerClock.exact()) => {
  const allowed = algorithmNames.filter(name => !name.startsWith('HS'))
  return new TokenVerifier(
    () => ({ keys, algorithms: allowed, policy: { ...policy, ...extra }, clock }),
    16_384,
  )
}

const setOf = (text: string): KeySet => readKeySet(text).set

/** The result of verifying a token with these keys, and how often missing keys were requested. */
const judge = (text: string, token: string, extra: Partial<TokenPolicy> = {}, nowMs = Date.now()) => {
  let misses = 0
  const set = setOf(text)
  const source: KeySource = {
    current: () => set,
    missing() {
      misses++
      return undefined
    },
  }
  const result = verifierOf(source, extra).verify(token, nowMs)
  return { outcome: 'reason' in result ? result.reason : result.user, misses }
}

t.test('a token signed by each kind of key is accepted, by its kid', async t => {
  for (const algorithm of algorithms) {
    t.strictSame(judge(whole, signedBy(keyOf(algorithm))), { outcome: 'maggie', misses: 0 }, algorithm)
    const bare = setText({ ...keyOf(algorithm).jwk, use: undefined, alg: undefined, key_ops: ['verify'] })
    t.equal(judge(bare, signedBy(keyOf(algorithm))).outcome, 'maggie', `${algorithm}, without use and alg`)
  }
})

t.test('a token without a kid is accepted if only one key can have signed it', async t => {
  const token = signedBy(keyOf('ES256'), {}, { kid: undefined })
  t.equal(judge(whole, token).outcome, 'maggie', 'one key of this kind')
  const twin = newKey('ES256', 'other')
  t.strictSame(
    judge(setText(keyOf('ES256').jwk, twin.jwk), token),
    { outcome: 'key_unknown', misses: 0 },
    'two keys of this kind',
  )
  t.equal(
    judge(setText({ ...keyOf('ES256').jwk, kid: undefined }), signedBy(keyOf('ES256'))).outcome,
    'key_unknown',
    'a kid in the token, but none in the set',
  )
})

t.test('if several keys share a kid, each is tried', async t => {
  const [one, two, three] = [newKey('ES256', 'same'), newKey('ES256', 'same'), newKey('RS256', 'same')]
  const text = setText(one.jwk, two.jwk, three.jwk)
  for (const key of [one, two, three]) t.equal(judge(text, signedBy(key)).outcome, 'maggie', key.algorithm)
  t.strictSame(judge(text, signedBy(newKey('ES256', 'same'))), { outcome: 'signature', misses: 0 })
  t.strictSame(readKeySet(text).repeated, ['3 keys are named "same"'])
})

t.test('a duplicate key counts once', async t => {
  const { jwk } = keyOf('RS256')
  const report = readKeySet(setText(jwk, jwk, { ...jwk, x5t: 'x', use: undefined }))
  t.match(report, { size: 1, ignored: [], repeated: [] })
  t.equal(judge(setText(jwk, jwk), signedBy(keyOf('RS256'))).outcome, 'maggie')
})

t.test('only the first four keys with one kid are tried', async t => {
  const many = Array.from({ length: 6 }, () => newKey('EdDSA', 'same'))
  const text = setText(...many.map(key => key.jwk))
  t.match(readKeySet(text), { size: 4, repeated: ['6 keys are named "same", of which 4 are tried'] })
  t.strictSame(
    many.map(key => judge(text, signedBy(key)).outcome),
    [...Array(4).fill('maggie'), 'signature', 'signature'],
  )
})

t.test('only an unknown kid triggers a fetch', async t => {
  const rs = keyOf('RS256')
  const cases = [
    ['an unknown kid', signedBy(rs, {}, { kid: 'new' }), 'key_unknown', 1],
    ['an empty kid', signedBy(rs, {}, { kid: '' }), 'key_unknown', 1],
    ['no kid', signedBy(newKey('ES256', 'x'), {}, { kid: undefined }), 'signature', 0],
    ['a kid of another kind of key', signedBy(rs, {}, { kid: keyOf('ES256').kid }), 'algorithm', 0],
    [
      'an unknown kid, and a symmetric algorithm',
      signText('{"alg":"HS256","kid":"x"}', '{}'),
      'algorithm',
      0,
    ],
    ['a kid that is a number', signedBy(rs, {}, { kid: 7 }), 'malformed', 0],
    ['a kid that is a list', signedBy(rs, {}, { kid: [rs.kid] }), 'malformed', 0],
    ['a known kid, signed by another key', signedBy({ ...newKey('RS256', rs.kid) }), 'signature', 0],
    ['garbage', 'x.y.z', 'malformed', 0],
    ['a good token', signedBy(rs), 'maggie', 0],
  ] as const
  for (const [name, token, outcome, misses] of cases)
    t.strictSame(judge(whole, token), { outcome, misses }, name)
})

t.test('algorithms are not interchangeable', async t => {
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
    ['no alg', signedBy(rs, {}, { alg: undefined })],
    ['a list as alg', signedBy(rs, {}, { alg: ['RS256'] })],
    ['a name of Object.prototype', relabelled('constructor')],
    ['RS256 called PS256', relabelled('PS256')],
    ['RS256 called RS512', relabelled('RS512')],
    ['RS256 called ES256', relabelled('ES256')],
    ['RS256 called EdDSA', relabelled('EdDSA')],
    ['PS256 by a key for RS256', signedBy({ ...rs, algorithm: 'PS256' })],
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
  for (const [name, token] of cases)
    t.match(judge(set, token).outcome, /^(algorithm|signature|malformed|key_unknown)$/, name)
})

t.test('unusable keys are ignored, and the reason is reported', async t => {
  const { jwk } = keyOf('RS256')
  const ed = keyOf('EdDSA').jwk
  const k1 = generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey.export({ format: 'jwk' })
  const ed448 = generateKeyPairSync('ed448').publicKey.export({ format: 'jwk' })
  const small = newKey('RS256', 'small', {}, 1024).jwk
  const exponent = (hex: string): string => Buffer.from(hex, 'hex').toString('base64url')
  const point = (hex: string): string => Buffer.from(hex.padEnd(64, '0'), 'hex').toString('base64url')
  const cases: [name: string, entry: unknown, reason: RegExp][] = [
    ['a secret', { kty: 'oct', k: base64url('0123456789abcdef0123456789abcdef'), alg: 'HS256' }, /a secret/],
    ['for encryption', { ...jwk, use: 'enc' }, /use is not sig/],
    ['for other operations', { ...jwk, key_ops: ['encrypt'] }, /key_ops lack verify/],
    ['with operations that are not a list', { ...jwk, key_ops: 'verify' }, /key_ops lack verify/],
    ['for encryption by its alg', { ...jwk, alg: 'RSA-OAEP' }, /alg is not supported/],
    ['for a symmetric algorithm', { ...jwk, alg: 'HS256' }, /alg is not one for its type/],
    ['a private key', { ...keyOf('RS256').privateKey.export({ format: 'jwk' }), kid: 'p' }, /private key/],
    ['RSA of 1024 bits', small, /1024 bits/],
    ['RSA of 16384 bits', { ...jwk, n: exponent(`c0${'ab'.repeat(2047)}`) }, /16384 bits/],
    ['RSA with e = 1', { ...jwk, e: exponent('01') }, /exponent/],
    ['RSA with e = 3', { ...jwk, e: exponent('03') }, /exponent/],
    ['RSA with an even e', { ...jwk, e: exponent('010002') }, /exponent/],
    ['RSA with a huge e', { ...jwk, e: exponent('0100000001') }, /exponent/],
    ['RSA with e = 0', { ...jwk, e: exponent('00') }, /exponent|valid key/],
    ['secp256k1', k1, /curve/],
    ['Ed448', ed448, /curve/],
    ['X25519', { ...ed, crv: 'X25519' }, /curve/],
    ['a point that is not on the curve', { ...keyOf('ES256').jwk, x: keyOf('ES256').jwk.y }, /valid key/],
    ['Ed25519: the point of order 1', { ...ed, x: point('01') }, /low order/],
    ['the same with the sign bit', { ...ed, x: point(`01${'00'.repeat(30)}80`) }, /low order/],
    ['Ed25519: y = 0', { ...ed, x: point('00') }, /low order/],
    ['Ed25519: y = p', { ...ed, x: point(`ed${'ff'.repeat(30)}7f`) }, /low order/],
    [
      'Ed25519: a point of order 8',
      { ...ed, x: point('c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa') },
      /low order/,
    ],
    ['Ed25519 of 31 bytes', { ...ed, x: 'AAAA' }, /valid key/],
    ['a missing modulus', { ...jwk, n: undefined }, /n is missing/],
    ['a certificate alone', { kty: 'RSA', kid: 'c', use: 'sig', x5c: ['MIIB'] }, /n is missing/],
    ['a modulus that is null', { ...jwk, n: null }, /n is missing/],
    ['an unknown type', { ...jwk, kty: 'LWE' }, /kty/],
    ['a type of Object.prototype', { ...jwk, kty: 'constructor' }, /kty/],
    ['a kid that is a number', { ...jwk, kid: 5 }, /kid/],
    ['a kid of 257 characters', { ...jwk, kid: 'a'.repeat(257) }, /kid/],
    ['null', null, /not an object/],
    ['a string', 'key', /not an object/],
  ]
  for (const [name, entry, reason] of cases) {
    t.throws(() => readKeySet(setText(entry)), reason, `${name}: alone`)
    const { size, ignored } = readKeySet(setText(entry, { ...keyOf('EdDSA').jwk, kid: 'good' }))
    t.equal(size, 1, `${name}: beside a good key`)
    t.match(ignored, [reason], name)
  }
})

t.test('a token by a key with e = 1, which anyone can forge, is refused', async t => {
  const { jwk } = keyOf('RS256')
  const set = setText({ ...jwk, kid: 'weak', e: 'AQ' }, keyOf('ES256').jwk)
  const input = `${base64url('{"alg":"RS256","kid":"weak"}')}.${base64url(JSON.stringify(claimsFor('maggie')))}`
  const info = Buffer.from('3031300d060960864801650304020105000420', 'hex')
  const digest = Buffer.concat([info, createHash('sha256').update(input).digest()])
  const padded = Buffer.concat([
    Buffer.from([0, 1]),
    Buffer.alloc(256 - 3 - digest.length, 0xff),
    Buffer.from([0]),
    digest,
  ])
  t.equal(judge(set, `${input}.${padded.toString('base64url')}`).outcome, 'key_unknown')
})

t.test('keys are read as serialisers of .NET, Java, PHP and Go write them', async t => {
  const rs = keyOf('RS256')
  const es = keyOf('ES256')
  const standard = (text: unknown): string => Buffer.from(String(text), 'base64url').toString('base64')
  const grown = (text: unknown): string =>
    Buffer.concat([Buffer.alloc(1), Buffer.from(String(text), 'base64url')]).toString('base64url')
  const cases: [name: string, token: string, entry: Json][] = [
    [
      'absent members written as null and empty lists',
      signedBy(rs),
      { ...rs.jwk, alg: null, d: null, key_ops: [], oth: [], x5c: [], x5t: null, x5u: null, use: 'sig' },
    ],
    ['use null', signedBy(rs), { ...rs.jwk, use: null }],
    ['a sign byte before the modulus', signedBy(rs), { ...rs.jwk, n: grown(rs.jwk.n), e: grown(rs.jwk.e) }],
    ['base64 with padding', signedBy(rs), { ...rs.jwk, n: standard(rs.jwk.n) }],
    [
      'x and y in base64 with padding',
      signedBy(es),
      { ...es.jwk, x: standard(es.jwk.x), y: standard(es.jwk.y) },
    ],
    ['several operations', signedBy(es), { ...es.jwk, key_ops: ['verify', 'sign'] }],
  ]
  for (const [name, token, entry] of cases) t.equal(judge(setText(entry), token).outcome, 'maggie', name)
})

t.test('EdDSA and Ed25519 are two names for one algorithm', async t => {
  const key = newKey('Ed25519', 'ed')
  for (const alg of ['EdDSA', 'Ed25519', undefined])
    for (const named of ['EdDSA', 'Ed25519'])
      t.equal(
        judge(setText({ ...key.jwk, alg }), signedBy(key, {}, { alg: named })).outcome,
        'maggie',
        `${alg} in the key, ${named} in the token`,
      )
})

t.test('texts that are not key sets are refused', async t => {
  const cases: [name: string, text: string, reason: RegExp][] = [
    ['nothing', '', /not JSON/],
    ['a page', '<!doctype html><title>Sign in</title>', /not JSON/],
    ['cut short', whole.slice(0, -5), /not JSON/],
    ['null', 'null', /no list of keys/],
    ['a key alone', JSON.stringify(keyOf('RS256').jwk), /no list of keys/],
    ['a list', '[]', /no list of keys/],
    ['an error of the provider', '{"error":"unavailable"}', /no list of keys/],
    ['keys that are not a list', '{"keys":{}}', /no list of keys/],
    ['no keys', '{"keys":[]}', /no key that can verify/],
    ['65 keys', setText(...Array.from({ length: 65 }, () => keyOf('EdDSA').jwk)), /more than 64/],
  ]
  for (const [name, text, reason] of cases) t.throws(() => readKeySet(text), reason, name)
})

t.test('claims are checked, with an allowance for skew', async t => {
  const key = keyOf('EdDSA')
  const now = nowSeconds()
  const nowMs = now * 1000
  const strict = {
    issuer: { exactly: 'https://id.test' },
    audiences: ['gate'],
    skewSeconds: 5,
    graceSeconds: 5,
  }
  const good: Json = { iss: 'https://id.test', aud: ['other', 'gate'], iat: now, exp: now + 600 }
  const cases: [name: string, claims: Json, header: Json, outcome: string][] = [
    ['good', {}, {}, 'maggie'],
    ['an access token (RFC 9068)', {}, { typ: 'at+jwt' }, 'maggie'],
    ['a logout token', {}, { typ: 'logout+jwt' }, 'typ'],
    ['crit', {}, { crit: ['exp'] }, 'critical'],
    ['another issuer', { iss: 'https://id.test/' }, {}, 'issuer'],
    ['no issuer', { iss: undefined }, {}, 'issuer'],
    ['another audience', { aud: 'other' }, {}, 'audience'],
    ['no audience', { aud: undefined }, {}, 'audience'],
    ['no subject', { sub: undefined }, {}, 'subject_missing'],
    ['issued ahead, within the skew', { iat: now + 5 }, {}, 'maggie'],
    ['issued ahead by more', { iat: now + 6 }, {}, 'not_yet_valid'],
    ['not yet good, within the skew', { nbf: now + 5 }, {}, 'maggie'],
    ['not yet good', { nbf: now + 6 }, {}, 'not_yet_valid'],
    ['expired, within the skew', { iat: now - 600, exp: now - 4 }, {}, 'maggie'],
    ['expired, at the end of the skew', { iat: now - 600, exp: now - 5 }, {}, 'expired'],
    ['no expiry', { exp: undefined }, {}, 'claim_missing:exp'],
    ['too long a lifetime', { exp: now + 86_401 }, {}, 'lifetime'],
  ]
  for (const [name, claims, header, outcome] of cases)
    t.equal(judge(whole, signedBy(key, { ...good, ...claims }, header), strict, nowMs).outcome, outcome, name)
})

t.test('the grace period counts only once a token has expired', async t => {
  const now = nowSeconds()
  const set = setOf(whole)
  const verifier = verifierOf(fixedKeys(set), { graceSeconds: 5 })
  const token = signedBy(keyOf('EdDSA'), { iat: now, exp: now + 60 })
  for (const round of ['new', 'remembered']) {
    t.match(verifier.verify(token, (now + 59) * 1000), { expiresAtSeconds: now + 60 }, round)
    t.match(verifier.verify(token, (now + 60) * 1000), { expiresAtSeconds: now + 65 }, round)
    t.match(verifier.verify(token, (now + 65) * 1000), { reason: 'expired' }, round)
  }
})

t.test('a token counts as issued at the earliest possible time', async t => {
  const now = nowSeconds()
  const verifier = verifierOf(fixedKeys(setOf(whole)), { skewSeconds: 5 }, IssuerClock.skewed(5))
  for (const [iat, issuedAtSeconds] of [
    [now, now - 5],
    [now + 5, now],
    [3, 0],
  ] as const) {
    const token = signedBy(keyOf('EdDSA'), { iat, exp: iat + 60 })
    for (const round of ['new', 'remembered'])
      t.match(verifier.verify(token, iat * 1000), { issuedAtSeconds }, round)
  }
})

t.test('tokens verified with removed keys are forgotten', async t => {
  let set: KeySet | undefined
  const verifier = verifierOf({ current: () => set, missing: () => undefined })
  const token = signedBy(keyOf('ES256'))
  t.match(verifier.verify(token, Date.now()), { reason: 'keys_unavailable', waitMs: 1000 })
  set = setOf(whole)
  t.match(verifier.verify(token, Date.now()), { user: 'maggie' })
  set = setOf(setText(keyOf('RS256').jwk))
  t.match(verifier.verify(token, Date.now()), { reason: 'key_unknown' })
  set = setOf(whole)
  t.match(verifier.verify(token, Date.now()), { user: 'maggie' })
})

t.test('a key that may still arrive is reported, with the time to wait', async t => {
  const waits = [700, undefined]
  const verifier = verifierOf({ current: () => setOf(whole), missing: () => waits.shift() })
  const token = signedBy(newKey('ES256', 'new'))
  t.strictSame(verifier.verify(token, Date.now()), { reason: 'key_pending', waitMs: 700 })
  t.strictSame(verifier.verify(token, Date.now()), { reason: 'key_unknown', waitMs: 0 })
})

t.test('a token signed with our own secret is not accepted for the provider', async t => {
  const claims = JSON.stringify(claimsFor('maggie'))
  t.equal(judge(whole, signText('{"alg":"HS256","typ":"JWT"}', claims)).outcome, 'algorithm')
})
