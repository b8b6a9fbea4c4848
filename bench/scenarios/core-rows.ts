import { generateKeyPairSync, hash, randomBytes, timingSafeEqual } from 'node:crypto'
import { createSigner } from 'fast-jwt'
import { createMemoryReplayCache } from '../../src/replay/memory.js'
import { createSharedReplayMemory, openSharedReplayCache } from '../../src/replay/shared.js'
import { maxClaimsBytes, packClaims, type TicketClaims, unpackClaims } from '../../src/ticket/claims.js'
import { fromText, headerBytes, macBytes } from '../../src/ticket/codec.js'
import { issueTicket } from '../../src/ticket/issuer.js'
import { bootKeyId, macHolds, type TicketKey, ticketKey, writeMac } from '../../src/ticket/key-ring.js'
import { writeNonce } from '../../src/ticket/nonce.js'
import { ownTicketsOnly, verifyTicket } from '../../src/ticket/verifier.js'
import { algorithmsFor } from '../../src/token/algorithms.js'
import type { TokenPolicy } from '../../src/token/claims.js'
import { fixedKeys, IssuerClock } from '../../src/token/issuer.js'
import { unnamedKeySet } from '../../src/token/key-set.js'
import { secretIssuers } from '../../src/token/login-token.js'
import { RightsRules } from '../../src/token/rights-rules.js'
import { TokenVerifier } from '../../src/token/verifier.js'

export const nowMs = 1_764_000_000_123
const nowSeconds = Math.floor(nowMs / 1000)
const ttlSeconds = 10
/** Live nonces in the rows of claims. */
export const live = 1_000_000

/** The claims of a ticket for one channel. */
const claims: TicketClaims = {
  user: 'maggie',
  sessionEndsAtSeconds: nowSeconds + 900,
  tokenIssuedAtSeconds: nowSeconds,
  session: 'q1w2e3r4t5y6u7i8',
  channel: 'lobby',
}

/**
 * Runs a number of operations. Returns a value that depends on all of them, so that none is
 * optimised away.
 */
export type Work = (operations: number) => unknown

export interface CoreRow {
  readonly name: string
  readonly operations: number
  /** The most that it may take, in MACs. */
  readonly target?: number
  /** Runs before each round, unmeasured. */
  readonly prepare: () => Work
}

const repeat =
  (operation: (n: number) => unknown): Work =>
  operations => {
    let last: unknown
    for (let n = 0; n < operations; n++) last = operation(n)
    return last
  }

const key = ticketKey(bootKeyId, randomBytes(32))
const ring = new Map([[0, key]])
const issue = (signing: TicketKey = key): string =>
  issueTicket(claims, { key: signing, node: '', nowMs, ttlSeconds }) ?? ''
const sample = issue()
const bytes = Buffer.from(sample, 'base64url')
const body = bytes.subarray(0, -macBytes)
const packed = bytes.subarray(headerBytes, -macBytes)
const verify = (text: string) => verifyTicket(text, ring, nowMs, ownTicketsOnly)
export const expiresAtMs = nowMs + ttlSeconds * 1000

const nonces = (count: number): string[] => {
  const random = randomBytes(16 * count)
  return Array.from({ length: count }, (_, n) => random.toString('latin1', 16 * n, 16 * n + 16))
}
const tickets = (count: number): string[] => Array.from({ length: count }, () => issue())

export const openMemory = () => createMemoryReplayCache(16_000_000)
export const openShared = (capacity = 2 * live) =>
  openSharedReplayCache(createSharedReplayMemory({ capacity, maxTtlMs: ttlSeconds * 1000, nowMs }))

/**
 * Claims with a million live nonces, in caches that are filled once. The claims of the rounds are
 * added to them.
 */
const claimRow = (name: string, open: typeof openMemory | typeof openShared): CoreRow => {
  let cache: ReturnType<typeof open> | undefined
  const operations = 50_000
  return {
    name,
    operations,
    prepare() {
      if (cache === undefined) {
        cache = open()
        for (const nonce of nonces(live)) cache.spend(nonce, expiresAtMs, nowMs)
      }
      const [filled, fresh] = [cache, nonces(operations)]
      return repeat(n => filled.spend(fresh[n] ?? '', expiresAtMs, nowMs))
    },
  }
}

const acceptRow = (name: string, open: typeof openMemory | typeof openShared, target: number): CoreRow => {
  let cache: ReturnType<typeof open> | undefined
  const operations = 20_000
  return {
    name,
    operations,
    target,
    prepare() {
      if (cache === undefined) {
        cache = open()
        for (const nonce of nonces(live)) cache.spend(nonce, expiresAtMs, nowMs)
      }
      const [filled, fresh] = [cache, tickets(operations)]
      return operations => {
        let accepted = 0
        for (let n = 0; n < operations; n++) {
          const ticket = verify(fresh[n] ?? '')
          if (typeof ticket !== 'string' && filled.spend(ticket.nonce, ticket.expiresAtMs, nowMs) === 'fresh')
            accepted++
        }
        if (accepted !== operations) throw new Error(`${accepted} of ${operations} were accepted`)
        return accepted
      }
    },
  }
}

type SigningAlgorithm = 'HS256' | 'RS256' | 'ES256' | 'EdDSA'

