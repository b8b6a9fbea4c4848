import { once } from 'node:events'
import t from 'tap'
import {
  createSharedReplayMemory,
  openSharedReplayCache,
  type SharedReplayMemory,
} from '../../src/replay/shared.js'
import { nonceOf, replayContract, startMs } from '../contract/replay-contract.js'
import { startThread } from '../support/thread.js'
import type { SpenderStart } from './spender.js'

const maxTtlMs = 10_000
const answers = ['fresh', 'replayed', 'full', 'unavailable'] as const

/** Stated in src/replay/EXACTNESS.md: for a call on a full table. */
const falseReplays = 5 * 2 ** -37

const create = (capacity: number, nowMs = startMs): SharedReplayMemory =>
  createSharedReplayMemory({ capacity, maxTtlMs, nowMs })

const open = (capacity: number, nowMs = startMs) => openSharedReplayCache(create(capacity, nowMs))

const traits = { longestMs: maxTtlMs, falseReplays }
replayContract(t, 'shared', capacity => ({ cache: open(capacity) }), traits)
replayContract(
  t,
  'shared, in the middle of a period',
  capacity => ({ cache: open(capacity, startMs - 3333.25) }),
  traits,
)

/** A cache seen by three threads, which take turns; their common clock never goes backwards. */
const inTurn = (capacity: number) => {
  const memory = create(capacity)
  let latestMs = startMs
  const views = Array.from({ length: 3 }, () => openSharedReplayCache(memory))
  let calls = 0
  const next = () => views[calls++ % views.length] ?? openSharedReplayCache(memory)
  const cache: ReturnType<typeof openSharedReplayCache> = {
    spend(nonce, expiresAtMs, nowMs) {
      latestMs = Math.max(latestMs, nowMs)
      return next().spend(nonce, expiresAtMs, latestMs)
    },
    has: (nonce, expiresAtMs, nowMs) => next().has(nonce, expiresAtMs, nowMs),
    roomInMs: nowMs => next().roomInMs(nowMs),
    turnOver: nowMs => next().turnOver(nowMs),
    get size() {
      return next().size
    },
    get highWater() {
      return next().highWater
    },
    capacity,
  }
  return { cache }
}
replayContract(t, 'shared, by three threads in turn', inTurn, traits)

/** Spends the same nonces from real threads at once. */
const race = async (
  threads: number,
  capacity: number,
  nonces: number,
): Promise<{ memory: SharedReplayMemory; fresh: Int32Array; counts: Record<string, number> }> => {
  const memory = create(capacity)
  const tally = new Int32Array(new SharedArrayBuffer(4 * (1 + nonces + answers.length)))
  const start = { memory, tally, threads, nonces, expiresAtMs: startMs + maxTtlMs, nowMs: startMs, answers }
  const file = new URL('spender.ts', import.meta.url)
  const workers = Array.from({ length: threads }, (_, thread) =>
    startThread(file, { ...start, thread } satisfies SpenderStart),
  )
  await Promise.all(workers.map(worker => once(worker, 'exit')))
  const counts = Object.fromEntries(answers.map((answer, index) => [answer, tally[1 + nonces + index] ?? 0]))
  return { memory, fresh: tally.slice(1, 1 + nonces), counts }
}

t.test('with real threads, each nonce is fresh for exactly one of them', async t => {
  const [threads, nonces] = [4, 50_000]
  // Room to spare: a thread that is held up may find the last room taken by the nonce that it
  // spends itself, and answer `full`.
  const { memory, fresh, counts } = await race(threads, nonces + threads, nonces)
  t.strictSame(
    [...fresh].findIndex(times => times !== 1),
    -1,
  )
  t.strictSame(counts, { fresh: nonces, replayed: nonces * (threads - 1), full: 0, unavailable: 0 })
  t.equal(openSharedReplayCache(memory).size, nonces, 'each is counted once')
})

