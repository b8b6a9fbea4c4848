import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import {
  busMetric,
  disconnect,
  heardUntilEnd,
  join,
  publish,
  startBusNode,
  startThree,
  until,
  untilBus,
} from '../support/bus.js'
import { EventStream } from '../support/event-stream.js'
import { bearer, jsonOf, outcomeOf, request } from '../support/http.js'
import { isProblem } from '../support/problem.js'
import { fileNeeds } from '../support/programs.js'
import { startRedis } from '../support/redis.js'
import { startServer, type TestServer } from '../support/server.js'
import { type Client, openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, mintWith, nowSeconds, tokenFor } from '../support/tokens.js'

fileNeeds(t, 'redis-server')

t.test('a message published on one node reaches the subscribers of all nodes exactly once', async t => {
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
    t.match(
      await publish(node, `admin ${index}`),
      { delivered: 4 },
      'only subscribers on this node are counted',
    )
    expected.push(`admin ${index}`)
  }
  // Once each client has as many messages as expected, a last one shows that no other follows.
  const all = await Promise.all(
    clients.map(async client => {
      const heard: unknown[] = []
      while (heard.length < expected.length) heard.push((await client.nextWith({ type: 'message' })).data)
      return heard
    }),
  )
  for (const heard of all) t.strictSame([...heard].sort(), [...expected].sort())
  await publish(nodes[0], 'end')
  for (const client of clients) t.strictSame(await heardUntilEnd(client), [], 'no message arrives twice')
  for (const node of nodes)
    t.strictSame(
      [await busMetric(node, 'messages_dropped_total'), await busMetric(node, 'messages_lost_total')],
      [0, 0],
    )
})

t.test('a burst of messages arrives complete and in order, in fewer packets', async t => {
  const redis = await startRedis(t)
  // The messages are 5 MB and this process may read them late, so the limit on slow readers is high.
  const limitless = { TICKETGATE_MESSAGE_RATE: 'off', TICKETGATE_MAX_BACKPRESSURE_BYTES: '16777216' }
  const [near, far] = [
    await startBusNode(t, redis.port, limitless),
    await startBusNode(t, redis.port, limitless),
  ] as const
  const [speaker, listener] = [await join(near, 'theo'), await join(far, 'maggie')]
  const published = async (): Promise<number> =>
    Number(/cmdstat_publish:calls=(\d+)/.exec(await redis.client.info('commandstats'))?.[1])
  const before = await published()
  const count = 2000
  const sizes = [1, 10, 1000, 9000]
  const expected = Array.from({ length: count }, (_, n) => `${n} ${'x'.repeat(sizes[n % sizes.length] ?? 0)}`)
  for (const data of expected) speaker.send({ type: 'publish', data })
  const heard: unknown[] = []
  while (heard.length < count) heard.push((await listener.nextWith({ type: 'message' })).data)
  t.strictSame(heard, expected)
  t.ok((await published()) - before < count, 'there are fewer packets than messages')
  t.strictSame(
    [await busMetric(near, 'messages_dropped_total'), await busMetric(far, 'messages_lost_total')],
    [0, 0],
  )
})

t.test('another database is another deployment', async t => {
  const redis = await startRedis(t)
  const one = await startBusNode(t, redis.port)
  const other = await startServer(t, { env: { TICKETGATE_REDIS_URL: `${redis.url}/1` } })
  await untilBus(other, 'up')
  const client = await join(other, 'maggie')
  await publish(one, 'not for you')
  const heard = client.nextWith({ type: 'message' })
  while ((await publish(other, 'for you')).delivered !== 1) await delay(20)
  t.match(await heard, { data: 'for you' })
})

t.test(
  'a channel revoked or closed on one node is so on all nodes, even on one that starts later',
  async t => {
    const redis = await startRedis(t)
    const nodes = await startThree(t, redis)
    const clients = await Promise.all(nodes.map(node => join(node, 'maggie')))
    const token = tokenFor('maggie', { iat: nowSeconds() - 1 })
    const outcome = async (node: TestServer, channel: string) =>
      outcomeOf(await request(node.url, `/ws_ticket?channel=${channel}`, { headers: bearer(token) }))
    await disconnect(nodes[0], { user: 'maggie', channel: 'red', reason: 'why not' })
    for (const client of clients)
      t.strictSame(await client.next(), { type: 'unsubscribed', channel: 'red', reason: 'why not' })
    await disconnect(nodes[1], { channel: 'blue', reauthenticateWithinSeconds: 60 })
    for (const node of nodes)
      for (const channel of ['red', 'blue'])
        await until(async () => (await outcome(node, channel)) === '403 channel_forbidden')
    await until(async () => (await redis.client.hlen('ticketgate:revocations')) === 2)
    const late = await startServer(t, { env: { TICKETGATE_REDIS_URL: redis.url } })
    for (const channel of ['red', 'blue'])
      t.equal(await outcome(late, channel), '403 channel_forbidden', `${channel} on a new node`)
    t.match(await outcome(late, 'green'), /^200/)
    await disconnect(late, { all: true })
    for (const client of clients) t.equal((await client.closed).code, 4403)
  },
)

t.test('a socket can be disconnected by its id on any node, and its session can open no other', async t => {
  const redis = await startRedis(t)
  const [near, far] = [await startBusNode(t, redis.port), await startBusNode(t, redis.port)]
  const events = await EventStream.open(t, far.admin)
  await events.expect(t, 'reset', { reason: 'start' })
  const token = tokenFor('maggie', { sid: 's1' })
  const enter = async (): Promise<[Client, string]> => {
    const { ticket } = await mintWith(far.url, token)
    const { client } = await openSession(socketUrl(far.url, gatePath(ticket)))
    return [client, String((await events.expect(t, 'opened', { session: 's1' })).data.socket)]
  }
  const [[one, id], [two]] = [await enter(), await enter()]
  t.strictSame(jsonOf(await disconnect(near, { socket: id, reason: 'that one' })), { disconnected: 0 })
  await events.expect(t, 'revoked', { session: 's1', socket: id, reason: 'that one' })
  t.strictSame(await one.closed, { code: 4403, reason: 'that one' })
  await events.expect(t, 'closed', { socket: id })
  for (const node of [near, far])
    await until(
      async () => (await request(node.url, '/ws_ticket', { headers: bearer(token) })).status === 401,
    )
  t.match(await two.ask({ type: 'ping' }), { type: 'pong' }, 'the other socket of the session stays open')
  t.strictSame(
    jsonOf(await disconnect(near, { socket: id })),
    { disconnected: 0 },
    'disconnecting it again is not an error',
  )
  t.match(await two.ask({ type: 'ping' }), { type: 'pong' })
})

t.test(
  'a user disconnected on one node is disconnected on all, and cannot return with the old token',
  async t => {
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

    const late = await startBusNode(t, redis.port)
    await until(
      async () => (await request(late.url, '/ws_ticket', { headers: bearer(token) })).status === 401,
    )
    isProblem(
      t,
      await request(late.url, '/ws_ticket', { headers: bearer(token) }),
      '401 token_revoked',
      'on a new node',
    )
  },
)
