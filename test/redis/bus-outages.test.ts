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

t.test('while Redis is unreachable this node keeps working, and what others miss is counted', async t => {
  const redis = await startRedis(t)
  const [ways, nodes] = [
    [await startRelay(t, redis.port), await startRelay(t, redis.port)] as const,
    [] as TestServer[],
  ]
  for (const way of ways) nodes.push(await startBusNode(t, way.port))
  const [one, two] = nodes as [TestServer, TestServer]
  const [speaker, near, far] = [await join(one, 'theo'), await join(one, 'maggie'), await join(two, 'maggie')]
  t.match(await say(speaker, 'before'), { type: 'ok' })
  for (const client of [near, far]) t.match(await client.next(), { data: 'before' })

  await t.test('one node cannot send', async t => {
    ways[0].cut()
    await untilBus(one, 'down')
    for (const data of [1, 2, 3]) t.match(await say(speaker, data), { type: 'ok' })
    for (const data of [1, 2, 3]) t.match(await near.next(), { data }, 'its own subscribers hear it')
    t.equal(await busMetric(one, 'messages_dropped_total'), 3)
    t.equal(
      (await requestUpgrade(one.url, gatePath(await mint(one.url)))).status,
      101,
      'and newcomers get in',
    )
    const token = tokenFor('vera', { iat: nowSeconds() - 1 })
    await disconnect(one, { user: 'vera' })
    ways[0].restore()
    await untilBus(one, 'up')
    t.match(await say(speaker, 'back'), { type: 'ok' })
    t.match(await near.next(), { data: 'back' })
    t.match(await far.next(), { data: 'back' }, 'the others hear what comes after')
    t.equal(await busMetric(two, 'messages_lost_total'), 3, 'and know that they missed something')
    await until(async () => (await request(two.url, '/ws_ticket', { headers: bearer(token) })).status === 401)
    t.pass('what was revoked meanwhile is revoked there too')
  })

  await t.test('one node cannot receive', async t => {
    const lost = await busMetric(two, 'messages_lost_total')
    ways[1].drop()
    await untilBus(two, 'down')
    for (const data of [4, 5]) t.match(await say(speaker, data), { type: 'ok' })
    for (const data of [4, 5]) t.match(await near.next(), { data })
    ways[1].restore()
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
    t.match(await say(speaker, 'risen'), { type: 'ok' })
    t.match(await near.next(), { data: 'risen' })
    t.match(await far.nextWith({ data: 'risen' }), { type: 'message' })
  })
})

t.test('messages waiting for Redis are bounded, and dropped with their connection', async t => {
  const redis = await startRedis(t)
  const way = await startRelay(t, redis.port)
  const large = { TICKETGATE_MESSAGE_RATE: 'off', TICKETGATE_MAX_MESSAGE_BYTES: '1048576' }
  const node = await startBusNode(t, way.port, large)
  const speaker = await join(node, 'theo', 'quiet')
  way.drop()
  const big = 'x'.repeat(300_000)
  for (let n = 0; n < 40; n++)
    t.match(await speaker.ask({ type: 'publish', data: big, id: n }), { type: 'ok', id: n })
  t.ok((await busMetric(node, 'messages_dropped_total')) >= 12, 'beyond 8 MiB it is dropped at once')
  await untilBus(node, 'down')
  way.restore()
  await untilBus(node, 'up')
  const hearer = await join(await startBusNode(t, redis.port, large), 'maggie', 'quiet')
  t.match(await speaker.ask({ type: 'publish', data: big, id: 40 }), { type: 'ok', id: 40 })
  t.match(await hearer.next(), { data: big }, 'afterwards there is room again')
})

t.test('malformed messages do no harm', async t => {
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
    // The hearer speaks JSON, so this would have to be converted.
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