t.test(
  'with real threads, a full cache holds at most its capacity plus one for each other thread',
  async t => {
    const [threads, nonces, capacity] = [4, 20_000, 5000]
    const { memory, fresh, counts } = await race(threads, capacity, nonces)
    t.ok(
      fresh.every(times => times <= 1),
      'no nonce is fresh twice',
    )
    const taken = counts.fresh ?? 0
    t.ok(taken >= capacity && taken < capacity + threads, `${taken} for a capacity of ${capacity}`)
    t.ok((counts.full ?? 0) > 0)
    const cache = openSharedReplayCache(memory)
    for (const [n, times] of fresh.entries()) {
      const answer = cache.spend(nonceOf('race', n), startMs + maxTtlMs, startMs)
      if (answer !== (times === 1 ? 'replayed' : 'full')) t.fail(`nonce ${n}: ${answer}`)
    }
  },
)

t.test('the limit is exact: capacity fits, one more does not', async t => {
  for (const capacity of [1, 2, 3, 100, 101]) {
    const cache = open(capacity)
    const spend = (n: number) => cache.spend(nonceOf('edge', n), startMs + maxTtlMs, startMs)
    for (let n = 0; n < capacity; n++) if (spend(n) !== 'fresh') t.fail(`${n} of ${capacity}`)
    t.strictSame([spend(capacity), spend(0), spend(capacity - 1)], ['full', 'replayed', 'replayed'])
    t.strictSame([cache.size, cache.highWater, cache.capacity], [capacity, capacity, capacity])
  }
})

t.test('a table is reused every other period without being cleared', async t => {
  const capacity = 50
  const cache = open(capacity)
  const periods = 40
  for (let period = 0; period < periods; period++) {
    const nowMs = startMs + period * maxTtlMs
    for (let n = 0; n < capacity; n++) {
      const answer = cache.spend(nonceOf(`turn ${period}`, n), nowMs + maxTtlMs, nowMs)
      if (answer !== 'fresh') t.fail(`period ${period}, nonce ${n}: ${answer}`)
    }
    t.equal(cache.spend(nonceOf(`turn ${period}`, 0), nowMs + maxTtlMs, nowMs + maxTtlMs - 1), 'replayed')
    t.equal(
      cache.spend(nonceOf(`turn ${period}`, capacity), nowMs + maxTtlMs, nowMs),
      'full',
      `period ${period}`,
    )
  }
  t.equal(cache.highWater, capacity)
})

t.test('a thread that slept for whole periods, or whose clock is slow, spends nothing twice', async t => {
  const memory = create(20)
  const [awake, asleep] = [openSharedReplayCache(memory), openSharedReplayCache(memory)]
  const early = Array.from({ length: 20 }, (_, n) => nonceOf('early', n))
  for (const nonce of early) t.equal(awake.spend(nonce, startMs + maxTtlMs, startMs), 'fresh')
  for (const periods of [1, 2, 3, 4, 7, 100, 1001]) {
    const nowMs = startMs + periods * maxTtlMs
    for (let n = 0; n < 20; n++) awake.spend(nonceOf(`later ${periods}`, n), nowMs + maxTtlMs, nowMs)
    for (const nonce of early) {
      const answer = asleep.spend(nonce, startMs + maxTtlMs, startMs)
      if (answer !== 'replayed') t.fail(`${periods} periods on: ${answer}, not replayed`)
    }
    const answer = asleep.spend(nonceOf('never seen', periods), startMs + maxTtlMs, startMs)
    t.not(answer, 'fresh', `${periods} periods on: an expired nonce is never fresh`)
  }
  t.equal(awake.size, 20, 'the count of a later period is unchanged')
})

