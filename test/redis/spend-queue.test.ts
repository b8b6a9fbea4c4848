import { mock } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { SpendQueue } from '../../src/redis/spend-queue.js'
import type { StoreOutcome } from '../../src/replay/contract.js'
import { nonceOf } from '../contract/replay-contract.js'

const stepMs = 10
const epoch = '00'

interface Result {
  readonly outcome: StoreOutcome
  readonly isSpent: boolean
}

/**
 * Spends a ticket every 10 ms, 100 in all, at a store whose replies take `roundTripMs`. Only the test
 * lets time pass.
 */
const spendAll = async (t: Test, roundTripMs: number): Promise<{ results: Result[]; calls: number }> => {
  let nowMs = 0
  let calls = 0
  let isReady = true
  mock.timers.enable({ apis: ['setTimeout'] })
  const now = mock.method(performance, 'now', () => nowMs)
  t.teardown(() => {
    mock.timers.reset()
    now.mock.restore()
  })
  const spent = new Set<string>()
  const queue = new SpendQueue({
    store: {
      run(_script, _keys, [, , bytes]) {
        calls++
        const nonces =
          Buffer.from(bytes ?? '')
            .toString('latin1')
            .match(/.{16}/gs) ?? []
        for (const nonce of nonces) spent.add(nonce)
        return new Promise(resolve => setTimeout(() => resolve('f'.repeat(nonces.length)), roundTripMs))
      },
      reconnect() {},
    },
    isReady: () => isReady,
    onFailure() {
      isReady = false
    },
    onStrange: () => t.fail('the replies are as expected'),
  })
  const nonces = Array.from({ length: 100 }, (_, n) => nonceOf('slow', n))
  const outcomes: Promise<StoreOutcome>[] = []
  while (queue.pending > 0 || outcomes.length < nonces.length) {
    const nonce = nonces[outcomes.length]
    if (nonce !== undefined)
      outcomes.push(isReady ? queue.spend(nonce, epoch, 1) : Promise.resolve('unavailable'))
    // The queue sends what it has after two turns.
    for (let n = 0; n < 4; n++) await turn()
    nowMs += stepMs
    mock.timers.tick(stepMs)
    await turn()
  }
  const results = (await Promise.all(outcomes)).map((outcome, n) => ({
    outcome,
    isSpent: spent.has(nonces[n] ?? ''),
  }))
  return { results, calls }
}

const count = (results: readonly Result[], outcome: StoreOutcome, isSpent: boolean): number =>
  results.filter(result => result.outcome === outcome && result.isSpent === isSpent).length

t.test('a slow store that replies within 500 ms refuses no ticket', async t => {
  for (const roundTripMs of [10, 240, 300, 400, 490])
    await t.test(`${roundTripMs} ms`, async t => {
      const { results, calls } = await spendAll(t, roundTripMs)
      t.equal(count(results, 'fresh', true), 100, 'all are accepted')
      t.ok(calls <= 1 + Math.ceil(1000 / roundTripMs), 'tickets that arrive during a call share the next one')
    })
})

t.test('a store that hangs costs only the tickets that were sent to it', async t => {
  const { results, calls } = await spendAll(t, 600_000)
  t.equal(calls, 1)
  t.equal(count(results, 'unavailable', true), 1)
  t.equal(count(results, 'unavailable', false), 99, 'the tickets that waited behind it are not spent')
})
