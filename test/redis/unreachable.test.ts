import { once } from 'node:events'
import { createConnection, createServer, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { until, untilBus } from '../support/bus.js'
import { freePort } from '../support/free-port.js'
import { request } from '../support/http.js'
import { spendTicket, startNode, storeEnv } from '../support/nodes.js'
import { isProblem } from '../support/problem.js'
import { fileNeeds } from '../support/programs.js'
import { startRedis } from '../support/redis.js'
import { startSentinels } from '../support/sentinels.js'
import { adminKey, jwtSecret, run, startServer, temporaryDirectory } from '../support/server.js'

fileNeeds(t, 'redis-server')

/** Listens, calls `receive` with each connection and its number, from 1, and returns its port. */
async function listen(t: Test, receive: (socket: Socket, count: number) => void): Promise<number> {
  const sockets = new Set<Socket>()
  let count = 0
  const server = createServer(socket => {
    sockets.add(socket)
    socket.on('error', () => {})
    receive(socket, ++count)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}

/** Carries a connection on to a port, both ways. */
function forward(socket: Socket, port: number): void {
  const target = createConnection(port, '127.0.0.1')
  target.on('error', () => {})
  target.once('close', () => socket.destroy())
  socket.once('close', () => target.destroy())
  socket.pipe(target).pipe(socket)
}

t.test('a gate starts without its sentinels, and check fails', async t => {
  const { port } = await startRedis(t)
  const [sentinel] = await startSentinels(t, port)
  const hung = await listen(t, () => {})
  const cases: [name: string, at: string, reason: RegExp][] = [
    ['none is reachable', `127.0.0.1:${await freePort()}/primary`, /All sentinels are unreachable/],
    ['they do not know the primary', `127.0.0.1:${sentinel}/other`, /All sentinels are unreachable/],
    ['they do not reply', `127.0.0.1:${hung}/primary`, /All sentinels are unreachable.*Command timed out/],
  ]
  for (const [name, at, reason] of cases)
    await t.test(name, async t => {
      const env = storeEnv(port, { TICKETGATE_REDIS_URL: `redis+sentinel://${at}` })
      const node = await startServer(t, { env })
      isProblem(t, await request(node.url, '/readyz'), '503 replay_cache_unavailable')
      await node.logged(
        new RegExp(`${reason.source}.*the name in it.*Redis is unreachable: no ticket is accepted`),
      )
      t.match(await node.stop(), { code: 0 })
      t.notMatch(node.output(), 'Retrying', 'each reason is logged once')
      const checked = await run(['check'], {
        ...env,
        NODE_ENV: 'production',
        TICKETGATE_ADMIN_KEY: adminKey,
        TICKETGATE_JWT_SECRET: jwtSecret,
        TICKETGATE_STATE_DIR: temporaryDirectory(t),
        TICKETGATE_PORT: '0',
        TICKETGATE_ADMIN_PORT: '0',
      })
      t.equal(checked.code, 1)
      t.match(checked.stdout, /^failed {3}replay cache: no ticket would be accepted: Redis is unreachable/m)
    })
})

t.test('a gate connects anew if Redis accepts a connection and does not reply', async t => {
  const redis = await startRedis(t)
  const port = await listen(t, (socket, count) => {
    // The first connections of the replay cache and of the bus are left without a reply.
    if (count > 3) forward(socket, redis.port)
  })
  const node = await startNode(t, port)
  await spendTicket(node)
  await untilBus(node, 'up')
})

t.test('the bus finds sentinels that were unreachable for long', async t => {
  const { port } = await startRedis(t)
  const [sentinel = 0] = await startSentinels(t, port)
  let attempts = 0
  let isReachable = false
  const relay = await listen(t, socket => {
    attempts++
    if (isReachable) forward(socket, sentinel)
    else socket.destroy()
  })
  const node = await startServer(t, {
    env: { TICKETGATE_REDIS_URL: `redis+sentinel://127.0.0.1:${relay}/primary` },
  })
  // Attempts are up to a second apart, so these take longer than the bus bears silence.
  await until(async () => attempts > 30)
  isReachable = true
  await untilBus(node, 'up')
})
