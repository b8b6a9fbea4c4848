/**
 * The cost of the parts of a ticket, in this process, without a server: CPU nanoseconds per
 * operation, and the memory of a spent ticket. `npx tsx bench/core.ts [--rounds N] [--json FILE]`.
 */
import {
  createHmac,
  createSecretKey,
  generateKeyPairSync,
  hash,
  randomBytes,
  timingSafeEqual,
} from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { createSigner } from 'fast-jwt'
import { Packr } from 'msgpackr'
import { createMemoryReplayCache } from '../src/replay/memory.js'
import { createSharedReplayMemory, openSharedReplayCache } from '../src/replay/shared.js'
import { maxClaimsBytes, packClaims, type TicketClaims, unpackClaims } from '../src/ticket/claims.js'
import { fromText, headerBytes, macBytes } from '../src/ticket/codec.js'
import { issueTicket } from '../src/ticket/issuer.js'
import { bootKeyId, macHolds, type TicketKey, ticketKey, writeMac } from '../src/ticket/key-ring.js'
import { writeNonce } from '../src/ticket/nonce.js'
import { ownTicketsOnly, verifyTicket } from '../src/ticket/verifier.js'
import { algorithmsFor } from '../src/token/algorithms.js'
import type { TokenPolicy } from '../src/token/claims.js'
import { fixedKeys, IssuerClock } from '../src/token/issuer.js'
import { unnamedKeySet } from '../src/token/key-set.js'
import { secretIssuers } from '../src/token/login-token.js'
import { RightsRules } from '../src/token/rights-rules.js'
import { TokenVerifier } from '../src/token/verifier.js'

export interface CoreFigure {
  readonly name: string
  /** CPU nanoseconds per operation, including garbage collection, over the rounds. */
  readonly median: number
  readonly least: number
  /** The upper limit, if one is stated. */
  readonly target?: number
}

export interface CoreMemory {
  readonly cache: string
  readonly live: number
  readonly bytesPerTicket: number
}

export interface CoreReport {
  readonly figures: readonly CoreFigure[]
  readonly memory: readonly CoreMemory[]
}

const nowMs = 1_764_000_000_123
const nowSeconds = Math.floor(nowMs / 1000)
const ttlSeconds = 10
const live = 1_000_000

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
type Work = (operations: number) => unknown

