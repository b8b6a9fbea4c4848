import t, { type Test } from 'tap'
import { busMetric, disconnect, join, publish, startBusNode, until, untilBus } from '../support/bus.js'
import { type Json, jsonOf, metric, request } from '../support/http.js'
import {
  requestUpgradeUntilAnswered,
  spendTicket,
  startNode,
  storeEnv,
  untilReady,
} from '../support/nodes.js'
import { isProblem } from '../support/problem.js'
import { fileNeeds } from '../support/programs.js'
import { type RedisServer, startRedis } from '../support/redis.js'
import { type Environment, startServer, type TestServer } from '../support/server.js'
import { gatePath } from '../support/tokens.js'

fileNeeds(t, 'redis-server')

const password = 'canary-Jt6Wq2Zp'

/** The permissions in docs/redis.md, as an operator would grant them. */
const keys = ['~ticketgate:*']
const channels = ['&ticketgate:bus:*']
const forReplay = '+eval +evalsha +info +time +get +set +unlink +sadd +sismember +scard +pexpireat'.split(' ')
/** Lets the gate name its connections; optional. */
const forNames = '+client|setname'
const forBus = '+publish +subscribe +hget +hset +hdel +hscan'.split(' ')

const urlFor = (redis: RedisServer, user: string): string =>
  `redis://${user}:${password}@127.0.0.1:${redis.port}`

/** A Redis with one user, who has only these permissions. */
const redisFor = async (
  t: Test,
  rights: readonly string[],
): Promise<RedisServer & { readonly env: Environment }> => {
  const redis = await startRedis(t)
  await redis.client.acl('SETUSER', 'gate', 'on', `>${password}`, ...rights)
  return Object.assign(redis, { env: { TICKETGATE_REDIS_URL: urlFor(redis, 'gate') } })
}

const stateOf = async (node: TestServer, state: string): Promise<boolean> =>
  (await metric(node, `ticketgate_replay_store_state{state="${state}"}`)) === 1

/** The log lines with such a message, once there are `count` of them. */
const linesOf = (node: TestServer, message: RegExp, count = 1): Promise<Json[]> =>
  node.log.entriesThat(({ msg }) => message.test(String(msg)), count)

const isUnusable = /^Redis is (unusable|unreachable): no ticket is accepted/
const isNoBus = /^Redis is unusable as a bus/

t.test('a user with only the documented permissions is sufficient', async t => {
  const redis = await redisFor(t, [...keys, ...channels, forNames, ...forReplay, ...forBus])
  const node = await startNode(t, redis.port, redis.env)
  const other = await startBusNode(t, redis.port, redis.env)
  await spendTicket(node)
  await until(() => stateOf(node, 'ready'))
  t.equal(await busMetric(other, 'up'), 1)
  const client = await join(other, 'maggie')
  await untilBus(node, 'up')
  await publish(node, 'well')
  t.match(await client.next(), { data: 'well' })
  await disconnect(node, { user: 'maggie' })
  t.equal((await client.closed).code, 4403)
  await until(async () => (await redis.client.hlen('ticketgate:revocations')) === 1)
  for (const each of [node, other]) {
    await each.stop()
    t.notMatch(each.output(), /unusable|could not/)
  }
  const denied = await redis.client.acl('LOG')
  t.strictSame(denied, [], 'the gate uses no other commands')
})

const without = (...commands: readonly string[]): string[] =>
  [...forReplay, ...forBus].filter(right => !commands.includes(right.slice(1)))

const storeCases: readonly (readonly [
  name: string,
  rights: readonly string[],
  reason: RegExp,
  hint: RegExp,
])[] = [
  ['without INFO', without('info'), /INFO/i, /permission/],
  ['without EVAL and EVALSHA', without('eval', 'evalsha'), /eval/, /permission/],
  ['without EVAL', without('eval'), /eval/, /permission/],
  ['without SADD', without('sadd'), /sadd/i, /permission/],
  ['without the dangerous commands', ['+@all', '-@dangerous'], /INFO/i, /permission/],
  ['with read permission only', ['+@read', '+eval', '+evalsha', '+info', '+time'], /SADD/, /permission/],
]

