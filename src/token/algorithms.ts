import { constants, createHmac, type KeyObject, timingSafeEqual, verify } from 'node:crypto'

interface AlgorithmDetails {
  readonly hash: 'sha256' | 'sha384' | 'sha512' | undefined
  readonly verifies: (hash: string, key: KeyObject, input: string, signature: Buffer) => boolean
}

/** `verify` throws for some signatures of a wrong length. They are invalid like any other. */
function holds(check: () => boolean): boolean {
  try {
    return check()
  } catch {
    return false
  }
}

const hmac: AlgorithmDetails['verifies'] = (hash, key, input, signature) => {
  const expected = createHmac(hash, key).update(input).digest()
  return signature.length === expected.length && timingSafeEqual(signature, expected)
}

const pkcs1: AlgorithmDetails['verifies'] = (hash, key, input, signature) =>
  holds(() => verify(hash, Buffer.from(input), { key, padding: constants.RSA_PKCS1_PADDING }, signature))

// The salt is as long as the hash (RFC 7518 section 3.5).
const pss: AlgorithmDetails['verifies'] = (hash, key, input, signature) =>
  holds(() =>
    verify(
      hash,
      Buffer.from(input),
      { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST },
      signature,
    ),
  )

// R and S concatenated, not DER (RFC 7518 section 3.4).
const ecdsa: AlgorithmDetails['verifies'] = (hash, key, input, signature) =>
  holds(() => verify(hash, Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' }, signature))

const ed25519: AlgorithmDetails['verifies'] = (_, key, input, signature) =>
  holds(() => verify(null, Buffer.from(input), key, signature))

const algorithms = {
  HS256: { hash: 'sha256', verifies: hmac },
  HS384: { hash: 'sha384', verifies: hmac },
  HS512: { hash: 'sha512', verifies: hmac },
  RS256: { hash: 'sha256', verifies: pkcs1 },
  RS384: { hash: 'sha384', verifies: pkcs1 },
  RS512: { hash: 'sha512', verifies: pkcs1 },
  PS256: { hash: 'sha256', verifies: pss },
  PS384: { hash: 'sha384', verifies: pss },
  PS512: { hash: 'sha512', verifies: pss },
  ES256: { hash: 'sha256', verifies: ecdsa },
  ES384: { hash: 'sha384', verifies: ecdsa },
  ES512: { hash: 'sha512', verifies: ecdsa },
  EdDSA: { hash: undefined, verifies: ed25519 },
  /** RFC 9864's name for `EdDSA` with this curve. */
  Ed25519: { hash: undefined, verifies: ed25519 },
} as const satisfies Readonly<Record<string, AlgorithmDetails>>

/** A signature algorithm (RFC 7518 section 3.1, RFC 8037, RFC 9864), by its name in `alg`. */
export type Algorithm = keyof typeof algorithms

export const algorithmNames = Object.keys(algorithms) as readonly Algorithm[]

export const isAlgorithm = (name: unknown): name is Algorithm =>
  typeof name === 'string' && Object.hasOwn(algorithms, name)

/** Whether `signature` is valid for `input` and `key`, which must be a key for this algorithm. */
export function verifySignature(
  algorithm: Algorithm,
  key: KeyObject,
  input: string,
  signature: Buffer,
): boolean {
  const { hash, verifies } = algorithms[algorithm]
  return verifies(hash ?? '', key, input, signature)
}

const secretAlgorithms = ['HS256', 'HS384', 'HS512'] as const
const rsaAlgorithms = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'] as const
const curveAlgorithms: Readonly<Record<string, Algorithm>> = {
  prime256v1: 'ES256',
  secp384r1: 'ES384',
  secp521r1: 'ES512',
}

/**
 * The algorithms that a key is for. They depend on the key's type, never on the token (RFC 8725
 * section 3.1), so a public key is never used as a secret.
 */
export function algorithmsFor(key: KeyObject): readonly Algorithm[] {
  if (key.type === 'secret') return secretAlgorithms
  switch (key.asymmetricKeyType) {
    case 'rsa':
      return rsaAlgorithms
    case 'ec': {
      const algorithm = curveAlgorithms[key.asymmetricKeyDetails?.namedCurve ?? '']
      return algorithm === undefined ? [] : [algorithm]
    }
    case 'ed25519':
      return ['EdDSA', 'Ed25519']
    default:
      return []
  }
}
