import { readFileSync } from 'node:fs'
import t from 'tap'
import { ticketKey } from '../../src/ticket/key-ring.js'
import { type VerifiedTicket, verifyTicket } from '../../src/ticket/verifier.js'
import { makeVectors, type Vector, type Vectors } from './make-vectors.js'

const file = new URL('../../src/ticket/vectors.json', import.meta.url)
const vectors = JSON.parse(readFileSync(file, 'utf8')) as Vectors

/** Verifies a vector as its gate would. */
function verify(vector: Vector): VerifiedTicket | string {
  const { ticket, keyId, key, node, nowMs, skewSeconds = 0, bornAtMs = 0, store = false } = vector
  const skewMs = skewSeconds * 1000
  const ring = new Map([[keyId, ticketKey(keyId, Buffer.from(key, 'base64url'), node)]])
  return verifyTicket(ticket, ring, nowMs, {
    node,
    skewMs,
    earliestOutsideMs: bornAtMs + skewMs,
    outsideUntilMs: Number.POSITIVE_INFINITY,
    store,
  })
}

/** The claims of a verified ticket, in the form of a vector. */
const claimsAsInVector = ({ claims }: VerifiedTicket): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries({
      u: claims.user,
      x: claims.sessionEndsAtSeconds,
      t: claims.tokenIssuedAtSeconds,
      i: claims.session,
      c: claims.channel,
      p: claims.publish,
      s: claims.subscribe,
      o: claims.origin,
      a: claims.address && Buffer.from(claims.address).toString('hex'),
      e: claims.epoch && Buffer.from(claims.epoch).toString('hex'),
      d: claims.carried && { ...claims.carried },
    }).filter(([, value]) => value !== undefined),
  )

t.strictSame(vectors, makeVectors(), 'vectors.json is up to date with make-vectors.ts')

t.test('valid vectors are accepted', async t => {
  for (const vector of vectors.valid) {
    const verified = verify(vector)
    if (typeof verified === 'string') t.fail(`${vector.name}: ${verified}`)
    else
      t.strictSame(
        {
          claims: claimsAsInVector(verified),
          nonce: Buffer.from(verified.nonce, 'latin1').toString('hex'),
          expiresAtMs: verified.expiresAtMs,
        },
        {
          claims: vector.claims,
          nonce: vector.nonce,
          expiresAtMs: vector.issuedAtMs + (vector.ttlSeconds + (vector.skewSeconds ?? 0)) * 1000,
        },
        vector.name,
      )
  }
})

t.test('invalid vectors are refused with their code', async t => {
  for (const vector of vectors.invalid) t.equal(verify(vector), vector.code, vector.name)
})

t.test('names are unique, and texts of every length modulo 4 occur', async t => {
  const all = [...vectors.valid, ...vectors.invalid]
  t.equal(new Set(all.map(({ name }) => name)).size, all.length)
  const lengths = vectors.valid.map(({ ticket }) => ticket.slice(ticket.indexOf('.') + 1).length % 4)
  t.strictSame([...new Set(lengths)].sort(), [0, 2, 3])
})