t.test('an expiry outside the periods is refused', async t => {
  const cache = open(100)
  const cases = [
    ['the longest life', startMs + maxTtlMs, startMs, 'fresh'],
    ['a fraction longer', startMs + maxTtlMs + 0.01, startMs, 'unavailable'],
    ['forever', Number.POSITIVE_INFINITY, startMs, 'unavailable'],
    ['a clock that is not a number', startMs + 1000, Number.NaN, 'fresh'],
    ['an expiry that is not a number', Number.NaN, startMs, 'unavailable'],
    ['expired before the memory was made', startMs - 1, startMs - 5000, 'replayed'],
    ['at the edge of two periods', startMs + 5000, startMs, 'fresh'],
  ] as const
  for (const [index, [name, expiresAtMs, nowMs, expected]] of cases.entries())
    t.equal(cache.spend(nonceOf('odd', index), expiresAtMs, nowMs), expected, name)
  t.equal(
    open(100).spend(nonceOf('odd', 0), startMs + 1000, Number.NaN),
    'unavailable',
    'no time is known yet',
  )
  const second = 1000
  const brief = openSharedReplayCache(
    createSharedReplayMemory({ capacity: 10, maxTtlMs: second, nowMs: startMs }),
  )
  const endMs = startMs + (2 ** 27 - 2) * second
  t.equal(
    brief.spend(nonceOf('end', 0), endMs - 1, endMs - second),
    'fresh',
    'in the last period that can be numbered',
  )
  t.equal(brief.spend(nonceOf('end', 1), endMs, endMs - second), 'unavailable', 'in the period after it')
  t.equal(brief.spend(nonceOf('end', 0), endMs - 1, endMs - second), 'replayed')
})

t.test('a ticket on either side of a period boundary, and exactly on it', async t => {
  for (const baseMs of [startMs, startMs + 0.1, startMs + 1 / 3, startMs - 0.000_244_140_625]) {
    const cache = open(1000, baseMs)
    for (let period = 1; period < 300; period++)
      for (const offset of [-1, -0.25, 0, 0.25, 1]) {
        const expiresAtMs = baseMs + period * maxTtlMs + offset
        const nonce = nonceOf(`border ${offset}`, period)
        const results = [maxTtlMs, 1, 0.5].map(before =>
          cache.spend(nonce, expiresAtMs, expiresAtMs - before),
        )
        if (String(results) !== 'fresh,replayed,replayed')
          t.fail(`${baseMs}, ${period}, ${offset}: ${results}`)
      }
  }
})

t.test('false replays are as rare as stated', async t => {
  // A fresh nonce is refused only if a cell that it is compared with has the same fingerprint, which
  // for each cell is as likely as 2^-37. So the cells that are compared are counted.
  const memory = create(3000)
  let loads = 0
  const cache = openSharedReplayCache(memory, {
    load(words, at) {
      loads++
      return Atomics.load(words, at)
    },
    compareExchange: (words, at, expected, replacement) =>
      Atomics.compareExchange(words, at, expected, replacement),
  })
  for (let n = 0; n < 3000; n++) cache.spend(nonceOf('probe', n), startMs + maxTtlMs, startMs)
  loads = 0
  const calls = 20_000
  for (let n = 0; n < calls; n++) cache.spend(nonceOf('other', n), startMs + maxTtlMs, startMs)
  // The last two reads are of the empty cell, and of the count that says the table is full.
  const compared = loads / calls - 2
  t.ok(
    compared <= falseReplays * 2 ** 37,
    `in a full table, ${compared.toFixed(2)} fingerprints are compared`,
  )
})

t.test('it takes 24 bytes per ticket of capacity, as stated, from the start', async t => {
  for (const capacity of [100, 1000, 1_000_000]) {
    const { buffer } = create(capacity)
    t.ok(buffer.byteLength <= 24 * capacity + 256, `${buffer.byteLength / capacity} bytes per ticket`)
  }
})

t.test('an invalid option throws a TypeError that names it', async t => {
  const cases = [
    ['capacity', { capacity: 0 }],
    ['capacity', { capacity: 1.5 }],
    ['capacity', { capacity: 1e9 + 1 }],
    ['maxTtlMs', { maxTtlMs: 999 }],
    ['maxTtlMs', { maxTtlMs: Number.POSITIVE_INFINITY }],
    ['nowMs', { nowMs: Number.NaN }],
  ] as const
  for (const [option, part] of cases)
    t.throws(() => createSharedReplayMemory({ capacity: 10, maxTtlMs, nowMs: startMs, ...part }), {
      name: 'TypeError',
      message: new RegExp(`^${option} must`),
    })
})
