/**
 * One thread of shared.test.ts: spends all given nonces, in its own order, once all threads are
 * ready.
 */
import { parentPort, workerData } from 'node:worker_threads'
import type { SpendOutcome } from '../../src/replay/contract.js'
import { openSharedReplayCache, type SharedReplayMemory } from '../../src/replay/shared.js'
import { nonceOf } from '../contract/replay-contract.js'

export interface SpenderStart {
  readonly memory: SharedReplayMemory
  /**
   * The number of threads that are ready; then how often each nonce was fresh; then how often each
   * of `answers` was given.
   */
  readonly tally: Int32Array
  readonly threads: number
  readonly thread: number
  readonly nonces: number
  readonly expiresAtMs: number
  readonly nowMs: number
  readonly answers: readonly SpendOutcome[]
}

const { memory, tally, threads, thread, nonces, expiresAtMs, nowMs, answers }: SpenderStart = workerData
const cache = openSharedReplayCache(memory)
const all = Array.from({ length: nonces }, (_, n) => nonceOf('race', n))

Atomics.add(tally, 0, 1)
Atomics.notify(tally, 0)
for (let ready = 0; ready < threads; ) {
  ready = Atomics.load(tally, 0)
  if (ready < threads) Atomics.wait(tally, 0, ready)
}

// Half of the threads go backwards: they meet the others once, and then find what those have spent.
for (let step = 0; step < nonces; step++) {
  const n = thread % 2 === 0 ? step : nonces - 1 - step
  const answer = cache.spend(all[n] ?? '', expiresAtMs, nowMs)
  if (answer === 'fresh') Atomics.add(tally, 1 + n, 1)
  Atomics.add(tally, 1 + nonces + answers.indexOf(answer), 1)
}
parentPort?.postMessage('done')
