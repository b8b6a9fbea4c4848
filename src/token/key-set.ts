import { createSecretKey } from 'node:crypto'
import type { Algorithm } from './algorithms.js'
import { readJwk, type VerificationKey } from './jwk.js'

/** Keys of one issuer, to verify its tokens with. */
export interface KeySet {
  has(kid: string): boolean
  /** Whether any key is for this algorithm. */
  supports(algorithm: Algorithm): boolean
  /** The keys that may have signed a token with this header: few, since each is tried in turn. */
  candidates(kid: string | undefined, algorithm: Algorithm): readonly VerificationKey[]
}

/** What else a JWK set contained. */
export interface KeySetReport {
  readonly set: KeySet
  /** How many keys can be used. */
  readonly size: number
  /** Keys that cannot be used, and why: one line each, for the log. */
  readonly ignored: readonly string[]
  /** Names that several keys have: one line each, for the log. */
  readonly repeated: readonly string[]
}

const maxKeys = 64

// A forged token with a repeated kid makes us try this many keys.
const maxPerKid = 4

/**
 * Reads the text of a JWK set. Keys that cannot be used here are left out, as RFC 7517 section 5
 * asks. Keys that share a kid are all kept, up to four: some issuers rotate a key and keep its
 * name.
 * @throws Error that says why the text is not a key set, or is one without a usable key
 */
export function readKeySet(text: string): KeySetReport {
  const entries = entriesOf(text)
  if (entries.length > maxKeys) throw new Error(`the JWK set has more than ${maxKeys} keys`)
  const keys: VerificationKey[] = []
  const ignored: string[] = []
  for (const [index, entry] of entries.entries()) {
    const key = readJwk(entry)
    if (typeof key === 'string') ignored.push(`${nameOf(entry, index)}: ${key}`)
    else if (!keys.some(other => isRepetition(other, key))) keys.push(key)
  }
  if (keys.length === 0)
    throw new Error(['the JWK set has no key that can verify signatures here', ...ignored].join('; '))
  const { kept, repeated } = limitPerKid(keys)
  return { set: createKeySet(kept), size: kept.length, ignored, repeated }
}

/** How long a secret must be: as long as the hash. */
const secretBytesFor = (algorithm: Algorithm): number => Number(algorithm.slice(2)) / 8

function entriesOf(text: string): readonly unknown[] {
  let set: unknown
  try {
    set = JSON.parse(text)
  } catch {
    throw new Error('the JWK set is not JSON')
  }
  const keys = typeof set === 'object' && set !== null ? (set as { readonly keys?: unknown }).keys : undefined
  if (!Array.isArray(keys)) throw new Error('the JWK set has no list of keys')
  return keys
}

/** The issuer chose the kid, so it is quoted and truncated. */
const nameOf = (entry: unknown, index: number): string => {
  const kid =
    typeof entry === 'object' && entry !== null ? (entry as { readonly kid?: unknown }).kid : undefined
  return typeof kid === 'string' ? `key ${JSON.stringify(kid.slice(0, 64))}` : `key ${index + 1}`
}

const isRepetition = (a: VerificationKey, b: VerificationKey): boolean =>
  a.kid === b.kid && a.key.equals(b.key) && a.algorithms.join() === b.algorithms.join()

function limitPerKid(keys: readonly VerificationKey[]) {
  const byKid = groupByKid(keys)
  const repeated: string[] = []
  for (const [kid, same] of byKid) {
    if (kid === undefined || same.length === 1) continue
    const rest = same.length > maxPerKid ? `, of which ${maxPerKid} are tried` : ''
    repeated.push(`${same.length} keys are named ${JSON.stringify(kid.slice(0, 64))}${rest}`)
  }
  const kept = [...byKid].flatMap(([kid, same]) => (kid === undefined ? same : same.slice(0, maxPerKid)))
  return { kept, repeated }
}

function groupByKid(keys: readonly VerificationKey[]): ReadonlyMap<string | undefined, VerificationKey[]> {
  const groups = new Map<string | undefined, VerificationKey[]>()
  for (const key of keys) groups.set(key.kid, [...(groups.get(key.kid) ?? []), key])
  return groups
}

/** A token without a kid is verified only if a single key can have signed it. */
function createKeySet(keys: readonly VerificationKey[]): KeySet {
  const byKid = groupByKid(keys)
  return {
    has: kid => byKid.has(kid),
    supports: algorithm => keys.some(key => key.algorithms.includes(algorithm)),
    candidates(kid, algorithm) {
      const named = kid === undefined ? keys : (byKid.get(kid) ?? [])
      const fitting = named.filter(key => key.algorithms.includes(algorithm))
      return kid === undefined && fitting.length > 1 ? [] : fitting
    },
  }
}

/**
 * Secrets shared with an issuer, each tried in order, whatever the kid. A secret is used for those
 * algorithms whose hash is not longer than it (RFC 7518 section 3.2).
 * @param secrets as text, whose UTF-8 bytes are the key, or as bytes
 */
export function secretKeySet(
  secrets: readonly (string | Uint8Array)[],
  algorithms: readonly Algorithm[],
): KeySet {
  const keys: readonly VerificationKey[] = secrets.map(secret => {
    const bytes = Buffer.from(secret as string)
    return {
      kid: undefined,
      key: createSecretKey(bytes),
      algorithms: algorithms.filter(algorithm => bytes.length >= secretBytesFor(algorithm)),
    }
  })
  return unnamedKeySet(keys)
}

/**
 * Keys without names, such as those in PEM files: each that fits the algorithm is tried, whatever
 * the kid.
 */
export function unnamedKeySet(keys: readonly VerificationKey[]): KeySet {
  const fitting = (algorithm: Algorithm) => keys.filter(key => key.algorithms.includes(algorithm))
  return {
    has: () => true,
    supports: algorithm => fitting(algorithm).length > 0,
    candidates: (_, algorithm) => fitting(algorithm),
  }
}
