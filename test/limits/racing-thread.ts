/** One thread of shared-caps.test.ts: enters and leaves as the same user, again and again. */
import { workerData } from 'node:worker_threads'
import type { ConnectionLimits } from '../../src/limits/caps.js'
import { SharedConnectionCaps } from '../../src/limits/shared-caps.js'
import type { SharedLimits } from '../../src/limits/shared-limits.js'

export interface RacingThreadStart {
  readonly shared: SharedLimits
  readonly limits: ConnectionLimits
  /**
   * Four counts: threads that are ready, sockets that are open now, the most that were open at once,
   * and sockets admitted in all.
   */
  readonly tally: Int32Array
  readonly threads: number
  readonly thread: number
  readonly rounds: number
}

const { shared, limits, tally, threads, thread, rounds }: RacingThreadStart = workerData
const caps = new SharedConnectionCaps(limits, shared, thread)

Atomics.add(tally, 0, 1)
Atomics.notify(tally, 0)
for (let ready = 0; ready < threads; ) {
  ready = Atomics.load(tally, 0)
  if (ready < threads) Atomics.wait(tally, 0, ready)
}

for (let round = 0; round < rounds; round++) {
  if (!caps.enter('maggie', '')) continue
  const inside = Atomics.add(tally, 1, 1) + 1
  for (let most = Atomics.load(tally, 2); most < inside; most = Atomics.load(tally, 2))
    Atomics.compareExchange(tally, 2, most, inside)
  Atomics.add(tally, 3, 1)
  Atomics.sub(tally, 1, 1)
  caps.leave('maggie', '')
}
