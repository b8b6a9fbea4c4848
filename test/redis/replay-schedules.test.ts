import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { RedisReplayCache } from '../../src/redis/replay.js'
import { redisStore } from '../../src/redis/store.js'
import type { StoreOutcome } from '../../src/replay/contract.js'
import { nonceOf } from '../contract/replay-contract.js'
import { fileNeeds } from '../support/programs.js'
import { startRedisWithClock } from '../support/redis.js'

fileNeeds(t, 'redis-server', 'gcc')

const hour = 3600
// At most two days ahead: EXACTNESS.md names what remains possible if the server is further ahead.
const shifts = [-72 * hour, -3 * hour, -60, -5, -4, 0, 0, 0, 0, 4, 5, 5, 60, 700, 700, 3 * hour, 47 * hour]
// The grace of the most lenient gate below: tickets that ended this long ago are about to be
// forgotten.
const graceMs = 601_000

/** Pseudorandom numbers, the same in every run. */
const createDice = (seed: number) => {
  let state = seed
  return (limit: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * limit)
  }
}

interface Gate {
  readonly cache: RedisReplayCache
  readonly skewMs: number
}

const openGate = async (t: Test, port: number, skewMs: number): Promise<Gate> => {
  const client = new Redis(port, '127.0.0.1', { enableReadyCheck: false, enableOfflineQueue: false })
  client.on('error', () => {})
  await new Promise(resolve => client.once('ready', resolve))
  const cache = new RedisReplayCache(redisStore(client), {
    skewMs,
    ttlMs: 10_000,
    clock: () => Number.POSITIVE_INFINITY,
  })
  t.teardown(() => {
    cache.close()
    client.disconnect()
  })
  await cache.look()
  return { cache, skewMs }
}

interface Ticket {
  readonly nonce: string
  readonly endsAtMs: number
  readonly epoch: Uint8Array | undefined
  wins: number
}

t.test('no ticket is fresh twice, whatever the clocks, data losses and reads of different gates', async t => {
  const seed = 0x5eed
  t.comment(`seed ${seed}`)
  const below = createDice(seed)
  const server = await startRedisWithClock(t)
  const gates: Gate[] = []
  for (const skewMs of [0, 5000, 300_000]) gates.push(await openGate(t, server.port, skewMs))
  const anyGate = (): Gate => gates[below(gates.length)] as Gate
  const tickets: Ticket[] = []
  const seen: Partial<Record<StoreOutcome, number>> = {}
  let shift = 0

  const spend = async (ticket: Ticket): Promise<void> => {
    const { cache, skewMs } = anyGate()
    // The clock of the gate stands at 0, so the gate itself would accept every ticket.
    const outcome = await cache.spend(ticket.nonce, ticket.endsAtMs + skewMs, 0, ticket.epoch)
    seen[outcome] = (seen[outcome] ?? 0) + 1
    if (outcome === 'fresh') ticket.wins++
  }

  for (let step = 0; step < 3000; step++) {
    const dice = below(100)
    if (dice < 6) {
      shift = shifts[below(shifts.length)] ?? 0
      server.shiftClock(shift)
    } else if (dice < 14) await anyGate().cache.look()
    else if (dice === 14 && below(6) === 0)
      await (below(2) ? server.client.flushall() : server.client.del('ticketgate:epoch'))
    else if (dice < 35 || tickets.length === 0)
      tickets.push({
        nonce: nonceOf('schedule', step),
        endsAtMs:
          Date.now() + (below(3) ? shift * 1000 : 0) + below(30_000) - (below(2) ? graceMs + 15_000 : 0),
        epoch: anyGate().cache.epoch,
        wins: 0,
      })
    else {
      const recent = tickets.slice(below(10) ? -20 : -300)
      await Promise.all(
        Array.from({ length: 1 + below(6) }, () => spend(recent[below(recent.length)] as Ticket)),
      )
    }
  }
  t.strictSame(
    tickets.filter(({ wins }) => wins > 1),
    [],
  )
  for (const outcome of ['fresh', 'replayed', 'predates'] as const)
    t.ok((seen[outcome] ?? 0) > 50, `the outcome ${outcome} occurs often: ${seen[outcome]}`)
})
