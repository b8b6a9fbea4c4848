import { writeFileSync } from 'node:fs'
import { join as joinPath } from 'node:path'
import t from 'tap'
import type { Revocation } from '../../src/token/revocation.js'
import { disconnect, join, startBusNode, until } from '../support/bus.js'
import { bearer, jsonOf, postJson, request } from '../support/http.js'
import { fileNeeds } from '../support/programs.js'
import { type RedisServer, startRedis } from '../support/redis.js'
import { adminKey, startServer, type TestServer, temporaryDirectory } from '../support/server.js'
import { openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, nowSeconds, tokenFor } from '../support/tokens.js'

fileNeeds(t, 'redis-server')

/** Nodes compare their revocations every minute anyway; these tests must pass sooner. */
const soon = { timeout: 55_000 }

const untilRevoked = (node: TestServer, token: string): Promise<void> =>
  until(async () => {
    const reply = await request(node.url, '/ws_ticket', { headers: bearer(token) })
    return reply.status === 401 && jsonOf(reply).code === 'token_revoked'
  })

/** The state directory of a node that revoked a user's tokens while it was alone. */
const stateWith = (t: Parameters<typeof temporaryDirectory>[0], name: string): string => {
  const stateDir = temporaryDirectory(t)
  const atSeconds = nowSeconds()
  const revocation = { type: 'revoke', subject: 'user', name, atSeconds, untilSeconds: atSeconds + 80_000 }
  writeFileSync(joinPath(stateDir, 'revocations.jsonl'), `${JSON.stringify(revocation)}\n`)
  return stateDir
}

t.test('a revocation that Redis refuses is resent', soon, async t => {
  const redis = await startRedis(t)
  const [near, far] = [await startBusNode(t, redis.port), await startBusNode(t, redis.port)]
  const socket = await join(far, 'maggie')
  await redis.client.acl('SETUSER', 'default', '-publish', '-hset')
  await disconnect(near, { user: 'maggie' })
  await redis.client.acl('SETUSER', 'default', '+publish', '+hset')
  t.equal((await socket.closed).code, 4403)
})

t.test('a revocation made while the connection is broken is sent on the next connection', soon, async t => {
  const redis = await startRedis(t)
  const [near, far] = [await startBusNode(t, redis.port), await startBusNode(t, redis.port)]
  for (const user of ['maggie', 'theo', 'vera']) {
    const socket = await join(far, user)
    const clients = String(await redis.client.client('LIST'))
    for (const [, id] of clients.matchAll(/^id=(\d+) .*name=ticketgate-publish /gm))
      await redis.client.client('KILL', 'ID', Number(id))
    await disconnect(near, { user })
    t.equal((await socket.closed).code, 4403, user)
  }
})

const readOnly = [
  ['is full', ['CONFIG', 'SET', 'maxmemory', '1'], ['CONFIG', 'SET', 'maxmemory', '0']],
  ['is a replica', ['REPLICAOF', '127.0.0.1', '1'], ['REPLICAOF', 'NO', 'ONE']],
] as const

for (const [name, [command, ...args], [repair, ...repairArgs]] of readOnly)
  t.test(`from a Redis that ${name}, a new node still learns the revocations`, soon, async t => {
    const redis = await startRedis(t)
    const old = await startBusNode(t, redis.port)
    const tokens = ['maggie', 'vera'].map(user => tokenFor(user, { iat: nowSeconds() - 1 }))
    const [maggies, veras] = tokens as [string, string]
    await disconnect(old, { user: 'maggie' })
    await until(async () => (await redis.client.hlen('ticketgate:revocations')) === 1)
    await redis.client.call(command, ...args)
    const late = await startServer(t, {
      stateDir: stateWith(t, 'vera'),
      env: { TICKETGATE_REDIS_URL: redis.url },
    })
    await untilRevoked(late, maggies)
    t.pass('the new node has the old revocation')
    await untilRevoked(old, veras)
    t.pass('the old node gets the revocation of the new one')
    await redis.client.call(repair, ...repairArgs)
    await until(async () => (await redis.client.hlen('ticketgate:revocations')) === 2)
    t.pass('Redis stores it once it accepts writes again')
  })

