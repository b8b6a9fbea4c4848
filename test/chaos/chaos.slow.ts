/**
 * Breaks the store, the network and the gates at random, under load, and checks that no ticket was
 * accepted twice. `npm run chaos -- --seconds 600 --seed 7` runs it longer, or again.
 */
import { randomInt } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import t, { type Test } from 'tap'
import { bearer, jsonOf, request, requestUpgrade } from '../support/http.js'
import { requestUpgradeUntilAnswered, storeEnv, untilReady } from '../support/nodes.js'
import { fileNeeds } from '../support/programs.js'
import { type RedisServer, startRedis } from '../support/redis.js'
import { startServer, type TestServer } from '../support/server.js'
import { startRelay, type TcpRelay } from '../support/tcp-relay.js'
import { gatePath, mint, tokenFor } from '../support/tokens.js'

fileNeeds(t, 'redis-server')

const { values } = parseArgs({
  options: { seconds: { type: 'string' }, seed: { type: 'string' } },
  strict: false,
})
const seconds = Number(values.seconds ?? 120)
const seed = Number(values.seed ?? randomInt(2 ** 31))
const nodeCount = 3
const clients = 12
const ticketSeconds = 30

let state = seed
const below = (limit: number): number => {
  state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
  return (state >>> 8) % limit
}

/** A primary store with a replica, and gates that each reach the primary through a relay. */
class Cluster {
  readonly #t: Test
  readonly #stores: readonly [RedisServer, RedisServer]
  readonly relays: readonly TcpRelay[]
  readonly nodes: TestServer[] = []
  /** All gates that were ever started, the killed ones included. */
  readonly lives: TestServer[] = []
  #primary: 0 | 1 = 0

  private constructor(t: Test, stores: readonly [RedisServer, RedisServer], relays: readonly TcpRelay[]) {
    this.#t = t
    this.#stores = stores
    this.relays = relays
  }

  static async start(t: Test): Promise<Cluster> {
    const [primary, replica] = [await startRedis(t), await startRedis(t)]
    await replica.client.replicaof('127.0.0.1', primary.port)
    const relays = await Promise.all(Array.from({ length: nodeCount }, () => startRelay(t, primary.port)))
    const cluster = new Cluster(t, [primary, replica], relays)
    for (let n = 0; n < nodeCount; n++) await cluster.startNode(n)
    return cluster
  }

  async startNode(n: number): Promise<void> {
    const env = storeEnv(this.relays[n]?.port ?? 0, { TICKETGATE_TICKET_TTL_SECONDS: String(ticketSeconds) })
    const node = await startServer(this.#t, { env })
    this.nodes[n] = node
    this.lives.push(node)
  }

  get primary(): RedisServer {
    return this.#stores[this.#primary]
  }

  get replica(): RedisServer {
    return this.#stores[this.#primary === 0 ? 1 : 0]
  }

  swapRoles(): void {
    this.#primary = this.#primary === 0 ? 1 : 0
  }

  anyUrl(): string {
    return this.nodes[below(nodeCount)]?.url ?? ''
  }

  /** Breaks one relay, and repairs it after at most `longestMs`. */
  async breakRelay(how: (relay: TcpRelay) => void, longestMs: number): Promise<void> {
    const relay = this.relays[below(nodeCount)]
    if (relay !== undefined) how(relay)
    await delay(below(longestMs))
    relay?.restore()
  }
}

type Failures = Readonly<Record<string, () => Promise<unknown>>>

/** What can fail. Each failure ends by itself. */
const failuresOf = (cluster: Cluster): Failures => ({
  async 'the store is killed and restarts empty'() {
    const { primary } = cluster
    await primary.kill()
    await delay(below(500))
    await primary.start()
  },
  async 'the store hangs'() {
    const { primary } = cluster
    primary.signal('SIGSTOP')
    await delay(below(1500))
    primary.signal('SIGCONT')
  },
  'the store is emptied': () => cluster.primary.client.flushall(),
  'the store is emptied in the background': () => cluster.primary.client.flushall('ASYNC'),
  'all scripts are lost': () => cluster.primary.client.script('FLUSH'),
  'a gate is cut off': () => cluster.breakRelay(relay => relay.cut(), 800),
  'all bytes are lost': () => cluster.breakRelay(relay => relay.drop(), 1500),
  'all answers are lost': () => cluster.breakRelay(relay => relay.dropReplies(), 1500),
  'the network is slow': () => cluster.breakRelay(relay => relay.delay(below(900)), 2000),
  async 'a gate is killed'() {
    const n = below(nodeCount)
    cluster.nodes[n]?.signal('SIGKILL')
    await cluster.nodes[n]?.exited
    await cluster.startNode(n)
  },
  async 'the replica takes over while the primary lives'() {
    const { primary: former, replica: next } = cluster
    await next.client.replicaof('NO', 'ONE')
    cluster.swapRoles()
    // The gates move over one by one: for a while there are two primaries.
    for (const relay of cluster.relays) {
      relay.redirect(next.port)
      await delay(below(200))
    }
    await former.client.replicaof('127.0.0.1', next.port)
  },
  async 'the replica takes over after the primary has died'() {
    const { primary: former, replica: next } = cluster
    await former.kill()
    await next.client.replicaof('NO', 'ONE')
    cluster.swapRoles()
    for (const relay of cluster.relays) relay.redirect(next.port)
    await former.start()
    await former.client.replicaof('127.0.0.1', next.port)
  },
})

/** Runs every failure once, then at random until the time is over. Counts them by name. */
async function breakThings(failures: Failures): Promise<Record<string, number>> {
  const endsAtMs = performance.now() + seconds * 1000
  const counts: Record<string, number> = {}
  const names = Object.keys(failures)
  for (let n = 0; performance.now() < endsAtMs; n++) {
    const name = names[n < names.length ? n : below(names.length)] ?? ''
    counts[name] = (counts[name] ?? 0) + 1
    await failures[name]?.()
    await delay(below(600))
  }
  return counts
}

/** Clients that present every ticket several times, and what they were answered. */
class Load {
  /** How often each ticket was accepted. */
  readonly accepted = new Map<string, number>()
  readonly answers: Record<string, number> = {}
  readonly #cluster: Cluster
  readonly #recent: string[] = []
  readonly #running: Promise<unknown>
  #isOver = false

