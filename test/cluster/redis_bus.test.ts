import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { bearer, jsonOf, knock, postJson, request } from '../support/http.js'
import { isProblem } from '../support/problem.js'
import { type RedisServer, startRedis } from '../support/redis.js'
import { adminKey, type Environment, startServer, type TestServer } from '../support/server.js'
import { type Client, enter, socketUrl } from '../support/tclient.js'
import { startRelay } from '../support/tcp-relay.js'
import { gatePath, mint, nowSeconds, tokenFor } from '../support/tokens.js'

const untilBus = async ({ url }: TestServer, state: 'up' | 'down'): Promise<void> => {
  for (;;) {
    const reply = await request(url, '/readyz')
    if (jsonOf(reply).bus === state && reply.status === 200) return
    await delay(20)
  }
}

const startNode = async (t: Test, port: number, env: Environment = {}): Promise<TestServer> => {
  const node = await startServer(t, {
    env: { TICKETGATE_REDIS_URL: `redis://127.0.0.1:${port}`, TICKETGATE_TOKEN_TTL_SECONDS: '600', ...env },
  })
  await untilBus(node, 'up')
  return node
}

const join = async (node: TestServer, user: string, channel = 'red'): Promise<Client> =>
  (await enter(socketUrl(node.url, gatePath(await mint(node.url, user), channel)))).client

const say = (client: Client, data: unknown) => client.ask({ type: 'publish', data, id: 1 })

/** All that a client hears up to the last words, `'end'`. */
const heardUntilEnd = async (client: Client): Promise<unknown[]> => {
  const heard: unknown[] = []
  for (;;) {
    const { data } = await client.nextWith({ type: 'message' })
    if (data === 'end') return heard
    heard.push(data)
  }
}

const publish = async (node: TestServer, data: unknown, channel = 'red') =>
  jsonOf(await postJson(node.admin, '/publish', { channel, data }, { headers: bearer(adminKey) }))

const disconnect = (node: TestServer, subject: object) =>
  postJson(node.admin, '/disconnect', subject, { headers: bearer(adminKey) })

const metric = async (node: TestServer, name: string): Promise<number> => {
  const { text } = await request(node.admin, '/metrics', { headers: bearer(adminKey) })
  return Number(new RegExp(`^ticketgate_bus_${name} (\\d+)$`, 'm').exec(text)?.[1])
}

const until = async (holds: () => Promise<boolean>): Promise<void> => {
  while (!(await holds())) await delay(20)
}

const startThree = async (t: Test, redis: RedisServer) =>
  [
    await startNode(t, redis.port),
    await startNode(t, redis.port),
    await startNode(t, redis.port, { TICKETGATE_THREADS: '2' }),
  ] as const

t.test('what is said on one node is heard on all, once, whoever says it', async t => {
  const redis = await startRedis(t)
  const nodes = await startThree(t, redis)
  const clients: Client[] = []
  for (const node of nodes) for (let n = 0; n < 4; n++) clients.push(await join(node, 'maggie'))
  const speakers = await Promise.all(nodes.map(node => join(node, 'theo', 'other')))
  const expected: string[] = []
  for (let round = 0; round < 5; round++)
    for (const [index, speaker] of speakers.entries()) {
      expected.push(`${round} ${index}`)
      t.match(await speaker.ask({ type: 'publish', channel: 'red', data: `${round} ${index}`, id: 1 }), {
        type: 'ok',
        id: 1,
      })
    }
  for (const [index, node] of nodes.entries()) {
    t.match(await publish(node, `admin ${index}`), { delivered: 4 }, 'who is counted is on this node')
    expected.push(`admin ${index}`)
  }
  // Everybody has heard the last words of each node when all is heard: one speaks for all, after they have arrived.
  const all = await Promise.all(
    clients.map(async client => {
      const heard: unknown[] = []
      while (heard.length < expected.length) heard.push((await client.nextWith({ type: 'message' })).data)
      return heard
    }),
  )
  for (const heard of all) t.strictSame([...heard].sort(), [...expected].sort())
  await publish(nodes[0], 'end')
  for (const client of clients) t.strictSame(await heardUntilEnd(client), [], 'and nothing twice')
  for (const node of nodes)
    t.strictSame(
      [await metric(node, 'messages_dropped_total'), await metric(node, 'messages_lost_total')],
      [0, 0],
    )
})

t.test('another database is another deployment', async t => {
  const redis = await startRedis(t)
  const one = await startNode(t, redis.port)
  const other = await startServer(t, { env: { TICKETGATE_REDIS_URL: `${redis.url}/1` } })
  await untilBus(other, 'up')
  const client = await join(other, 'maggie')
  await publish(one, 'not for you')
  const heard = client.nextWith({ type: 'message' })
  while ((await publish(other, 'for you')).delivered !== 1) await delay(20)
  t.match(await heard, { data: 'for you' })
})

