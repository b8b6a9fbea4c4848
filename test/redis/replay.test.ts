import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { RedisReplayCache } from '../../src/redis/replay.js'
import { redisStore } from '../../src/redis/store.js'
import type { StoreOutcome } from '../../src/replay/contract.js'
import { nonceOf, replayContract, startMs } from '../contract/replay-contract.js'
import { fileNeeds } from '../support/programs.js'
import { startRedis, startRedisWithClock } from '../support/redis.js'

fileNeeds(t, 'redis-server', 'gcc')

/** A cache on a real server. */
const openCache = async (
  t: Test,
  port: number,
  { skewMs = 0, ttlMs = 10_000, clock = Date.now } = {},
): Promise<RedisReplayCache> => {
  const client = new Redis(port, '127.0.0.1', { enableReadyCheck: false, enableOfflineQueue: false })
  client.on('error', () => {})
  await new Promise(resolve => client.once('ready', resolve))
  const cache = new RedisReplayCache(redisStore(client), { skewMs, ttlMs, clock })
  t.teardown(() => {
    cache.close()
    client.disconnect()
  })
  await lookAt(cache)
  return cache
}

/** Looks until the store replies: on a busy machine that can take longer than a gate waits. */
const lookAt = async (cache: RedisReplayCache): Promise<void> => {
  for (;;) {
    await cache.look()
    if (cache.state.is !== 'unreachable') return
    await delay(20)
  }
}

interface Ticket {
  readonly nonce: string
  readonly expiresAtMs: number
  /** Whether a call with it is known to have been the first. */
  isSpent: boolean
}

/** The parts of a ticket that a gate reads. With another expiry it would be another ticket. */
const ticketOf = (n: number, lifeMs = 10_000): Ticket => ({
  nonce: nonceOf('redis', n),
  expiresAtMs: Date.now() + lifeMs,
  isSpent: false,
})

/** Spends a ticket, by default in the epoch that the cache knows. */
const spendAtOnce = (cache: RedisReplayCache, { nonce, expiresAtMs }: Ticket, epoch = cache.epoch) =>
  cache.spend(nonce, expiresAtMs, Date.now(), epoch)

const untilReady = async (cache: RedisReplayCache): Promise<void> => {
  while (cache.state.is !== 'ready') await delay(20)
}

/**
 * Spends a ticket, and retries if the store was too late. A late call may still have been executed:
 * a nonce that is spent now and was not before was spent by this call.
 */
const spendOn = async (
  cache: RedisReplayCache,
  ticket: Ticket,
  epoch?: Uint8Array,
): Promise<StoreOutcome> => {
  for (;;) {
    if (cache.state.is !== 'ready') await untilReady(cache)
    const at = epoch ?? cache.epoch
    const outcome = await spendAtOnce(cache, ticket, at)
    if (outcome === 'fresh') ticket.isSpent = true
    if (outcome !== 'unavailable') return outcome
    await untilReady(cache)
    if (String(at) !== String(cache.epoch)) continue
    if ((await cache.has(ticket.nonce, ticket.expiresAtMs, Date.now(), at)) !== true) continue
    if (ticket.isSpent) return 'replayed'
    ticket.isSpent = true
    return 'fresh'
  }
}

const server = await startRedis(t)

replayContract(
  t,
  'redis',
  async () => {
    await server.client.flushall()
    // The suite sets its own time, but the store follows the real one, and must keep spent nonces
    // during the whole test.
    const cache = await openCache(t, server.port, { skewMs: 1e6 })
    const { epoch } = cache
    const aheadMs = Date.now() - startMs
    // On a busy machine the reply may come later than a gate waits: then it asks again.
    const has = async (nonce: string, expiresAtMs: number, nowMs: number): Promise<boolean> => {
      for (;;) {
        const spent = await cache.has(nonce, expiresAtMs + aheadMs, nowMs + aheadMs, epoch)
        if (spent !== undefined) return spent
        await delay(20)
      }
    }
    const spent = new Set<string>()
    return {
      cache: {
        async spend(nonce, expiresAtMs, nowMs) {
          const name = `${nonce} ${expiresAtMs}`
          for (;;) {
            let outcome = await cache.spend(nonce, expiresAtMs + aheadMs, nowMs + aheadMs, epoch)
            // A call without a reply may have been executed: a nonce that is spent now, and was
            // not before, was spent by this call.
            if (outcome === 'unavailable' && (await has(nonce, expiresAtMs, nowMs)))
              outcome = spent.has(name) ? 'replayed' : 'fresh'
            if (outcome === 'unavailable') continue
            if (outcome === 'fresh') spent.add(name)
            return outcome as Exclude<StoreOutcome, 'predates'>
          }
        },
        has,
        roomInMs: () => cache.roomInMs(),
        size: 0,
        highWater: 0,
        capacity: 0,
      },
    }
  },
  { slack: undefined, counts: false, many: 5000 },
)

