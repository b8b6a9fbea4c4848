import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { freePort } from '../support/free-port.js'
import { storeEnv, untilReady } from '../support/nodes.js'
import { fileNeeds } from '../support/programs.js'
import { startNginx } from '../support/proxy.js'
import { startRedis } from '../support/redis.js'
import { type Environment, startServer, type TestServer } from '../support/server.js'
import { type Client, openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, mint } from '../support/tokens.js'
import type { ClientState, FromClients, ToClients } from './rolling-clients.js'

/**
 * Restarts two gates behind nginx, one after the other, while 5,000 clients are connected. All must
 * come back, and clients that stayed connected must miss no message. Prints how long it took.
 */

fileNeeds(t, 'nginx', 'redis-server')
const processes = 5
const clientsEach = 1000
const channels = 50
const publishEveryMs = 50

/** All clients, in several processes. */
class Crowd {
  readonly #children: readonly ChildProcess[]
  readonly #size: number

  private constructor(children: readonly ChildProcess[], size: number) {
    this.#children = children
    this.#size = size
  }

  static async open(t: Test, url: string, count: number, each: number): Promise<Crowd> {
    const children = Array.from({ length: count }, () =>
      fork(new URL('./rolling-clients.ts', import.meta.url), { execArgv: ['--import=tsx'] }),
    )
    const crowd = new Crowd(children, count * each)
    t.teardown(() => crowd.close())
    await Promise.all(
      children.map((child, n) =>
        crowd.#ask(child, { start: { url, from: n * each, count: each, channels } }),
      ),
    )
    return crowd
  }

