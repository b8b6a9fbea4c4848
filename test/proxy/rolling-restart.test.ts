import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { freePort } from '../support/free-port.js'
import { connectTo, type Recorded } from '../support/gate-client.js'
import { bearer, request } from '../support/http.js'
import { storeEnv, untilReady } from '../support/nodes.js'
import { needs } from '../support/programs.js'
import { startNginx } from '../support/proxy.js'
import { startRedis } from '../support/redis.js'
import { type Environment, startServer, type TestServer } from '../support/server.js'
import { tokenFor } from '../support/tokens.js'

const clientCount = 40
const isOpen = ({ heard }: Recorded): boolean =>
  heard.findLast(({ name }) => name === 'open' || name === 'retry')?.name === 'open'
const untilAllOpen = async (clients: readonly Recorded[]): Promise<void> => {
  while (!clients.every(isOpen)) await delay(20)
}

/** Restarts one gate after the other, and waits each time until all clients are back. */
const rollOver = async (t: Test, config: string, envs: readonly Environment[]): Promise<void> => {
  const start = (env: Environment, stateDir?: string): Promise<TestServer> =>
    startServer(t, { env, ...(stateDir === undefined ? {} : { stateDir }) })
  const nodes: TestServer[] = []
  for (const env of envs) nodes.push(await start(env))
  for (const node of nodes) await untilReady(node)
  const proxy = await startNginx(
    t,
    config,
    Object.fromEntries(nodes.map(({ port }, n) => [`10.0.0.${n + 1}:8080`, `127.0.0.1:${port}`])),
  )
  const clients = Array.from({ length: clientCount }, (_, n) =>
    connectTo(t, proxy, { user: `user-${n}`, channel: 'red' }),
  )
  await untilAllOpen(clients)

  for (const [n, node] of nodes.entries()) {
    const opened = clients.map(({ heard }) => heard.filter(({ name }) => name === 'open').length)
    t.equal((await node.stop()).code, 0)
    const startedMs = performance.now()
    await untilReady(await start(envs[n] ?? {}, node.stateDir))
    await untilAllOpen(clients)
    const moved = clients.filter(
      ({ heard }, i) => heard.filter(({ name }) => name === 'open').length > (opened[i] ?? 0),
    )
    t.ok(moved.length > 0, `${moved.length} of ${clientCount} clients were on gate ${n + 1}`)
    t.comment(`gate ${n + 1}: all back ${Math.round(performance.now() - startedMs)} ms after it ended`)
  }
  for (const client of clients) {
    t.notOk(
      client.heard.some(({ name }) => name === 'close'),
      'no client has given up',
    )
    t.equal(new Set(client.tickets).size, client.tickets.length, 'no ticket was presented twice')
  }
}

t.test(
  'all clients come back when routed gates behind nginx are restarted one after the other',
  needs('nginx'),
  async t => {
    const ports = [String(await freePort()), String(await freePort())]
    await rollOver(
      t,
      'nginx-nodes.conf',
      ports.map((port, n) => ({ TICKETGATE_NODE: `gate-${n + 1}`, TICKETGATE_PORT: port })),
    )
  },
)

t.test(
  'all clients come back when gates with tickets in Redis are restarted likewise',
  needs('nginx', 'redis-server'),
  async t => {
    const redis = await startRedis(t)
    const ports = [String(await freePort()), String(await freePort())]
    await rollOver(
      t,
      'nginx-unrouted.conf',
      ports.map(port => storeEnv(redis.port, { TICKETGATE_PORT: port })),
    )
  },
)

t.test('a gate that is down is skipped, also for a POST', needs('nginx', 'redis-server'), async t => {
  const redis = await startRedis(t)
  const start = async () =>
    startServer(t, { env: storeEnv(redis.port, { TICKETGATE_PORT: String(await freePort()) }) })
  const [one, two] = [await start(), await start()]
  await untilReady(one)
  await untilReady(two)
  const proxy = await startNginx(t, 'nginx-unrouted.conf', {
    '10.0.0.1:8080': `127.0.0.1:${one.port}`,
    '10.0.0.2:8080': `127.0.0.1:${two.port}`,
  })
  const take = () => request(proxy, '/ws_ticket', { method: 'POST', headers: bearer(tokenFor('maggie')) })
  await one.stop()
  for (let n = 0; n < 10; n++) t.equal((await take()).status, 200)
})
