import { closeCode, retryAfterReason } from '../protocol.js'
import { closeWith } from './closing.js'
import type { SocketTable } from './socket-table.js'

const batchIntervalMs = 50

// How many clients per second are told to reconnect, spread evenly, so that a restart causes no
// storm.
const reconnectsPerSecond = 1000
const minSpreadMs = 1000
const maxSpreadMs = 30_000

/** The time over which this many clients are told to reconnect, in milliseconds. */
export const spreadMs = (clients: number): number =>
  Math.min(maxSpreadMs, Math.max(minSpreadMs, (clients / reconnectsPerSecond) * 1000))

/**
 * Closes all sockets with 1012 in paced batches, and tells each when to reconnect
 * (`retry_after_ms=N` in the reason). The first tenth of the time is for balancers to notice that
 * the server is not ready. After six tenths, all have been told. Resolves when none is left, or at
 * the deadline.
 */
export function drainSockets(table: SocketTable, deadlineMs: number): Promise<void> {
  const batches = Math.max(1, Math.floor(deadlineMs / 2 / batchIntervalMs))
  const batchSize = Math.max(1, Math.ceil(table.size / batches))
  const waitMs = spreadMs(table.size)
  const startsAtMs = performance.now() + deadlineMs / 10
  return new Promise(resolve => {
    const finish = (): void => {
      clearInterval(timer)
      clearTimeout(deadline)
      resolve()
    }
    const timer = setInterval(() => {
      if (performance.now() >= startsAtMs)
        for (const ws of table.take(batchSize))
          closeWith(ws, 'draining', closeCode.draining, retryAfterReason(Math.floor(Math.random() * waitMs)))
      if (table.size === 0) finish()
    }, batchIntervalMs)
    const deadline = setTimeout(finish, deadlineMs)
    if (table.size === 0) finish()
  })
}