t.test(
  'a store that is unusable from the start is reported in the log, with the reason, and in the metrics',
  async t => {
    const isExplained = async (t: Test, node: TestServer, reason: RegExp, hint: RegExp): Promise<void> => {
      const [line] = await linesOf(node, isUnusable)
      t.equal(line?.level, 'error')
      t.match(line?.reason, reason)
      t.match(line?.hint, hint)
      t.notMatch(line?.reason, /local |redis\.call/, 'the reason does not quote the script')
      isProblem(t, await request(node.url, '/readyz'), '503 replay_cache_unavailable')
      await until(() => stateOf(node, 'unusable'))
      t.notOk(await stateOf(node, 'ready'))
    }
    const start = (redis: RedisServer, env: Environment) =>
      startServer(t, { env: storeEnv(redis.port, { TICKETGATE_LOG_LEVEL: 'warn', ...env }) })

    for (const [name, rights, reason, hint] of storeCases)
      await t.test(name, async t => {
        const redis = await redisFor(t, [...keys, ...channels, ...rights])
        const node = await start(redis, redis.env)
        await isExplained(t, node, reason, hint)
        await redis.client.acl('SETUSER', 'gate', ...forReplay)
        await untilReady(node)
        await until(() => stateOf(node, 'ready'))
        await node.stop()
        t.notMatch(node.output(), password)
      })

    await t.test('without the keys', async t => {
      const redis = await redisFor(t, ['~other:*', ...channels, ...forReplay, ...forBus])
      await isExplained(t, await start(redis, redis.env), /permission|NOPERM|keys/i, /permission/)
    })

    await t.test('with a wrong password', async t => {
      const redis = await startRedis(t, ['--requirepass', 'another'])
      const node = await start(redis, { TICKETGATE_REDIS_URL: urlFor(redis, '') })
      t.match(await linesOf(node, isUnusable), [{ reason: /WRONGPASS/, hint: /password/ }])
      await until(() => stateOf(node, 'unusable'))
      await node.stop()
      t.notMatch(node.output(), password)
    })

    await t.test('with no password where one is required', async t => {
      const redis = await startRedis(t, ['--requirepass', 'another'])
      await isExplained(t, await start(redis, {}), /NOAUTH/, /password/)
    })

    await t.test('a replica', async t => {
      const redis = await startRedis(t)
      await redis.client.replicaof('127.0.0.1', 1)
      await isExplained(t, await start(redis, {}), /replica/, /primary/)
    })

    for (const command of ['INFO', 'EVAL', 'EVALSHA', 'UNLINK'])
      await t.test(`with ${command} renamed`, async t => {
        const redis = await startRedis(t, ['--rename-command', command, ''])
        await isExplained(t, await start(redis, {}), RegExp(command, 'i'), /renamed/)
      })

    await t.test('with nothing listening on the port', async t => {
      const redis = await startRedis(t)
      await redis.kill()
      const node = await start(redis, {})
      t.match(await linesOf(node, isUnusable), [{ reason: /ECONNREFUSED/ }])
      await until(() => stateOf(node, 'unreachable'))
      await redis.start()
      await untilReady(node)
    })
  },
)

t.test('every new reason is logged once', async t => {
  const redis = await redisFor(t, [...keys, ...channels, ...without('info', 'scard')])
  const node = await startServer(t, { env: storeEnv(redis.port, redis.env) })
  await linesOf(node, isUnusable)
  await redis.client.acl('SETUSER', 'gate', '+info')
  await linesOf(node, isUnusable, 2)
  await redis.client.acl('SETUSER', 'gate', '-info')
  await redis.client.acl('SETUSER', 'gate', '+info', '+scard')
  await untilReady(node)
  const reasons = (await linesOf(node, isUnusable)).map(({ reason }) => reason)
  t.match(reasons[0], /info/i)
  t.match(reasons[1], /scard/i)
  t.equal(new Set(reasons).size, reasons.length)
  await redis.client.acl('SETUSER', 'gate', '-info')
  await linesOf(node, isUnusable, reasons.length + 1)
  t.pass('it is logged again in the next outage')
})

t.test('a Redis that forbids CONFIG is accepted', async t => {
  const redis = await startRedis(t, ['--rename-command', 'CONFIG', ''])
  const node = await startNode(t, redis.port)
  await spendTicket(node)
})

t.test('if Redis does not report its eviction policy, the operator can vouch for it', async t => {
  // Only one section of INFO is allowed, as in some managed services.
  const blind = ['-info', '+info|replication']
  const redis = await redisFor(t, [...keys, ...channels, ...forReplay, ...forBus, ...blind])
  const strict = await startServer(t, { env: storeEnv(redis.port, redis.env) })
  t.match(await linesOf(strict, isUnusable), [{ reason: /TICKETGATE_REDIS_EVICTION=trusted/ }])

  const trusting = { ...redis.env, TICKETGATE_REDIS_EVICTION: 'trusted' }
  const node = await startNode(t, redis.port, trusting)
  const path = gatePath(await spendTicket(node))
  isProblem(t, await requestUpgradeUntilAnswered(node.url, path), '401 ticket_used')

  await redis.client.acl('SETUSER', 'gate', '+info')
  await redis.client.config('SET', 'maxmemory-policy', 'allkeys-lru')
  await until(async () => stateOf(node, 'evicts'))
  t.pass('a reported policy takes precedence')
})

t.test('a bus that is unusable from the start is logged, with the reason', async t => {
  for (const [name, rights, reason] of [
    ['without PUBLISH', [...channels, ...without('publish')], /publish/],
    ['without SUBSCRIBE', [...channels, ...without('subscribe')], /subscribe/],
    ['without the channels', [...forBus], /channel/],
  ] as const)
    await t.test(name, async t => {
      const redis = await redisFor(t, [...keys, 'resetchannels', ...rights])
      const node = await startServer(t, { env: redis.env })
      t.match((await linesOf(node, isNoBus))[0], { level: 'error', reason, hint: /permission/ })
      t.equal(jsonOf(await request(node.url, '/readyz')).bus, 'down')
      t.equal(await busMetric(node, 'up'), 0)
      await redis.client.acl('SETUSER', 'gate', ...channels, ...forBus)
      await untilBus(node, 'up')
    })
})

t.test('a gate without Redis has no metrics about it', async t => {
  const node = await startServer(t)
  const { text } = await request(node.admin, '/metrics', {
    headers: { authorization: 'Bearer wire-tests-admin-Hs4Pq8Yn1' },
  })
  t.match(text, /ticketgate_connections/)
  t.notMatch(text, /ticketgate_(bus|replay_store)/)
})
