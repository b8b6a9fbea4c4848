import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto'
import { isJsonObject } from '../protocol.js'
import { type Algorithm, algorithmsFor, isAlgorithm } from './algorithms.js'
import { weaknessOf } from './weak-keys.js'

/** A key that verifies tokens. */
export interface VerificationKey {
  readonly kid: string | undefined
  readonly key: KeyObject
  /** The algorithms that its type allows and its issuer intends. */
  readonly algorithms: readonly Algorithm[]
}

const maxKidLength = 256

/**
 * Reads a public key of a JWK set (RFC 7517). A member that is `null` or an empty list counts as
 * absent, because .NET and Java serialisers write such members.
 * @returns the reason if the key cannot be used
 */
export function readJwk(entry: unknown): VerificationKey | string {
  if (!isJsonObject(entry)) return 'it is not an object'
  const jwk = Object.fromEntries(
    Object.entries(entry).filter(
      ([, value]) => value !== null && !(Array.isArray(value) && value.length === 0),
    ),
  )
  const { kid, use, key_ops: operations, alg } = jwk
  if (kid !== undefined && (typeof kid !== 'string' || kid.length > maxKidLength))
    return `its kid is not a string of at most ${maxKidLength} characters`
  if (use !== undefined && use !== 'sig') return 'its use is not sig'
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes('verify')))
    return 'its key_ops lack verify'
  if (jwk.kty === 'oct') return 'it is a secret'
  if (jwk.d !== undefined) return 'it is a private key, which is compromised once it is published'
  const key = publicKeyOf(jwk)
  if (typeof key === 'string') return key
  const algorithms = algorithmsFor(key)
  if (algorithms.length === 0) return 'its curve is not supported'
  const intended = algorithms.filter(algorithm => alg === undefined || isSame(alg, algorithm))
  if (intended.length === 0)
    return isAlgorithm(alg) ? 'its alg is not one for its type of key' : 'its alg is not supported'
  return { kid, key, algorithms: intended }
}

/** `EdDSA` and `Ed25519` are two names for one algorithm (RFC 9864 section 2.2). */
const isSame = (alg: unknown, algorithm: Algorithm): boolean =>
  alg === algorithm || (isEd25519(alg) && isEd25519(algorithm))

const isEd25519 = (name: unknown): boolean => name === 'EdDSA' || name === 'Ed25519'

const publicMembers: Readonly<Record<string, readonly string[]>> = {
  RSA: ['kty', 'n', 'e'],
  EC: ['kty', 'crv', 'x', 'y'],
  OKP: ['kty', 'crv', 'x'],
}

function publicKeyOf(jwk: Readonly<Record<string, unknown>>): KeyObject | string {
  const members =
    typeof jwk.kty === 'string' && Object.hasOwn(publicMembers, jwk.kty) && publicMembers[jwk.kty]
  if (!members) return 'its kty is not supported'
  const missing = members.find(name => typeof jwk[name] !== 'string')
  if (missing !== undefined) return `its ${missing} is missing`
  let key: KeyObject
  try {
    const publicPart = Object.fromEntries(members.map(name => [name, jwk[name]]))
    key = createPublicKey({ key: publicPart as JsonWebKey, format: 'jwk' })
  } catch {
    return 'it is not a valid key, or its curve is not supported'
  }
  return weaknessOf(key) ?? key
}