t.test('only the clock of the store decides when a nonce is forgotten, not those of the gates', async t => {
  const { port, client } = await startRedis(t)
  const cache = await openCache(t, port)
  const expiresAtMs = Date.now() + 300
  const nonce = nonceOf('slow', 0)
  // The clocks of these gates are far behind.
  const slowMs = expiresAtMs - 60_000
  t.equal(await cache.spend(nonce, expiresAtMs, slowMs, cache.epoch), 'fresh')
  while ((await client.keys('ticketgate:spent:*')).length > 0) await delay(20)
  t.equal(
    await cache.spend(nonce, expiresAtMs, slowMs, cache.epoch),
    'replayed',
    'it is refused after the store has forgotten it',
  )
  t.equal(
    await cache.spend(nonceOf('slow', 1), expiresAtMs, slowMs, cache.epoch),
    'replayed',
    'so is any other nonce of that time',
  )
})

t.test('nonces spent in one turn are sent in one call, whatever their periods and epochs', async t => {
  const { port, client } = await startRedis(t)
  const cache = await openCache(t, port)
  const before = (await client.info('commandstats')).match(/cmdstat_evalsha:calls=(\d+)/)?.[1]
  const other = Buffer.alloc(16, 7)
  const expected: StoreOutcome[] = []
  const tickets = Array.from({ length: 45 }, (_, n) => ticketOf(n, 5000 + 3000 * (n % 7)))
  const spends = [...tickets, ...tickets].map((ticket, n) => {
    const isOther = n % 5 === 4
    expected.push(isOther ? 'predates' : n < 45 ? 'fresh' : 'replayed')
    return spendOn(cache, ticket, isOther ? other : cache.epoch)
  })
  t.strictSame(await Promise.all(spends), expected)
  const after = (await client.info('commandstats')).match(/cmdstat_evalsha:calls=(\d+)/)?.[1]
  t.ok(Number(after) - Number(before) <= 2, 'there is one call, and perhaps a look as well')
})

t.test('tickets of another epoch, however many, do not make the gate look at its store', async t => {
  const { port, client } = await startRedis(t)
  const cache = await openCache(t, port)
  // Only looks ask for the time.
  const looks = async (): Promise<number> =>
    Number((await client.info('commandstats')).match(/cmdstat_time:calls=(\d+)/)?.[1])
  const [before, from] = [await looks(), performance.now()]
  for (let n = 0; n < 2000; n++) await spendOn(cache, ticketOf(n), Buffer.alloc(16, 7))
  const most = 2 + (performance.now() - from) / 1000
  t.ok((await looks()) - before <= most, 'it looks no more often than without them')
  // It looks by itself as well, and may know the next epoch at once.
  const { epoch } = cache
  await client.flushall()
  t.equal(await spendOn(cache, ticketOf(0), epoch), 'predates')
  while ((await spendOn(cache, ticketOf(1))) === 'predates') await delay(1)
  t.ok((await looks()) - before > 0, 'a refused ticket of the epoch that it knows does make it look')
})

t.test('lookups wait in the same queue, which is bounded', async t => {
  const server = await startRedis(t)
  const cache = await openCache(t, server.port)
  server.signal('SIGSTOP')
  const ask = (n: number) => cache.has(nonceOf('asked', n), Date.now() + 10_000, Date.now(), cache.epoch)
  const asked = Array.from({ length: 10_000 }, (_, n) => ask(n))
  t.equal(spendAtOnce(cache, ticketOf(0)), 'unavailable', 'the queue is full at once')
  t.equal(await ask(0), undefined)
  t.ok((await Promise.all(asked)).every(answer => answer === undefined))
  server.signal('SIGCONT')
  t.equal(await spendOn(cache, ticketOf(0)), 'fresh', 'the queue is empty again')
})