t.test('who is disconnected on one node is out on all, and stays out', async t => {
  const redis = await startRedis(t)
  const nodes = await startThree(t, redis)
  const clients = await Promise.all(nodes.map(node => join(node, 'maggie')))
  const others = await Promise.all(nodes.map(node => join(node, 'theo')))
  const token = tokenFor('maggie', { iat: nowSeconds() - 1 })
  await disconnect(nodes[0], { user: 'maggie' })
  for (const client of clients) t.equal((await client.closed).code, 4403)
  for (const node of nodes)
    await until(async () => {
      const reply = await request(node.url, '/ws_ticket', { headers: bearer(token) })
      return reply.status === 401 && jsonOf(reply).code === 'token_revoked'
    })
  for (const client of others) t.match(await client.ask({ type: 'ping' }), { type: 'pong' })

  const late = await startNode(t, redis.port)
  await until(async () => (await request(late.url, '/ws_ticket', { headers: bearer(token) })).status === 401)
  isProblem(
    t,
    await request(late.url, '/ws_ticket', { headers: bearer(token) }),
    '401 token_revoked',
    'on a new node',
  )
})

t.test('while Redis is away all goes on here, and what others miss is counted', async t => {
  const redis = await startRedis(t)
  const [ways, nodes] = [
    [await startRelay(t, redis.port), await startRelay(t, redis.port)] as const,
    [] as TestServer[],
  ]
  for (const way of ways) nodes.push(await startNode(t, way.port))
  const [one, two] = nodes as [TestServer, TestServer]
  const [speaker, near, far] = [await join(one, 'theo'), await join(one, 'maggie'), await join(two, 'maggie')]
  t.match(await say(speaker, 'before'), { type: 'ok' })
  for (const client of [near, far]) t.match(await client.next(), { data: 'before' })

  await t.test('one node can not speak', async t => {
    ways[0].cut()
    await untilBus(one, 'down')
    for (const data of [1, 2, 3]) t.match(await say(speaker, data), { type: 'ok' })
    for (const data of [1, 2, 3]) t.match(await near.next(), { data }, 'its own subscribers hear it')
    t.equal(await metric(one, 'messages_dropped_total'), 3)
    t.equal((await knock(one.url, gatePath(await mint(one.url)))).status, 101, 'and newcomers get in')
    const token = tokenFor('vera', { iat: nowSeconds() - 1 })
    await disconnect(one, { user: 'vera' })
    ways[0].heal()
    await untilBus(one, 'up')
    t.match(await say(speaker, 'back'), { type: 'ok' })
    t.match(await near.next(), { data: 'back' })
    t.match(await far.next(), { data: 'back' }, 'the others hear what comes after')
    t.equal(await metric(two, 'messages_lost_total'), 4, 'and know that they missed something')
    await until(async () => (await request(two.url, '/ws_ticket', { headers: bearer(token) })).status === 401)
    t.pass('what was revoked meanwhile is revoked there too')
  })

  await t.test('one node can not hear', async t => {
    const lost = await metric(two, 'messages_lost_total')
    ways[1].drop()
    await untilBus(two, 'down')
    for (const data of [4, 5]) t.match(await say(speaker, data), { type: 'ok' })
    for (const data of [4, 5]) t.match(await near.next(), { data })
    ways[1].heal()
    await untilBus(two, 'up')
    t.match(await say(speaker, 'again'), { type: 'ok' })
    t.match(await far.next(), { data: 'again' })
    t.equal(await metric(two, 'messages_lost_total'), lost + 2)
    t.match(await near.next(), { data: 'again' })
  })

  await t.test('Redis hangs, then is killed and comes back', async t => {
    redis.signal('SIGSTOP')
    await untilBus(one, 'down')
    t.match(await say(speaker, 6), { type: 'ok' })
    t.match(await near.next(), { data: 6 })
    redis.signal('SIGCONT')
    await redis.kill()
    await redis.start()
    for (const node of [one, two]) await untilBus(node, 'up')
    t.match(await say(speaker, 'risen'), { type: 'ok' })
    t.match(await near.next(), { data: 'risen' })
    t.match(await far.nextWith({ data: 'risen' }), { type: 'message' })
  })
})

t.test('what waits for Redis is bounded', async t => {
  const redis = await startRedis(t)
  const way = await startRelay(t, redis.port)
  const node = await startNode(t, way.port, {
    TICKETGATE_MESSAGE_RATE: 'off',
    TICKETGATE_MAX_MESSAGE_BYTES: '1048576',
  })
  const speaker = await join(node, 'theo', 'quiet')
  way.drop()
  const big = 'x'.repeat(1_000_000)
  for (let n = 0; n < 20; n++)
    t.match(await speaker.ask({ type: 'publish', data: big, id: n }), { type: 'ok', id: n })
  t.ok((await metric(node, 'messages_dropped_total')) >= 12, 'beyond 8 MiB it is dropped at once')
})

t.test('what is no message does no harm', async t => {
  const redis = await startRedis(t)
  const node = await startNode(t, redis.port)
  const client = await join(node, 'maggie')
  const forms = [
    '',
    'x',
    Buffer.of(0xc1),
    Buffer.of(0xdd, 0xff, 0xff, 0xff, 0xff),
    Buffer.alloc(10_000, 0x91),
    Buffer.from('92a178', 'hex'),
    Buffer.from('93a17805c0', 'hex'),
    Buffer.from('93a1780581a474797065a772', 'hex'),
  ]
  for (const form of forms) await redis.client.publish('ticketgate:bus:0', form)
  await publish(node, 'well')
  t.match(await client.next(), { data: 'well' })
})
