import type { Test } from 'tap'
import { issueTicket } from '../../src/ticket/issuer.js'
import { ticketKey } from '../../src/ticket/key-ring.js'
import { verifyTicket } from '../../src/ticket/verifier.js'
import { anyTime, labelOf, layOut, macOf, nowMs, nowSeconds, packClaims, secret, textOf } from './forge.js'

const seed = 0x7a11c3

const key = ticketKey(0, secret)
const ring = new Map([
  [0, key],
  [7, ticketKey(7, new Uint8Array(32).fill(9))],
])

/** xorshift32: the same numbers in every run. */
function createRandom(seed: number) {
  let state = seed
  const next = (): number => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return state >>> 0
  }
  const below = (limit: number): number => next() % limit
  const bytes = (length: number): Buffer => Buffer.from(Uint8Array.from({ length }, () => next() >>> 8))
  return { below, bytes, pick: <T>(from: readonly [T, ...T[]]): T => from[below(from.length)] ?? from[0] }
}

const random = createRandom(seed)
const { below, bytes, pick } = random

const claimsOf = (n: number) => ({
  user: `user-${n}`.repeat(1 + (n % 30)),
  sessionEndsAtSeconds: nowSeconds + 3600,
  ...(n % 2 === 0 ? { channel: 'red' } : {}),
  ...(n % 3 === 0 ? { publish: ['chat.*'], subscribe: [] } : {}),
  ...(n % 4 === 0 ? { carried: { email: 'm@a.test', org: n - 30, roles: ['a', 'b'], on: true } } : {}),
  ...(n % 5 === 0 ? { address: Buffer.of(24, 203, 0, 113) } : {}),
})

const [first = '', ...others] = Array.from(
  { length: 60 },
  (_, n) => issueTicket(claimsOf(n), { key, node: '', nowMs, ttlSeconds: 3600 }) ?? '',
)
const issued: readonly [string, ...string[]] = [first, ...others]
const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/.%\0\n ä'

const decoded = (): Buffer => Buffer.from(pick(issued), 'base64url')
const splice = (data: Buffer, at: number, cut: number, put: Buffer): Buffer =>
  Buffer.concat([data.subarray(0, at), put, data.subarray(at + cut)])

/** Ways to make a text that is a ticket only by chance. */
const ways: readonly [() => string, ...(() => string)[]] = [
  function randomBytes() {
    return bytes(below(600)).toString('base64url')
  },
  function randomBytesAfterAValidHeader() {
    return textOf(layOut({ keyId: pick([0, 7]), claims: bytes(below(200)) }), bytes(32))
  },
  function randomCharacters() {
    return Array.from({ length: below(200) }, () => alphabet[below(alphabet.length)]).join('')
  },
  function bitsFlipped() {
    const data = decoded()
    for (let flips = 1 + below(4); flips > 0; flips--) {
      const at = below(data.length)
      data[at] = (data[at] ?? 0) ^ (1 << below(8))
    }
    return data.toString('base64url')
  },
  function charactersReplaced() {
    const text = pick(issued)
    const at = below(text.length)
    return text.slice(0, at) + (alphabet[below(alphabet.length)] ?? '') + text.slice(at + 1 + below(2))
  },
  function characterInserted() {
    const text = pick(issued)
    const at = pick([0, below(text.length), text.length])
    return text.slice(0, at) + (alphabet[below(alphabet.length)] ?? '') + text.slice(at)
  },
  function bytesSpliced() {
    const data = decoded()
    return splice(data, below(data.length), below(4), bytes(below(4))).toString('base64url')
  },
  function twoTicketsCrossed() {
    const [one, two] = [decoded(), decoded()]
    const at = below(Math.min(one.length, two.length))
    return textOf(one.subarray(0, at), two.subarray(at))
  },
  function headerRewritten() {
    const data = decoded()
    bytes(1 + below(9)).copy(data, below(10))
    return data.toString('base64url')
  },
  function tail() {
    const text = pick(issued)
    return random.below(2) === 0 ? text.slice(0, below(text.length)) : text.slice(below(text.length))
  },
  function signedByAnother() {
    const body = layOut({ claims: packClaims(claimsOf(below(60))) })
    return textOf(body, pick([macOf(body, labelOf(), bytes(32)), macOf(body, bytes(below(30)))]))
  },
]

/**
 * Presents this many texts to the verifier, and a fifth as many tickets with a valid MAC over random
 * or edited claims.
 */
export const fuzz = (t: Test, presentations: number): void => {
  t.comment(`seed ${seed}`)

  t.test('of any texts, exactly the issued tickets are accepted', async t => {
    const known = new Set(issued)
    const counts: Record<string, number> = { good: 0, ticket_invalid: 0, ticket_expired: 0 }
    const wrong: string[] = []
    for (let n = 0; n < presentations; n++) {
      const text = n % 1000 === 0 ? pick(issued) : pick(ways)()
      const result = verifyTicket(text, ring, nowMs, anyTime)
      const outcome = typeof result === 'string' ? result : 'good'
      counts[outcome] = (counts[outcome] ?? 0) + 1
      if ((outcome === 'good') !== known.has(text)) wrong.push(text)
    }
    t.strictSame(wrong.slice(0, 5), [], `${wrong.length} of ${presentations} have the wrong result`)
    t.equal(counts.ticket_expired, 0, 'no ticket without a valid MAC is reported as expired')
    t.ok((counts.good ?? 0) >= presentations / 1000, 'the issued tickets among them are accepted')
    t.ok((counts.ticket_invalid ?? 0) > presentations * 0.97, 'nearly all are refused as forged')
    t.comment(JSON.stringify(counts))
  })

  t.test('any claims under a valid MAC give a result, never an exception', async t => {
    const counts: Record<string, number> = {}
    for (let n = 0; n < presentations / 5; n++) {
      let claims = packClaims(claimsOf(below(60)))
      for (let edits = 1 + below(3); edits > 0; edits--)
        claims = splice(claims, below(claims.length + 1), below(3), bytes(below(3)))
      if (below(4) === 0) claims = bytes(below(513))
      const body = layOut({ claims: claims.subarray(0, 512), ttlSeconds: pick([0, 1, 3600, 3601]) })
      const result = verifyTicket(textOf(body, macOf(body)), ring, nowMs, anyTime)
      const outcome = typeof result === 'string' ? result : 'good'
      counts[outcome] = (counts[outcome] ?? 0) + 1
    }
    t.ok(
      (counts.good ?? 0) > 0,
      'some edited claims are accepted, so the others were not refused for their MAC',
    )
    t.ok((counts.ticket_invalid ?? 0) > presentations / 5 / 2)
    t.comment(JSON.stringify(counts))
  })
}