const pairOf = {
  RS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  EdDSA: () => generateKeyPairSync('ed25519'),
}

/** An issuer of tokens, and the server that accepts them. */
function issuerOf(algorithm: SigningAlgorithm, policy: TokenPolicy) {
  if (algorithm === 'HS256') {
    const secret = randomBytes(32).toString('hex')
    const chooser = secretIssuers({ secrets: [secret], policy, nodesAheadSeconds: 0 })
    return { sign: createSigner({ key: secret, algorithm }), chooser }
  }
  const { publicKey, privateKey } = pairOf[algorithm]()
  const algorithms = algorithmsFor(publicKey)
  const keys = fixedKeys(unnamedKeySet([{ kid: undefined, key: publicKey, algorithms }]))
  const issuer = { keys, algorithms, policy, clock: IssuerClock.exact() }
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  return { sign: createSigner({ key, algorithm }), chooser: () => issuer }
}

interface TokenRow {
  readonly algorithm: SigningAlgorithm
  /** How many tokens there are, each used once per round; 1 = always the same one. */
  readonly distinct: number
  readonly policy?: Omit<TokenPolicy, 'maxTtlSeconds'>
}

function tokenRow(name: string, { algorithm, distinct, policy }: TokenRow): CoreRow {
  const { sign, chooser } = issuerOf(algorithm, { ...policy, maxTtlSeconds: 86_400 })
  const tokens = new TokenVerifier(chooser, 16_384)
  return {
    name,
    operations: distinct === 1 ? 10_000 : distinct,
    prepare() {
      const seconds = Math.floor(Date.now() / 1000)
      const claims = { sub: 'maggie', roles: ['user', 'trader'], iat: seconds, exp: seconds + 900 }
      const signed = Array.from({ length: distinct }, () =>
        sign({ ...claims, sid: randomBytes(12).toString('base64url') }),
      )
      const at = Date.now()
      const first = tokens.verify(sign({ ...claims, sid: 'first' }), at)
      if ('reason' in first) throw new Error(`the token is refused: ${first.reason}`)
      return repeat(n => tokens.verify(signed[n % distinct] ?? '', at))
    },
  }
}

const rightsRules = new RightsRules([
  { when: { claim: 'roles', has: ['trader'] }, publish: ['orders.${sub}'], subscribe: ['prices.*'] },
  { when: { claim: 'scope', has: ['news'] }, publish: [], subscribe: ['news'] },
  { when: { claim: 'realm_access.roles', has: ['admin'] }, publish: ['*'], subscribe: ['*'] },
  { when: undefined, publish: [], subscribe: ['user.${sub}.*'] },
])

/** The row that the others are compared with: a ticket needs one MAC, whatever the machine. */
export const macRow = 'HMAC-SHA-256'

const plain = (name: string, operation: (n: number) => unknown, target?: number): CoreRow => ({
  name,
  operations: 50_000,
  ...(target === undefined ? {} : { target }),
  prepare: () => repeat(operation),
})

/** The rows, in the order of play. */
export function coreRows(): CoreRow[] {
  const mac = bytes.subarray(-32)
  const out = Buffer.alloc(64)
  const packing = Buffer.alloc(maxClaimsBytes)
  const forged = (() => {
    const copy = Buffer.from(bytes)
    copy[copy.length - 1] = (copy.at(-1) ?? 0) ^ 1
    return copy.toString('base64url')
  })()
  return [
    plain(macRow, () => writeMac(key, bytes, body.length, out, 0)),
    plain('one crypto.hash of 64 bytes', () => hash('sha256', out, 'binary')),
    plain('timingSafeEqual of 32 bytes', () => timingSafeEqual(mac, out.subarray(0, 32))),
    plain('MAC and comparison', () => macHolds(key, bytes, body.length)),
    plain('nonce', () => writeNonce(out, 0)),
    plain('base64url encode', () => bytes.toString('base64url')),
    plain('base64url decode and check', () => fromText(sample)),
    plain('claims pack', () => packClaims(claims, packing)),
    plain('claims unpack and check', () => unpackClaims(packed)),
    tokenRow('token never seen, HS256', { algorithm: 'HS256', distinct: 5000 }),
    tokenRow('token never seen, HS256, four rules', {
      algorithm: 'HS256',
      distinct: 5000,
      policy: { rightsRules },
    }),
    tokenRow('token never seen, RS256', { algorithm: 'RS256', distinct: 1000 }),
    tokenRow('token never seen, ES256', { algorithm: 'ES256', distinct: 1000 }),
    tokenRow('token never seen, Ed25519', { algorithm: 'EdDSA', distinct: 1000 }),
    tokenRow('token seen before', { algorithm: 'HS256', distinct: 1 }),
    claimRow('claim, memory (lru-cache)', openMemory),
    claimRow('claim, shared', openShared),
    acceptRow('verify and claim, memory', openMemory, 6),
    acceptRow('verify and claim, shared', openShared, 5),
    plain('mint, given claims', () => issue(), 3),
    plain('forged: one bit of the MAC', () => verify(forged), 2.5),
    plain('forged: not base64url', () => verify(`${sample}!`), 1.5),
    plain('verify', () => verify(sample)),
  ]
}