t.test('the cache counts spent tickets and forgets one period at a time', async t => {
  const { port, client } = await startRedis(t)
  const cache = await openCache(t, port)
  for (let n = 0; n < 10; n++) t.equal(await spendOn(cache, ticketOf(n, 100)), 'fresh')
  t.equal(await spendOn(cache, ticketOf(10)), 'fresh', 'a ticket that is valid for longer')
  // A look that was already under way may miss the last one.
  while (cache.size < 11) await lookAt(cache)
  t.equal(cache.size, 11)
  while (cache.size > 1) await delay(20)
  t.equal(cache.highWater, 11)
  t.equal((await client.keys('ticketgate:spent:*')).length, 1)
})

t.test('if the clock of the store jumps, no ticket is accepted twice and the store recovers', async t => {
  const minute = 60
  const day = 24 * 60 * minute
  for (const [name, jumps, looksBetween] of [
    ['ahead and back, seen', [minute, 0], true],
    ['ahead and back, unseen', [minute, 0], false],
    ['hours ahead and back, seen', [3 * 60 * minute, 0], true],
    ['hours ahead and back, unseen', [3 * 60 * minute, 0], false],
    ['so far ahead that everything expires, and back', [3 * day, 0], true],
    ['ahead, and stays there', [minute], true],
    ['days ahead, and stays there', [3 * day], true],
    ['back, and stays there', [-minute], true],
    ['days back, and ahead again', [-3 * day, 0], true],
  ] as const)
    await t.test(name, async t => {
      const server = await startRedisWithClock(t)
      // The gate ignores the difference between the clocks, so only the store protects.
      const cache = await openCache(t, server.port, { clock: () => Number.POSITIVE_INFINITY })
      const { epoch } = cache
      const spent = ticketOf(0, 20_000)
      t.equal(await spendOn(cache, spent), 'fresh')
      for (const seconds of jumps) {
        server.shiftClock(seconds)
        if (looksBetween) await lookAt(cache)
        t.match(await spendOn(cache, spent, epoch), /^(replayed|predates)$/, `${seconds} s off`)
      }
      // If its clock is ahead, our tickets have already ended for the store until the cache looks.
      await lookAt(cache)
      t.match(await spendOn(cache, spent, epoch), /^(replayed|predates)$/)
      const hoursOff = Math.max(0, jumps.at(-1) ?? 0) / 60 / minute
      t.equal(
        await spendOn(cache, ticketOf(1, 20_000 + hoursOff * 3_600_000)),
        'fresh',
        'a new ticket is accepted',
      )
    })
})

t.test(
  'a gate whose clock is behind the store by more than its ticket lifetime reports it and mints no tickets',
  async t => {
    const { port } = await startRedis(t)
    const [ttlMs, skewMs, graceMs, lifeMs] = [10_000, 2000, 5000, 60_000]
    let behindMs = ttlMs + graceMs - 1000
    const cache = await openCache(t, port, { ttlMs, skewMs, clock: () => Date.now() - behindMs })
    const { epoch } = cache
    t.same(cache.state, { is: 'ready' })
    const [spent, unspent] = [ticketOf(0, lifeMs), ticketOf(1, lifeMs)]
    t.equal(await spendOn(cache, spent), 'fresh')
    behindMs = ttlMs + graceMs + 1000
    await lookAt(cache)
    t.same(cache.state, { is: 'behind', seconds: 16 })
    t.equal(cache.epoch, undefined)
    t.equal(await spendAtOnce(cache, unspent, epoch), 'unavailable')
    behindMs = 0
    t.strictSame([await spendOn(cache, spent), await spendOn(cache, unspent)], ['replayed', 'fresh'])
  },
)

