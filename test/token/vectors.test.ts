import { readFileSync } from 'node:fs'
import t from 'tap'
import { algorithmNames, isAlgorithm } from '../../src/token/algorithms.js'
import { readJws } from '../../src/token/jws.js'
import { type KeySet, readKeySet, secretKeySet } from '../../src/token/key-set.js'
import { checkSignature } from '../../src/token/verifier.js'

type Jwk = Readonly<Record<string, unknown>>

interface Vector {
  readonly tcId: number
  readonly comment: string
  readonly result: 'valid' | 'invalid'
  readonly flags: readonly string[]
  readonly jws?: unknown
}

interface Group {
  readonly comment: string
  readonly public?: Jwk | { readonly keys: readonly Jwk[] }
  readonly private: Jwk | { readonly keys: readonly Jwk[] }
  readonly tests: readonly Vector[]
}

const read = (name: string) => JSON.parse(readFileSync(new URL(`vectors/${name}`, import.meta.url), 'utf8'))

const jwksOf = ({ public: shown, private: hidden }: Group): readonly Jwk[] => {
  const keys = shown ?? hidden
  return 'keys' in keys ? (keys.keys as readonly Jwk[]) : [keys as Jwk]
}

/** A key as a provider publishes it. Some vectors contain only the private key. */
const asPublic = ({ d, p, q, dp, dq, qi, ...jwk }: Jwk): Jwk => jwk

/** A set of public keys, or of secrets for signatures; undefined if no key can be used. */
const setOf = (jwks: readonly Jwk[]): KeySet | undefined => {
  if (jwks.every(({ kty, alg }) => kty === 'oct' && (alg === undefined || isAlgorithm(alg))))
    return secretKeySet(
      jwks.map(({ k }) => Buffer.from(String(k), 'base64url')),
      algorithmNames.filter(name => name.startsWith('HS') && jwks.every(({ alg }) => (alg ?? name) === name)),
    )
  try {
    return readKeySet(JSON.stringify({ keys: jwks.map(asPublic) })).set
  } catch {
    return undefined
  }
}

const isAccepted = (jws: unknown, set: KeySet | undefined): boolean => {
  if (typeof jws !== 'string' || set === undefined) return false
  const parts = readJws(jws)
  return typeof parts === 'object' && checkSignature(parts, set) === undefined
}

/** Vectors whose label is wrong here, by file and number, and why. */
const wrong: Readonly<Record<string, string>> = {
  'json_web_signature 367': 'the same text as 357, which is valid',
  'json_web_signature 370': 'the same text as 357, which is valid',
  'json_web_signature 372': 'a character outside base64url in the header (RFC 7515 section 2)',
  'json_web_signature 373': 'a character outside base64url in the payload (RFC 7515 section 2)',
  'json_web_key 4':
    'ambiguous: we try each key of a kid, because some issuers reuse a kid when they rotate keys',
}

// RFC 7520 gives its keys no alg. The vectors add one, PS256 for PS384 and ES521 for ES512.
const asInTheRfc = (group: Group): readonly Jwk[] =>
  group.comment.startsWith('rfc7520') ? jwksOf(group).map(({ alg, ...jwk }) => jwk) : jwksOf(group)

for (const [name, valid, invalid] of [
  ['json_web_signature', 44, 353],
  ['json_web_key', 5, 20],
  ['json_web_crypto', 4, 45],
] as const)
  t.test(`Wycheproof, ${name}: valid vectors are accepted, invalid ones are refused`, async t => {
    const groups = read(`wycheproof/${name}_test.json`).testGroups as readonly Group[]
    const passed = { valid: 0, invalid: 0 }
    for (const group of groups)
      for (const { tcId, comment, result, jws } of group.tests) {
        if (jws === undefined || wrong[`${name} ${tcId}`] !== undefined) continue
        const isRight = isAccepted(jws, setOf(asInTheRfc(group))) === (result === 'valid')
        t.ok(isRight, `${tcId} ${group.comment} ${comment} is ${result}`)
        if (isRight) passed[result]++
      }
    t.strictSame(passed, { valid, invalid })
  })

t.test('the vectors left out as mislabelled are what their reasons say', async t => {
  const groups = read('wycheproof/json_web_signature_test.json').testGroups as readonly Group[]
  const jwsOf = (id: number): unknown =>
    groups.flatMap(({ tests }) => tests).find(({ tcId }) => tcId === id)?.jws
  for (const same of [367, 370]) t.equal(jwsOf(same), jwsOf(357))
  for (const foreign of [372, 373]) t.match(jwsOf(foreign), /\?/)
})

t.test('the examples of RFC 7515 and RFC 8037 are accepted, and refused if changed', async t => {
  const examples = read('rfc.json') as readonly { name: string; jwk: Jwk; jws: string }[]
  for (const { name, jwk, jws } of examples) {
    t.ok(isAccepted(jws, setOf([jwk])), name)
    for (const at of [3, jws.indexOf('.') + 3, jws.length - 3]) {
      const changed = jws.slice(0, at) + (jws[at] === 'A' ? 'B' : 'A') + jws.slice(at + 1)
      t.notOk(isAccepted(changed, setOf([jwk])), `${name}, with character ${at} changed`)
    }
  }
  const unsecured = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${examples[0]?.jws.split('.')[1]}.`
  for (const { name, jwk } of examples) t.notOk(isAccepted(unsecured, setOf([jwk])), `A.5, none, for ${name}`)
})