interface Row {
  readonly name: string
  readonly operations: number
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
// How ticketgate encoded claims before it had its own reader and writer.
const packr = new Packr({ useRecords: false, variableMapSize: true })
const wireClaims: unknown = packr.unpack(packed)
const verify = (text: string) => verifyTicket(text, ring, nowMs, ownTicketsOnly)
const expiresAtMs = nowMs + ttlSeconds * 1000

const nonces = (count: number): string[] => {
  const random = randomBytes(16 * count)
  return Array.from({ length: count }, (_, n) => random.toString('latin1', 16 * n, 16 * n + 16))
}
const tickets = (count: number): string[] => Array.from({ length: count }, () => issue())

const openMemory = () => createMemoryReplayCache(16_000_000)
const openShared = (capacity = 2 * live) =>
  openSharedReplayCache(createSharedReplayMemory({ capacity, maxTtlMs: ttlSeconds * 1000, nowMs }))

/**
 * Claims with a million live nonces, in caches that are filled once. The claims of the rounds are
 * added to them.
 */
const claimRow = (name: string, open: typeof openMemory | typeof openShared): Row => {
  let cache: ReturnType<typeof open> | undefined
  const operations = 50_000
  return {
    name,
    operations,
    prepare() {
      if (cache === undefined) {
        cache = open()
        for (const nonce of nonces(live)) cache.claim(nonce, expiresAtMs, nowMs)
      }
      const [filled, fresh] = [cache, nonces(operations)]
      return repeat(n => filled.claim(fresh[n] ?? '', expiresAtMs, nowMs))
    },
  }
}

const acceptRow = (name: string, open: typeof openMemory | typeof openShared, target: number): Row => {
  let cache: ReturnType<typeof open> | undefined
  const operations = 20_000
  return {
    name,
    operations,
    target,
    prepare() {
      if (cache === undefined) {
        cache = open()
        for (const nonce of nonces(live)) cache.claim(nonce, expiresAtMs, nowMs)
      }
      const [filled, fresh] = [cache, tickets(operations)]
      return operations => {
        let accepted = 0
        for (let n = 0; n < operations; n++) {
          const ticket = verify(fresh[n] ?? '')
          if (typeof ticket !== 'string' && filled.claim(ticket.nonce, ticket.expiresAtMs, nowMs) === 'fresh')
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

function tokenRow(name: string, { algorithm, distinct, policy }: TokenRow): Row {
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

const plain = (name: string, operation: (n: number) => unknown, target?: number): Row => ({
  name,
  operations: 50_000,
  ...(target === undefined ? {} : { target }),
  prepare: () => repeat(operation),
})

function rows(): Row[] {
  const keyObject = createSecretKey(randomBytes(32))
  const mac = bytes.subarray(-32)
  const out = Buffer.alloc(64)
  const packing = Buffer.alloc(maxClaimsBytes)
  const forged = (() => {
    const copy = Buffer.from(bytes)
    copy[copy.length - 1] = (copy.at(-1) ?? 0) ^ 1
    return copy.toString('base64url')
  })()
  return [
    plain('HMAC-SHA-256 by createHmac, KeyObject', () =>
      createHmac('sha256', keyObject).update(body).digest(),
    ),
    plain('HMAC-SHA-256 by crypto.hash twice, as used', () => writeMac(key, bytes, body.length, out, 0)),
    plain('one crypto.hash of 64 bytes', () => hash('sha256', out, 'binary')),
    plain('timingSafeEqual of 32 bytes', () => timingSafeEqual(mac, out.subarray(0, 32))),
    plain('MAC and comparison, as used', () => macHolds(key, bytes, body.length)),
    plain('nonce by randomBytes(16)', () => randomBytes(16)),
    plain('nonce from the pool, as used', () => writeNonce(out, 0)),
    plain('base64url encode', () => bytes.toString('base64url')),
    plain('base64url decode and check, as used', () => fromText(sample)),
    plain('claims pack by msgpackr', () => packr.pack(wireClaims)),
    plain('claims pack, as used', () => packClaims(claims, packing)),
    plain('claims unpack by msgpackr', () => packr.unpack(packed)),
    plain('claims unpack and check, as used', () => unpackClaims(packed)),
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
    acceptRow('verify and claim, memory', openMemory, 4000),
    acceptRow('verify and claim, shared', openShared, 3000),
    plain('mint, given claims', () => issue(), 4000),
    plain('forged: one bit of the MAC', () => verify(forged), 3000),
    plain('forged: not base64url', () => verify(`${sample}!`), 3000),
    plain('verify', () => verify(sample)),
  ]
}

function measure(row: Row): number {
  const work = row.prepare()
  collectGarbage()
  // CPU time, so that other work on this machine counts less.
  const before = process.cpuUsage()
  work(row.operations)
  const { user, system } = process.cpuUsage(before)
  return (1000 * (user + system)) / row.operations
}

setFlagsFromString('--expose-gc')
const collectGarbage: () => void = runInNewContext('gc')

/** Memory in use, without garbage. */
function usedBytes(): number {
  collectGarbage()
  collectGarbage()
  const { heapUsed, external, arrayBuffers } = process.memoryUsage()
  return heapUsed + Math.max(external, arrayBuffers)
}

function remember(name: string, open: typeof openMemory | typeof openShared, shared: boolean): CoreMemory {
  const before = usedBytes()
  const cache = open()
  const random = randomBytes(16)
  for (let n = 0; n < live; n++) {
    random.writeUInt32LE(n, 4)
    random.writeUInt32LE(Math.imul(n, 0x9e3779b1) >>> 0, 0)
    if (cache.claim(random.toString('latin1'), expiresAtMs, nowMs) !== 'fresh') throw new Error('not fresh')
  }
  // No heap counts shared memory: take what was allocated.
  const bytes = shared ? sharedBytes : usedBytes() - before
  return { cache: name, live: cache.size, bytesPerTicket: bytes / live }
}

const sharedBytes = createSharedReplayMemory({ capacity: live, maxTtlMs: 1000, nowMs }).buffer.byteLength

/** Runs all rows, interleaved round by round. */
export function benchCore(rounds: number, say: (text: string) => void = () => {}): CoreReport {
  const memory = [
    remember('memory (lru-cache)', () => createMemoryReplayCache(live), false),
    remember('shared, both tables, of a capacity of a million', () => openShared(live), true),
  ]
  const all = rows()
  const measured = new Map<string, number[]>(all.map(row => [row.name, []]))
  for (let round = 0; round <= rounds; round++) {
    for (const row of all) {
      const ns = measure(row)
      // The first round warms up.
      if (round > 0) measured.get(row.name)?.push(ns)
    }
    say(round === 0 ? 'warm-up' : `round ${round}`)
  }
  const figures = all.map(({ name, target }) => {
    const sorted = (measured.get(name) ?? []).toSorted((a, b) => a - b)
    const [median = Number.NaN, least = Number.NaN] = [sorted[sorted.length >> 1], sorted[0]]
    return { name, median, least, ...(target === undefined ? {} : { target }) }
  })
  return { figures, memory }
}

/** The report as lines of text. */
export function coreTable({ figures, memory }: CoreReport): string {
  const width = Math.max(
    ...figures.map(({ name }) => name.length),
    ...memory.map(({ cache }) => cache.length),
  )
  const line = (name: string, ...cells: readonly string[]): string =>
    `${name.padEnd(width)}  ${cells.map(cell => cell.padStart(9)).join('  ')}`
  return [
    line('CPU ns per operation', 'median', 'least', 'target'),
    ...figures.map(({ name, median, least, target }) =>
      line(name, median.toFixed(0), least.toFixed(0), target === undefined ? '' : `≤ ${target}`),
    ),
    '',
    line('memory per remembered ticket', 'bytes', 'live'),
    ...memory.map(({ cache, bytesPerTicket, live: count }) =>
      line(cache, bytesPerTicket.toFixed(1), String(count)),
    ),
  ].join('\n')
}

function main(args: string[]): void {
  const { values } = parseArgs({
    args,
    options: { rounds: { type: 'string', default: '15' }, json: { type: 'string' } },
  })
  const rounds = Number(values.rounds)
  if (!Number.isInteger(rounds) || rounds < 1 || rounds > 1000)
    throw new RangeError('--rounds takes a number from 1 to 1000')
  const report = benchCore(rounds, text => process.stderr.write(`${text}\n`))
  console.log(`${coreTable(report)}\n\nnode ${process.versions.node}, ${rounds} rounds`)
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(report, null, 2)}\n`)
}

if (import.meta.url === `file://${process.argv[1]}`) main(process.argv.slice(2))
