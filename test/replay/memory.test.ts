import t from 'tap'
import { createMemoryReplayCache } from '../../src/replay/memory.js'
import { nonceOf, replayContract } from '../contract/replay-contract.js'
import { tally } from '../support/tally.js'

const nowMs = 1_764_000_000_123

replayContract(t, 'memory', capacity => ({ cache: createMemoryReplayCache(capacity) }), { recoveryMs: 1 })

t.test('the limit is exact: no more than the capacity fits, and each expiry makes room for one', async t => {
  const capacity = 100
  const cache = createMemoryReplayCache(capacity)
  const spend = (n: number, expiresAtMs: number, at = nowMs) =>
    cache.spend(nonceOf('edge', n), expiresAtMs, at)
  for (let n = 0; n < capacity; n++) if (spend(n, nowMs + 1000 + n) !== 'fresh') t.fail(`nonce ${n} fits`)
  t.equal(spend(capacity, nowMs + 5000), 'full')
  t.equal(spend(capacity, nowMs + 5000, nowMs + 999.9), 'full', 'just before the first expires')
  t.equal(spend(capacity, nowMs + 5000, nowMs + 1000.5), 'fresh', 'after the first expires')
  t.equal(spend(capacity + 1, nowMs + 5000, nowMs + 1000.5), 'full', 'there is room for only one')
  for (let n = 0; n <= capacity; n++)
    if (spend(n, n === capacity ? nowMs + 5000 : nowMs + 1000 + n, nowMs + 1000.5) !== 'replayed')
      t.fail(`nonce ${n} is remembered`)
  t.strictSame([cache.size, cache.highWater, cache.capacity], [capacity, capacity, capacity])
})

t.test('nothing is evicted by a flood many times its capacity', async t => {
  const cache = createMemoryReplayCache(100)
  const results = Array.from({ length: 10_000 }, (_, n) =>
    cache.spend(nonceOf('flood', n), nowMs + 10_000, nowMs + n / 10),
  )
  t.strictSame(tally(results), { fresh: 100, full: 9900 })
  for (let n = 0; n < 100; n++)
    if (cache.spend(nonceOf('flood', n), nowMs + 10_000, nowMs + 1000) !== 'replayed') t.fail(`nonce ${n}`)
})

t.test('expired entries do not pile up: the size stays within the capacity', async t => {
  const cache = createMemoryReplayCache(100)
  let full = 0
  for (let n = 0; n < 20_000; n++)
    if (cache.spend(nonceOf('stream', n), nowMs + n + 50, nowMs + n) !== 'fresh') full++
  t.equal(full, 0, '50 are live at any time, so there is always room')
  t.ok(cache.size <= 100 && cache.highWater <= 100)
})

t.test('without traffic, expired entries are removed turn by turn, and no others', async t => {
  const cache = createMemoryReplayCache(20_000)
  const spend = (group: string, n: number, at = nowMs) =>
    cache.spend(nonceOf(group, n), nowMs + (group === 'short' ? 1000 : 5000), at)
  for (let n = 0; n < 10_000; n++) spend('short', n)
  for (let n = 0; n < 100; n++) spend('long', n)
  cache.turnOver(nowMs + 999)
  t.equal(cache.size, 10_100, 'none is removed a millisecond before it expires')
  for (let turn = 0; turn < 10; turn++) cache.turnOver(nowMs + 1000)
  t.equal(cache.size, 100)
  t.equal(cache.highWater, 10_100)
  for (let n = 0; n < 100; n++) if (spend('long', n, nowMs + 1000) !== 'replayed') t.fail(`nonce ${n}`)
  for (let n = 0; n < 100; n++)
    if (spend('short', n) !== 'replayed') t.fail(`nonce ${n} stays spent when the clock is set back`)
  cache.turnOver(nowMs + 5000)
  t.equal(cache.size, 0)
})

t.test('a cache of many parts holds exactly its capacity, and all of it becomes free again', async t => {
  const capacity = 20_000
  const cache = createMemoryReplayCache(capacity)
  const spendAll = (group: string, count: number, at: number) =>
    tally(
      Array.from({ length: count }, (_, n) =>
        cache.spend(nonceOf(group, n), nowMs + (group === 'one' ? 1000 : 5000), at),
      ),
    )
  t.strictSame(spendAll('one', capacity, nowMs), { fresh: capacity })
  t.strictSame(spendAll('two', 5000, nowMs + 999), { full: 5000 })
  t.strictSame(spendAll('one', capacity, nowMs + 999), { replayed: capacity }, 'none is evicted')
  t.equal(cache.roomInMs(nowMs + 900), 1, 'the latest time seen counts, not the one given')
  // A full cache sweeps a part of about 4,000 in a millisecond.
  let fresh = 0
  for (let ms = 0; ms < 10; ms++) fresh += spendAll(`${ms}`, 4000, nowMs + 1000 + 2 * ms).fresh ?? 0
  t.equal(fresh, capacity)
  t.strictSame([cache.size, cache.highWater], [capacity, capacity])
})

t.test('sequential nonces spread over all parts', async t => {
  const capacity = 50_000
  for (const at of [0, 4, 8, 12])
    for (const write of ['writeUInt32LE', 'writeUInt32BE'] as const) {
      const cache = createMemoryReplayCache(capacity)
      const nonce = Buffer.alloc(16, 7)
      const results = Array.from({ length: capacity }, (_, n) => {
        nonce[write](n, at)
        return cache.spend(nonce.toString('latin1'), nowMs + 1000, nowMs)
      })
      t.strictSame(tally(results), { fresh: capacity }, `${write} at ${at}`)
    }
})

t.test('two caches are independent', async t => {
  const [one, two] = [createMemoryReplayCache(100), createMemoryReplayCache(100)]
  t.equal(one.spend(nonceOf('two', 0), nowMs + 10, nowMs), 'fresh')
  t.equal(two.spend(nonceOf('two', 0), nowMs + 10, nowMs), 'fresh')
})