  constructor(cluster: Cluster) {
    this.#cluster = cluster
    this.#running = Promise.all(Array.from({ length: clients }, () => this.#runClient()))
  }

  async stop(): Promise<void> {
    this.#isOver = true
    await this.#running
  }

  async #runClient(): Promise<void> {
    const headers = bearer(tokenFor('maggie'))
    while (!this.#isOver) {
      const minted = await request(this.#cluster.anyUrl(), '/ws_ticket', { headers }).catch(() => undefined)
      if (minted?.status !== 200) {
        await delay(5 + below(20))
        continue
      }
      const ticket = String(jsonOf(minted).ticket)
      this.#recent.push(ticket)
      if (this.#recent.length > 500) this.#recent.shift()
      // To several gates at once, with an earlier ticket as well.
      const earlier = this.#recent[below(this.#recent.length)] ?? ticket
      await Promise.all([ticket, ticket, ticket, earlier].map(each => this.#present(each)))
    }
  }

  /** Presents a ticket to one of the gates. A gate that is dying may not answer. */
  async #present(ticket: string): Promise<void> {
    try {
      const reply = await requestUpgrade(this.#cluster.anyUrl(), gatePath(ticket))
      if (reply.status === 101) this.accepted.set(ticket, (this.accepted.get(ticket) ?? 0) + 1)
      this.#count(reply.status === 101 ? '101' : `${reply.status} ${jsonOf(reply).code}`)
    } catch {
      this.#count('no answer')
    }
  }

  #count(answer: string): void {
    this.answers[answer] = (this.answers[answer] ?? 0) + 1
  }
}

t.setTimeout(seconds * 1000 + 120_000)

t.test(`${seconds} s of chaos, seed ${seed}`, { timeout: seconds * 1000 + 110_000 }, async t => {
  const cluster = await Cluster.start(t)
  const failures = failuresOf(cluster)
  const load = new Load(cluster)
  const happened = await breakThings(failures)
  await load.stop()

  const { accepted, answers } = load
  t.strictSame(Object.keys(happened), Object.keys(failures), 'every failure happened at least once')
  t.comment(JSON.stringify({ happened, answers }, undefined, 1))
  const twice = [...accepted].filter(([, times]) => times > 1)
  t.strictSame(twice, [], `none of the ${accepted.size} accepted tickets was accepted twice`)
  t.ok(accepted.size > 50, 'many tickets were accepted')
  t.ok((answers['401 ticket_used'] ?? 0) > 50, 'many were refused as used')
  const known = /^101$|^no answer$|^401 ticket_(used|predates_gate|expired)$|^503 replay_cache_unavailable$/
  t.strictSame(
    Object.keys(answers).filter(answer => !known.test(answer)),
    [],
    'there are only expected answers',
  )
  for (const node of cluster.nodes) {
    await untilReady(node)
    const path = gatePath(await mint(node.url))
    t.equal((await requestUpgradeUntilAnswered(node.url, path)).status, 101, 'every gate recovers')
    t.equal((await requestUpgradeUntilAnswered(node.url, path)).status, 401)
    await node.stop()
  }
  t.strictSame(
    cluster.lives.flatMap(({ output }) => output().match(/^.*"level":"fatal".*$/gm) ?? []),
    [],
    'no gate failed by itself',
  )
})