t.test('the cost of a revocation does not depend on how many are stored', soon, async t => {
  const redis = await startRedis(t)
  const node = await startBusNode(t, redis.port)
  const atSeconds = nowSeconds()
  const fields = Array.from({ length: 2000 }, (_, n) => {
    const revocation = {
      type: 'revoke',
      subject: 'user',
      name: `u${n}`,
      atSeconds,
      untilSeconds: atSeconds + 80_000,
    }
    return [`user:u${n}`, JSON.stringify(revocation)]
  })
  await redis.client.hset('ticketgate:revocations', Object.fromEntries(fields))
  await redis.client.config('RESETSTAT')
  await disconnect(node, { user: 'maggie' })
  await until(async () => (await redis.client.hexists('ticketgate:revocations', 'user:maggie')) === 1)
  t.notMatch(
    await redis.client.info('commandstats'),
    /cmdstat_(hgetall|hscan)/,
    'the stored ones are not read',
  )
})

const kept = 'ticketgate:revocations'

t.test('a node with longer lives of tokens keeps the revocations of others longer', soon, async t => {
  const redis = await startRedis(t)
  const atSeconds = nowSeconds()
  const short = { type: 'revoke', subject: 'user', name: 'maggie', atSeconds, untilSeconds: atSeconds + 60 }
  await redis.client.hset(kept, 'user:maggie', JSON.stringify(short))
  await startBusNode(t, redis.port, { TICKETGATE_TOKEN_MAX_TTL_SECONDS: '7200' })
  await until(async () => {
    const stored = JSON.parse((await redis.client.hget(kept, 'user:maggie')) ?? '') as Revocation
    return stored.untilSeconds >= atSeconds + 7200
  })
})

const shortest = {
  TICKETGATE_TOKEN_TTL_SECONDS: '1',
  TICKETGATE_TOKEN_MAX_TTL_SECONDS: '1',
  TICKETGATE_TICKET_TTL_SECONDS: '6',
  TICKETGATE_CLOCK_SKEW_SECONDS: '0',
}

/** Has a node compare its revocations with those in Redis, which forgets those that have expired. */
const compareAgain = async ({ client }: RedisServer): Promise<void> => {
  const expired = { type: 'revoke', subject: 'user', name: 'ghost', atSeconds: 1, untilSeconds: 2 }
  await client.hset(kept, 'user:ghost', JSON.stringify(expired))
  const clients = String(await client.client('LIST'))
  for (const [, id] of clients.matchAll(/^id=(\d+) .*name=ticketgate-publish /gm))
    await client.client('KILL', 'ID', Number(id))
  await until(async () => (await client.hexists(kept, 'user:ghost')) === 0)
}

t.test(
  'a ticket older than a revocation never restores the channel, however long its session',
  soon,
  async t => {
    const redis = await startRedis(t)
    const node = await startBusNode(t, redis.port, shortest)
    const ticket = async (more = {}): Promise<string> => {
      const spec = { user: 'maggie', sessionSeconds: 3600, ...more }
      const reply = await postJson(node.admin, '/tickets', spec, { headers: bearer(adminKey) })
      return String(jsonOf(reply).ticket)
    }
    const openWith = async (text: string) =>
      (await openSession(socketUrl(node.url, gatePath(text, 'red')))).client
    const renewed = await openWith(await ticket({ subscribe: ['red'], publish: [] }))
    const [earlier, forRenewal] = [await ticket(), await ticket()]
    for (const subject of [{ user: 'maggie', channel: 'news' }, { channel: 'sport' }])
      t.equal((await disconnect(node, subject)).status, 200)
    await until(async () => (await redis.client.hlen(kept)) === 2)
    const ends = (await redis.client.hvals(kept)).map(text => (JSON.parse(text) as Revocation).untilSeconds)
    const opened = await openWith(earlier)
    t.match(await renewed.ask({ type: 'renew', ticket: forRenewal, id: 1 }), { type: 'renewed' })
    await until(async () => nowSeconds() > Math.max(...ends))
    await compareAgain(redis)

    for (const [client, name] of [
      [opened, 'opened'],
      [renewed, 'renewed'],
    ] as const)
      for (const channel of ['news', 'sport']) {
        const reply = await client.ask({ type: 'subscribe', channel, id: 2 })
        t.match(reply, { type: 'error', code: 'channel_forbidden' }, `${name}, ${channel}`)
      }
  },
)
