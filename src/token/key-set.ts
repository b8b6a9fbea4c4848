import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto'
import { createVerifier } from 'fast-jwt'
import type { Decode } from './verifier.js'

/** The algorithms there are for tokens of an identity provider. None of them is symmetric. */
export type ProviderAlgorithm = 'RS256' | 'PS256' | 'ES256' | 'EdDSA'

const maxKeys = 64
const maxKidLength = 256
const rsaBits = { min: 2048, max: 8192 }

/** The public keys of an identity provider (a JWK set, RFC 7517), ready to verify with. */
export interface KeySet {
  readonly size: number
  readonly has: (kid: string) => boolean
  /** What verifies a token with this header, by the one key that can; undefined when there is none or more than one. */
  readonly decoderFor: (kid: string | undefined, algorithm: string) => Decode | undefined
}

interface UsableKey {
  readonly kid: string | undefined
  readonly decoders: ReadonlyMap<string, Decode>
}

/**
 * Reads the text of a JWK set. Keys that are of no use here (encryption, other curves, secrets, too small, broken) are
 * left out, as RFC 7517 section 5 asks.
 * @throws Error that says why the text is no set, or a set without a usable key
 */
export function readKeySet(text: string): KeySet {
  const entries = entriesOf(text)
  if (entries.length > maxKeys) throw new Error(`the JWK set has more than ${maxKeys} keys`)
  const keys = entries.map(readKey).filter(key => key !== undefined)
  if (keys.length === 0)
    throw new Error('the JWK set has no key for signatures by RS256, PS256, ES256 or EdDSA')
  return {
    size: keys.length,
    has: kid => keys.some(key => key.kid === kid),
    decoderFor(kid, algorithm) {
      const [decode, ...others] = keys
        .filter(key => kid === undefined || key.kid === kid)
        .map(key => key.decoders.get(algorithm))
        .filter(found => found !== undefined)
      return others.length === 0 ? decode : undefined
    },
  }
}

function entriesOf(text: string): readonly unknown[] {
  let set: unknown
  try {
    set = JSON.parse(text)
  } catch {
    throw new Error('the JWK set is no JSON')
  }
  const keys = typeof set === 'object' && set !== null ? (set as { readonly keys?: unknown }).keys : undefined
  if (!Array.isArray(keys)) throw new Error('the JWK set has no list of keys')
  return keys
}

function readKey(entry: unknown): UsableKey | undefined {
  if (typeof entry !== 'object' || entry === null) return undefined
  const jwk = entry as JsonWebKey
  const { kid, use, alg } = jwk
  const operations: unknown = jwk.key_ops
  if (kid !== undefined && (typeof kid !== 'string' || kid.length > maxKidLength)) return undefined
  if (use !== undefined && use !== 'sig') return undefined
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes('verify')))
    return undefined
  // A private key that its provider shows to the world proves nothing any more.
  if (jwk.d !== undefined) return undefined
  const key = publicKeyOf(jwk)
  if (key === undefined) return undefined
  const algorithms = algorithmsOf(key).filter(algorithm => alg === undefined || alg === algorithm)
  if (algorithms.length === 0) return undefined
  const pem = key.export({ type: 'spki', format: 'pem' }).toString()
  return { kid, decoders: new Map(algorithms.map(algorithm => [algorithm, decoderOf(pem, algorithm)])) }
}

/** Only its public members are looked at. */
function publicKeyOf({ kty, n, e, crv, x, y }: JsonWebKey): KeyObject | undefined {
  const members = { RSA: { kty, n, e }, EC: { kty, crv, x, y }, OKP: { kty, crv, x } }
  if (kty !== 'RSA' && kty !== 'EC' && kty !== 'OKP') return undefined
  try {
    return createPublicKey({ key: members[kty] as JsonWebKey, format: 'jwk' })
  } catch {
    return undefined
  }
}

/** What a key may be used for is a matter of its type, never of what a token says (RFC 8725 section 3.1). */
function algorithmsOf(key: KeyObject): readonly ProviderAlgorithm[] {
  const { modulusLength = 0, namedCurve } = key.asymmetricKeyDetails ?? {}
  switch (key.asymmetricKeyType) {
    case 'rsa':
      return modulusLength >= rsaBits.min && modulusLength <= rsaBits.max ? ['RS256', 'PS256'] : []
    case 'ec':
      return namedCurve === 'prime256v1' ? ['ES256'] : []
    case 'ed25519':
      return ['EdDSA']
    default:
      return []
  }
}

const decoderOf = (pem: string, algorithm: ProviderAlgorithm): Decode =>
  createVerifier({
    key: pem,
    algorithms: [algorithm],
    complete: true,
    cache: false,
    ignoreExpiration: true,
    ignoreNotBefore: true,
  })
