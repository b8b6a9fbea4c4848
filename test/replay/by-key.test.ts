import t from 'tap'
import { splitByKey } from '../../src/replay/by-key.js'
import { createSharedReplayMemory, openSharedReplayCache } from '../../src/replay/shared.js'
import { nonceOf, replayContract, startMs } from '../contract/replay-contract.js'

const ownMs = 10_000
const outsideMs = 3_610_000

const open = (capacity: number) => {
  const create = (maxTtlMs: number) =>
    openSharedReplayCache(createSharedReplayMemory({ capacity, maxTtlMs, nowMs: startMs }))
  return splitByKey(create(ownMs), create(outsideMs))
}

for (const [name, keyId, longestMs] of [
  ["a gate's own", 0, ownMs],
  ['of outside minters', 7, outsideMs],
] as const)
  replayContract(
    t,
    `tickets ${name}`,
    capacity => {
      const cache = open(capacity)
      return {
        cache: {
          spend: (nonce, expiresAtMs, nowMs) =>
            cache.spend(nonce, expiresAtMs, nowMs, undefined, keyId) as ReturnType<
              ReturnType<typeof openSharedReplayCache>['spend']
            >,
          has: (nonce, expiresAtMs, nowMs) =>
            cache.has(nonce, expiresAtMs, nowMs, undefined, keyId) as boolean,
          roomInMs: cache.roomInMs,
          get size() {
            return cache.size
          },
          get highWater() {
            return cache.highWater
          },
          capacity: cache.capacity,
        },
      }
    },
    { longestMs, ttlMs: longestMs, recoveryMs: 2 * longestMs, falseReplays: 5 / 2 ** 37 },
  )

t.test('each kind has its own room, and is forgotten in its own time', async t => {
  const cache = open(100)
  const spend = (keyId: number, n: number, lifeMs: number, atMs: number) =>
    cache.spend(nonceOf(`key ${keyId}`, n), atMs + lifeMs, atMs, undefined, keyId)
  for (let n = 0; n < 100; n++) {
    t.equal(spend(1, n, outsideMs, startMs), 'fresh')
    t.equal(spend(0, n, ownMs, startMs), 'fresh')
  }
  t.equal(spend(0, 100, ownMs, startMs), 'full')
  t.ok(cache.roomInMs(startMs) <= 2 * ownMs, 'the cache that refused has room soon')
  t.equal(spend(1, 100, outsideMs, startMs), 'full')
  t.equal(cache.roomInMs(startMs), outsideMs, 'the other has room later')

  const later = startMs + 2 * ownMs
  for (let n = 200; n < 300; n++) t.equal(spend(0, n, ownMs, later), 'fresh')
  t.equal(spend(1, 100, 3_600_000, later), 'full')
  t.equal(cache.has(nonceOf('key 1', 5), startMs + outsideMs, later, undefined, 1), true)
  t.equal(
    cache.has(nonceOf('key 1', 5), startMs + outsideMs, later, undefined, 2),
    true,
    'all outside keys share one cache',
  )
})
