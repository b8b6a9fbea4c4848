import { pack } from 'msgpackr'
import t from 'tap'
import { busMetric, disconnect, join, publish, say, startBusNode, until, untilBus } from '../support/bus.js'
import { bearer, request, requestUpgrade } from '../support/http.js'
import { fileNeeds } from '../support/programs.js'
import { startRedis } from '../support/redis.js'
import { startServer, type TestServer } from '../support/server.js'
import { startRelay } from '../support/tcp-relay.js'
import { gatePath, mint, nowSeconds, tokenFor } from '../support/tokens.js'

fileNeeds(t, 'redis-server')

t.test('while Redis is unreachable a node keeps working, and missed messages are counted', async t => {
  const redis = await startRedis(t)
  const [relays, nodes] = [
    [await startRelay(t, redis.port), await startRelay(t, redis.port)] as const,
    [] as TestServer[],
  ]
  for (const relay of relays) nodes.push(await startBusNode(t, relay.port))
  const [one, two] = nodes as [TestServer, TestServer]
  const [speaker, near, far] = [await join(one, 'theo'), await join(one, 'maggie'), await join(two, 'maggie')]
  t.match(await say(speaker, 'before'), { type: 'ok' })
  for (const client of [near, far]) t.match(await client.next(), { data: 'before' })

  await t.test('one node cannot send', async t => {
    relays[0].cut()
    await untilBus(one, 'down')
    for (const data of [1, 2, 3]) t.match(await say(speaker, data), { type: 'ok' })
    for (const data of [1, 2, 3])
      t.match(await near.next(), { data }, 'its own subscribers still get messages')
    t.equal(await busMetric(one, 'messages_dropped_total'), 3)
    t.equal(
      (await requestUpgrade(one.url, gatePath(await mint(one.url)))).status,
      101,
      'new sockets still open',
    )
    const token = tokenFor('vera', { iat: nowSeconds() - 1 })
    await disconnect(one, { user: 'vera' })
    relays[0].restore()
    await untilBus(one, 'up')
    t.match(await say(speaker, 'back'), { type: 'ok' })
    t.match(await near.next(), { data: 'back' })
    t.match(await far.next(), { data: 'back' }, 'the other node gets later messages')
    t.equal(await busMetric(two, 'messages_lost_total'), 3, 'the other node counts the missed messages')
    await until(async () => (await request(two.url, '/ws_ticket', { headers: bearer(token) })).status === 401)
    t.pass('a revocation made meanwhile reaches the other node')
  })

  await t.test('one node cannot receive', async t => {
    const lost = await busMetric(two, 'messages_lost_total')
    relays[1].drop()
    await untilBus(two, 'down')
    for (const data of [4, 5]) t.match(await say(speaker, data), { type: 'ok' })
    for (const data of [4, 5]) t.match(await near.next(), { data })
    relays[1].restore()
    await untilBus(two, 'up')
    t.match(await say(speaker, 'again'), { type: 'ok' })
    t.match(await far.next(), { data: 'again' })
    t.equal(await busMetric(two, 'messages_lost_total'), lost + 2)
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
    t.match(await say(speaker, 'restarted'), { type: 'ok' })
    t.match(await near.next(), { data: 'restarted' })
    t.match(await far.nextWith({ data: 'restarted' }), { type: 'message' })
  })
})

t.test('messages waiting for Redis are bounded, and dropped with their connection', async t => {
  const redis = await startRedis(t)
  const relay = await startRelay(t, redis.port)
  const large = { TICKETGATE_MESSAGE_RATE: 'off', TICKETGATE_MAX_MESSAGE_BYTES: '1048576' }
  const node = await startBusNode(t, relay.port, large)
  const speaker = await join(node, 'theo', 'quiet')
  relay.drop()
  const big = 'x'.repeat(300_000)
  for (let n = 0; n < 40; n++)
    t.match(await speaker.ask({ type: 'publish', data: big, id: n }), { type: 'ok', id: n })
  t.ok((await busMetric(node, 'messages_dropped_total')) >= 12, 'messages beyond 8 MiB are dropped at once')
  await untilBus(node, 'down')
  relay.restore()
  await untilBus(node, 'up')
  const listener = await join(await startBusNode(t, redis.port, large), 'maggie', 'quiet')
  t.match(await speaker.ask({ type: 'publish', data: big, id: 40 }), { type: 'ok', id: 40 })
  t.match(await listener.next(), { data: big }, 'there is room again after the reconnect')
})

t.test('malformed messages are ignored', async t => {
  const redis = await startRedis(t)
  const node = await startBusNode(t, redis.port)
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
    // The listener uses JSON, so this would have to be converted.
    pack(['x', 1, { type: 'publish', channel: 'red', encoding: 'msgpack', data: Buffer.of(0xc1, 0xc1) }]),
  ]
  for (const form of forms) await redis.client.publish('ticketgate:bus:0', form)
  await publish(node, 'well')
  t.match(await client.next(), { data: 'well' })
})

t.test('a Redis that refuses the login is logged, with the reason and without the password', async t => {
  const redis = await startRedis(t, ['--requirepass', 'another'])
  const password = 'canary-Rw4Tz8Qm'
  const url = `redis://:${password}@127.0.0.1:${redis.port}`
  const node = await startServer(t, { env: { TICKETGATE_REDIS_URL: url, TICKETGATE_LOG_LEVEL: 'trace' } })
  await node.logged(/"reason":"WRONGPASS [^"]*","hint":"[^"]*","msg":"Redis is unusable as a bus/)
  await untilBus(node, 'down')
  await node.stop()
  t.notMatch(node.output(), password)
})