t.test('a store that may have lost data accepts no older tickets', async t => {
  const cases: [
    name: string,
    args: string[],
    lose: (server: Awaited<ReturnType<typeof startRedis>>) => Promise<unknown>,
  ][] = [
    ['emptied', [], ({ client }) => client.flushall()],
    ['emptied without waiting', [], ({ client }) => client.flushdb('ASYNC')],
    [
      'killed and started',
      [],
      async server => {
        await server.kill()
        await server.start()
      },
    ],
    [
      'killed and started from a snapshot',
      ['--dbfilename', 'old.rdb'],
      async server => {
        await server.client.del(await server.client.keys('ticketgate:spent:*'))
        await server.client.save()
        await server.kill()
        await server.start()
        t.match(
          await server.client.get('ticketgate:epoch'),
          /^[0-9a-f]{32}:/,
          'the record of the epoch is restored',
        )
      },
    ],
    [
      'started from its log of writes',
      ['--appendonly', 'yes', '--appendfsync', 'always'],
      async server => {
        await server.kill()
        await server.start()
      },
    ],
    [
      'possibly evicted data while no gate looked',
      [],
      async ({ client }) => {
        await client.config('SET', 'maxmemory-policy', 'allkeys-lru')
        await client.config('SET', 'maxmemory', '1')
        await client.get('x')
        await client.config('SET', 'maxmemory', '0')
        await client.config('SET', 'maxmemory-policy', 'noeviction')
      },
    ],
  ]
  for (const [name, args, lose] of cases)
    await t.test(name, async t => {
      const server = await startRedis(t, args)
      const cache = await openCache(t, server.port)
      const { epoch } = cache
      const [spent, unspent, fresh] = [ticketOf(0, 60_000), ticketOf(1, 60_000), ticketOf(2, 60_000)]
      t.equal(await spendOn(cache, spent), 'fresh')
      await lose(server)
      await cache.look()
      await untilReady(cache)
      t.equal(await spendOn(cache, spent, epoch), 'predates', 'a spent ticket')
      t.equal(await spendOn(cache, unspent, epoch), 'predates', 'an unspent ticket')
      t.not(String(cache.epoch), String(epoch))
      t.equal(await spendOn(cache, fresh), 'fresh', 'a ticket of the new epoch')
      t.equal(await spendOn(cache, fresh), 'replayed')
    })
})

t.test('a primary that was a replica for a while begins a new epoch, even without a restart', async t => {
  const [one, two] = [await startRedis(t), await startRedis(t)]
  await two.client.replicaof('127.0.0.1', one.port)
  // Redis changes its replication id when the first replica connects.
  while (!(await two.client.info('replication')).includes('master_link_status:up')) await delay(20)
  const cache = await openCache(t, one.port)
  const { epoch } = cache
  while ((await two.client.get('ticketgate:epoch')) === null) await delay(20)
  await two.client.replicaof('NO', 'ONE')
  const ticket = ticketOf(0, 60_000)
  t.equal(await spendOn(cache, ticket), 'fresh', 'it is spent without the replica')
  // No gate ever uses the other server: it has the record of the epoch, but not the spent ticket.
  await one.client.replicaof('127.0.0.1', two.port)
  while ((await one.client.keys('ticketgate:spent:*')).length > 0) await delay(20)
  t.match(await one.client.get('ticketgate:epoch'), String(epoch && Buffer.from(epoch).toString('hex')))
  await one.client.replicaof('NO', 'ONE')
  t.equal(await spendOn(cache, ticket, epoch), 'predates')
})

t.test('other data in the database is left alone', async t => {
  const { port, client } = await startRedis(t)
  await client.set('another application', 'x')
  const cache = await openCache(t, port)
  t.equal(await spendOn(cache, ticketOf(0)), 'fresh')
  t.equal(await client.get('another application'), 'x')
  const keys = (await client.keys('*')).filter(key => key !== 'another application')
  t.ok(
    keys.every(key => key.startsWith('ticketgate:')),
    keys.join(),
  )
  t.ok(
    (await client.pttl(keys.find(key => key.includes('spent')) ?? '')) >
      (await client.pttl('ticketgate:epoch')),
    'without gates, spent tickets expire after the record of the epoch',
  )
})

t.test('gates with different clock skews keep spent tickets for the same time', async t => {
  const { port, client } = await startRedis(t)
  const strict = await openCache(t, port)
  const lenient = await openCache(t, port, { skewMs: 60_000 })
  await strict.look()
  t.strictSame(strict.epoch, lenient.epoch)
  const endsAtMs = Date.now() + 300
  const nonce = nonceOf('skew', 0)
  t.equal(await strict.spend(nonce, endsAtMs, Date.now(), strict.epoch), 'fresh')
  t.equal(
    (await client.get('ticketgate:epoch'))?.split(':')[3],
    '121000',
    'the store keeps the grace of the most lenient gate',
  )
  while (Date.now() < endsAtMs) await delay(20)
  t.equal(await lenient.spend(nonce, endsAtMs + 60_000, Date.now(), lenient.epoch), 'replayed')
  await strict.look()
  t.strictSame(strict.epoch, lenient.epoch, 'the strict gate does not begin another epoch')
})
