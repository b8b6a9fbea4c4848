import { CompactSign, compactVerify, exportJWK, generateKeyPair, type JWK } from 'jose'
import t from 'tap'
import type { Algorithm } from '../../src/token/algorithms.js'
import { fixedKeys, IssuerClock } from '../../src/token/issuer.js'
import { readKeySet, secretKeySet } from '../../src/token/key-set.js'
import { TokenVerifier } from '../../src/token/verifier.js'
import { nowSeconds } from '../support/tokens.js'

/** Tokens signed by jose: it and our verifier accept them, and refuse every change to them. */

const now = nowSeconds()
const payload = Buffer.from(JSON.stringify({ sub: 'maggie', iat: now, exp: now + 600, note: 'ä€🦄' }))
const secret = Buffer.alloc(64, 'jose')

const publicKeyAlgorithms: readonly Algorithm[] = [
  ...(['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'] as const),
  ...(['ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'] as const),
]

const verifierOf = (algorithm: Algorithm, jwk: JWK | undefined): TokenVerifier => {
  const set = jwk ? readKeySet(JSON.stringify({ keys: [jwk] })).set : secretKeySet([secret], [algorithm])
  const issuer = {
    keys: fixedKeys(set),
    algorithms: [algorithm],
    policy: { maxTtlSeconds: 600 },
    clock: IssuerClock.exact(),
  }
  return new TokenVerifier(() => issuer, 16_384)
}

const isVerifiedByJose = (token: string, key: Parameters<typeof compactVerify>[1]): Promise<boolean> =>
  compactVerify(token, key).then(
    () => true,
    () => false,
  )

const flipped = (bytes: Buffer, bit: number): Buffer => {
  const copy = Buffer.from(bytes)
  copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7))
  return copy
}

for (const algorithm of [...publicKeyAlgorithms, 'HS256', 'HS384', 'HS512'] as const)
  t.test(`${algorithm}: a token signed by jose is accepted, and refused with any bit changed`, async t => {
    const isSecret = algorithm.startsWith('HS')
    const pair = isSecret ? undefined : await generateKeyPair(algorithm, { extractable: true })
    const jwk = pair && { ...(await exportJWK(pair.publicKey)), alg: algorithm, use: 'sig', kid: 'k' }
    const token = await new CompactSign(payload)
      .setProtectedHeader({ alg: algorithm, typ: 'at+jwt', kid: 'k' })
      .sign(pair?.privateKey ?? secret)
    const verifier = verifierOf(algorithm, jwk)
    t.match(verifier.verify(token, now * 1000), { user: 'maggie', expiresAtSeconds: now + 600 })

    const parts = token.split('.').map(part => Buffer.from(part, 'base64url'))
    const accepted: string[] = []
    for (const [index, part] of parts.entries()) {
      // jose is slow, so only some bits of long parts are flipped.
      const step = Math.max(1, Math.floor((part.length * 8) / 64))
      for (let bit = 0; bit < part.length * 8; bit += step) {
        const changed = parts
          .map((each, at) => (at === index ? flipped(each, bit) : each).toString('base64url'))
          .join('.')
        const ours = !('reason' in verifier.verify(changed, now * 1000))
        if (ours || (await isVerifiedByJose(changed, pair?.publicKey ?? secret)))
          accepted.push(`part ${index}, bit ${bit}`)
      }
    }
    t.strictSame(accepted, [], 'no changed token is accepted')
  })