  close(): void {
    for (const child of this.#children) child.kill('SIGKILL')
  }

  async openCount(): Promise<number> {
    const counts = await Promise.all(this.#children.map(child => this.#ask(child, { ask: 'open' })))
    return counts.reduce((sum, reply) => sum + ('open' in reply ? reply.open : 0), 0)
  }

  async states(): Promise<ClientState[]> {
    const replies = await Promise.all(this.#children.map(child => this.#ask(child, { ask: 'states' })))
    return replies.flatMap(reply => ('states' in reply ? reply.states : []))
  }

  async untilAllOpen(): Promise<void> {
    while ((await this.openCount()) < this.#size) await delay(50)
  }

  async #ask(child: ChildProcess, message: ToClients): Promise<FromClients> {
    child.send(message)
    const [reply] = await once(child, 'message')
    return reply as FromClients
  }
}

/** Publishes to all channels in turn, on one gate, and records what was acknowledged. */
class Publisher {
  readonly acknowledged: { readonly channel: string; readonly number: number }[] = []
  readonly #client: Client
  static #count = 0
  #isOver = false
  readonly #ended: Promise<void>

  private constructor(client: Client) {
    this.#client = client
    this.#ended = this.#run()
  }

  static async at({ url }: TestServer): Promise<Publisher> {
    const path = gatePath(await mint(url, 'publisher'), 'publisher')
    return new Publisher((await openSession(socketUrl(url, path))).client)
  }

  /** Ends it, with a last message to each channel. */
  async end(): Promise<void> {
    this.#isOver = true
    await this.#ended
    for (let room = 0; room < channels; room++) await this.#publish(`room-${room}`)
    await this.#client.close()
  }

  async #run(): Promise<void> {
    for (let n = 0; !this.#isOver; n++) {
      await this.#publish(`room-${n % channels}`)
      await delay(publishEveryMs)
    }
  }

  async #publish(channel: string): Promise<void> {
    const number = ++Publisher.#count
    const reply = await this.#client.ask({ type: 'publish', channel, data: number, id: String(number) })
    if (reply.type === 'ok') this.acknowledged.push({ channel, number })
  }
}

/** The largest number of sockets that opened within one second, after `sinceMs`. */
function peakOf(states: readonly ClientState[], sinceMs: number): number {
  const times = states.flatMap(({ opened }) => opened.filter(at => at > sinceMs)).sort((a, b) => a - b)
  let peak = 0
  for (let from = 0, to = 0; to < times.length; to++) {
    while ((times[to] ?? 0) - (times[from] ?? 0) >= 1000) from++
    peak = Math.max(peak, to - from + 1)
  }
  return peak
}

async function rollOver(t: Test, config: string, envs: readonly Environment[]): Promise<void> {
  const start = (env: Environment, stateDir?: string): Promise<TestServer> =>
    startServer(t, { env: { ...env, TICKETGATE_DRAIN_SECONDS: '30' }, ...(stateDir && { stateDir }) })
  const nodes = await Promise.all(envs.map(env => start(env)))
  await Promise.all(nodes.map(untilReady))
  const proxy = await startNginx(
    t,
    config,
    Object.fromEntries(nodes.map(({ port }, n) => [`10.0.0.${n + 1}:8080`, `127.0.0.1:${port}`])),
  )
  const crowd = await Crowd.open(t, proxy, processes, clientsEach)
  for (const [n, node] of nodes.entries()) {
    const living = nodes[1 - n]
    if (living === undefined) throw new Error('there are two')
    // After the first restart all clients are on the gate that is restarted next. These are not.
    const staying = await Crowd.open(t, living.url, 1, channels)
    const all = async (): Promise<ClientState[]> => [...(await crowd.states()), ...(await staying.states())]
    const before = await all()
    const publisher = await Publisher.at(living)
    const startedMs = Date.now()
    t.equal((await node.stop()).code, 0, 'the gate has drained')
    const drainedMs = Date.now()
    nodes[n] = await start(envs[n] ?? {}, node.stateDir)
    await untilReady(nodes[n] ?? node)
    await crowd.untilAllOpen()
    const backMs = Date.now()
    await publisher.end()
    const isSteady = (state: ClientState, at: number): boolean =>
      state.opened.length === before[at]?.opened.length
    const { acknowledged } = publisher
    const missedBy = (state: ClientState): number[] => {
      const heard = new Set(state.heard)
      return acknowledged
        .filter(({ channel, number }) => channel === state.channel && !heard.has(number))
        .map(({ number }) => number)
    }
    // Messages arrive in order: after the last one, no other is still on its way.
    const lastOf = new Map(acknowledged.map(({ channel, number }) => [channel, number]))
    let states = await all()
    while (
      states.some((state, at) => isSteady(state, at) && !state.heard.includes(lastOf.get(state.channel) ?? 0))
    ) {
      await delay(100)
      states = await all()
    }
    const steady = states.filter(isSteady)
    t.equal(states.length, processes * clientsEach + channels, 'every client is counted')
    t.strictSame(
      states.filter(({ isOpen, gaveUp }) => gaveUp || !isOpen),
      [],
      'all clients are connected again, and none has given up',
    )
    t.ok(
      steady.length >= channels && acknowledged.length > channels,
      'some clients stayed connected, and messages were published to all channels',
    )
    t.strictSame(steady.flatMap(missedBy), [], 'clients that stayed connected missed nothing')
    staying.close()
    t.comment(
      `gate ${n + 1}: ${states.length - steady.length} clients moved; drained in ${drainedMs - startedMs} ms, ` +
        `all back ${backMs - startedMs} ms after SIGTERM, at most ${peakOf(states, startedMs)} handshakes in a second; ` +
        `${acknowledged.length} messages acknowledged, ${steady.length} subscribers missed none`,
    )
  }
}

t.test('clients come back to two routed gates that share messages over Redis', async t => {
  const redis = await startRedis(t)
  const ports = [String(await freePort()), String(await freePort())]
  await rollOver(
    t,
    'nginx-nodes.conf',
    ports.map((port, n) => ({
      TICKETGATE_NODE: `gate-${n + 1}`,
      TICKETGATE_PORT: port,
      TICKETGATE_REDIS_URL: redis.url,
    })),
  )
})

t.test('clients come back to two gates that spend tickets in Redis', async t => {
  const redis = await startRedis(t)
  const ports = [String(await freePort()), String(await freePort())]
  await rollOver(
    t,
    'nginx-unrouted.conf',
    ports.map(port => storeEnv(redis.port, { TICKETGATE_PORT: port })),
  )
})
