/**
 * Breaks the store, the network and the gates under load, at random, and looks at the record of all
 * that was accepted. `npm run chaos -- --seconds 600 --seed 7` runs it longer, or again.
 */
import { randomInt } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import t from 'tap'
import { bearer, jsonOf, request, requestUpgrade } from '../support/http.js'
import { requestUpgradeUntilAnswered, storeEnv, untilReady } from '../support/nodes.js'
import { fileNeeds } from '../support/programs.js'
import { startRedis } from '../support/redis.js'
import { startServer, type TestServer } from '../support/server.js'
import { startRelay } from '../support/tcp-relay.js'
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

/** Everything that was ever presented, and how often it was accepted. */
const accepted = new Map<string, number>()
const answers: Record<string, number> = {}
const count = (answer: string): void => {
  answers[answer] = (answers[answer] ?? 0) + 1
}

t.setTimeout(seconds * 1000 + 120_000)

t.test(`${seconds} s of chaos, seed ${seed}`, { timeout: seconds * 1000 + 110_000 }, async t => {
  const stores = [await startRedis(t), await startRedis(t)] as const
  let primary = 0
  const store = () => stores[primary === 0 ? 0 : 1]
  const spare = () => stores[primary === 0 ? 1 : 0]
  await spare().client.replicaof('127.0.0.1', store().port)
  const ways = await Promise.all(Array.from({ length: nodeCount }, () => startRelay(t, store().port)))
  const env = (n: number) =>
    storeEnv(ways[n]?.port ?? 0, { TICKETGATE_TICKET_TTL_SECONDS: String(ticketSeconds) })
  const nodes: TestServer[] = []
  /** All gates that there ever were. */
  const lives: TestServer[] = []
  const startNode = async (n: number): Promise<void> => {
    const node = await startServer(t, { env: env(n) })
    nodes[n] = node
    lives.push(node)
  }
  for (let n = 0; n < nodeCount; n++) await startNode(n)
  const anyNode = (): string => nodes[below(nodeCount)]?.url ?? ''

  let over = false
  const old: string[] = []

  /** Presents a ticket somewhere. A gate that is dying may not answer. */
  const present = async (ticket: string): Promise<void> => {
    try {
      const reply = await requestUpgrade(anyNode(), gatePath(ticket))
      if (reply.status === 101) accepted.set(ticket, (accepted.get(ticket) ?? 0) + 1)
      count(reply.status === 101 ? '101' : `${reply.status} ${jsonOf(reply).code}`)
    } catch {
      count('no answer')
    }
  }

  const client = async (): Promise<void> => {
    const headers = bearer(tokenFor('maggie'))
    while (!over) {
      const minted = await request(anyNode(), '/ws_ticket', { headers }).catch(() => undefined)
      if (minted?.status !== 200) {
        await delay(5 + below(20))
        continue
      }
      const ticket = String(jsonOf(minted).ticket)
      old.push(ticket)
      if (old.length > 500) old.shift()
      // At several gates at once, and whatever was used before once more.
      await Promise.all([ticket, ticket, ticket, old[below(old.length)] ?? ticket].map(present))
    }
  }

  /** What can happen, each with its end. */
  const misfortunes: Record<string, () => Promise<unknown>> = {
    async 'the store is killed and comes back empty'() {
      await store().kill()
      await delay(below(500))
      await store().start()
    },
    async 'the store hangs'() {
      store().signal('SIGSTOP')
      await delay(below(1500))
      store().signal('SIGCONT')
    },
    'the store is emptied': () => store().client.flushall(),
    'the store is emptied in the background': () => store().client.flushall('ASYNC'),
    'all scripts are forgotten': () => store().client.script('FLUSH'),
    async 'a gate is cut off'() {
      const way = ways[below(nodeCount)]
      way?.cut()
      await delay(below(800))
      way?.restore()
    },
    async 'a gate hears nothing'() {
      const way = ways[below(nodeCount)]
      way?.drop()
      await delay(below(1500))
      way?.restore()
    },
    async 'answers are lost'() {
      const way = ways[below(nodeCount)]
      way?.dropAnswers()
      await delay(below(1500))
      way?.restore()
    },
    async 'the way is slow'() {
      const way = ways[below(nodeCount)]
      way?.delay(below(900))
      await delay(below(2000))
      way?.restore()
    },
    async 'a gate is killed'() {
      const n = below(nodeCount)
      nodes[n]?.signal('SIGKILL')
      await nodes[n]?.exited
      await startNode(n)
    },
    async 'the replica takes over, wherever it stands'() {
      const [former, next] = [store(), spare()]
      await next.client.replicaof('NO', 'ONE')
      primary = 1 - primary
      // Some gates go over early, some late: for a while there are two primaries.
      for (const way of ways) {
        way.lead(next.port)
        await delay(below(200))
      }
      await former.client.replicaof('127.0.0.1', next.port)
    },
    async 'the replica takes over from one that is dead'() {
      const [former, next] = [store(), spare()]
      await former.kill()
      await next.client.replicaof('NO', 'ONE')
      primary = 1 - primary
      for (const way of ways) way.lead(next.port)
      await former.start()
      await former.client.replicaof('127.0.0.1', next.port)
    },
  }

  const load = Array.from({ length: clients }, client)
  const endsAtMs = performance.now() + seconds * 1000
  const happened: Record<string, number> = {}
  const names = Object.keys(misfortunes)
  for (let n = 0; performance.now() < endsAtMs; n++) {
    // Each at least once, then as it comes.
    const name = names[n < names.length ? n : below(names.length)] ?? ''
    happened[name] = (happened[name] ?? 0) + 1
    await misfortunes[name]?.()
    await delay(below(600))
  }
  over = true
  await Promise.all(load)

  t.strictSame(
    names.filter(name => happened[name] === undefined),
    [],
    'there was time for every misfortune',
  )
  t.comment(JSON.stringify({ happened, answers }, undefined, 1))
  const twice = [...accepted].filter(([, times]) => times > 1)
  t.strictSame(twice, [], `of ${accepted.size} tickets that were accepted none was twice`)
  t.ok(accepted.size > 50, 'many were accepted in the meantime')
  t.ok((answers['401 ticket_used'] ?? 0) > 50, 'and many refused as used')
  const known = /^101$|^no answer$|^401 ticket_(used|predates_gate|expired)$|^503 replay_cache_unavailable$/
  t.strictSame(
    Object.keys(answers).filter(answer => !known.test(answer)),
    [],
    'every answer is one that there should be',
  )
  for (const node of nodes) {
    await untilReady(node)
    const ticket = await mint(node.url)
    t.equal(
      (await requestUpgradeUntilAnswered(node.url, gatePath(ticket))).status,
      101,
      'all is well in the end',
    )
    t.equal((await requestUpgradeUntilAnswered(node.url, gatePath(ticket))).status, 401)
    await node.stop()
  }
  t.strictSame(
    lives.flatMap(({ output }) => output().match(/^.*"level":"fatal".*$/gm) ?? []),
    [],
    'no gate failed by itself',
  )
})
