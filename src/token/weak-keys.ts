import type { KeyObject } from 'node:crypto'

const rsaBits = { min: 2048, max: 8192 }

/**
 * Returns why a public key is unsafe, because others could sign for it or its verification would
 * cost too much. With e = 1 every message is its own signature; a point of low order accepts
 * signatures made without a private key.
 * @returns the reason, or undefined
 */
export function weaknessOf(key: KeyObject): string | undefined {
  if (key.asymmetricKeyType === 'rsa') return rsaWeakness(key)
  if (key.asymmetricKeyType !== 'ed25519') return undefined
  const { x = '' } = key.export({ format: 'jwk' })
  return isLowOrder(Buffer.from(x, 'base64url')) ? 'it is a point of low order' : undefined
}

function rsaWeakness(key: KeyObject): string | undefined {
  const { modulusLength = 0, publicExponent = 0n } = key.asymmetricKeyDetails ?? {}
  if (modulusLength < rsaBits.min || modulusLength > rsaBits.max)
    return `its modulus has ${modulusLength} bits: ${rsaBits.min} to ${rsaBits.max} are accepted`
  if (publicExponent < 65_537n || publicExponent % 2n === 0n || publicExponent >= 2n ** 32n)
    return 'its exponent is not an odd number from 65537 to 2^32'
  const { n = '' } = key.export({ format: 'jwk' })
  return isRoca(BigInt(`0x${Buffer.from(n, 'base64url').toString('hex')}`))
    ? 'its modulus has the pattern of keys that can be factored (ROCA, CVE-2017-15361)'
    : undefined
}

// The encodings of the points of order 1, 2, 4 and 8, including non-canonical ones, with the sign
// bit cleared; as in libsodium's ge25519_has_small_order.
const lowOrderPoints: ReadonlySet<string> = new Set([
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
])

function isLowOrder(point: Buffer): boolean {
  const unsigned = Buffer.from(point)
  unsigned[31] = (unsigned[31] ?? 0) & 0x7f
  return lowOrderPoints.has(unsigned.toString('hex'))
}

// Moduli of this size are built from a multiple of all primes up to this one (Nemec et al., "The
// Return of Coppersmith's Attack", section 2).
const largestRocaPrime = 701

/**
 * Whether the modulus is a power of 65537 modulo every small prime, which does not happen by
 * chance.
 */
const isRoca = (modulus: bigint): boolean =>
  primesUpTo(largestRocaPrime).every(prime => isPowerOf65537(Number(modulus % BigInt(prime)), prime))

function isPowerOf65537(residue: number, prime: number): boolean {
  let power = 1
  do {
    if (power === residue) return true
    power = (power * 65_537) % prime
  } while (power !== 1)
  return false
}

const primesUpTo = (largest: number): number[] =>
  Array.from({ length: largest - 2 }, (_, index) => index + 3).filter(isPrime)

const isPrime = (number: number): boolean => {
  for (let divisor = 2; divisor * divisor <= number; divisor++) if (number % divisor === 0) return false
  return true
}
