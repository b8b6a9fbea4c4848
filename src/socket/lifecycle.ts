import { closeCode } from '../protocol.js'
import type { Socket } from './session.js'

/** All open sockets, by the second their session ends in: one structure serves expiry and drain, no timer a socket. */
export interface SocketTable {
  add(ws: Socket): void
  delete(ws: Socket): void
  /** Closes with 4401 every socket whose session has ended at `nowSeconds`. */
  closeExpired(nowSeconds: number): void
  /** Some sockets that are open, at most `count`. */
  take(count: number): Socket[]
  readonly size: number
}

export function createSocketTable(): SocketTable {
  const bySecond = new Map<number, Set<Socket>>()
  let size = 0
  return {
    get size() {
      return size
    },
    add(ws) {
      const second = ws.getUserData().session.expiresAtSeconds
      const sockets = bySecond.get(second)
      if (sockets === undefined) bySecond.set(second, new Set([ws]))
      else sockets.add(ws)
      size++
    },
    delete(ws) {
      const second = ws.getUserData().session.expiresAtSeconds
      const sockets = bySecond.get(second)
      if (!sockets?.delete(ws)) return
      size--
      if (sockets.size === 0) bySecond.delete(second)
    },
    closeExpired(nowSeconds) {
      for (const [second, sockets] of bySecond) {
        if (second > nowSeconds) continue
        for (const ws of [...sockets]) {
          ws.getUserData().session.closeReason = 'session_expired'
          ws.end(closeCode.sessionExpired, 'session_expired')
        }
      }
    },
    take(count) {
      const taken: Socket[] = []
      for (const sockets of bySecond.values())
        for (const ws of sockets) {
          if (taken.length === count) return taken
          taken.push(ws)
        }
      return taken
    },
  }
}

const batchIntervalMs = 50

// How many clients may come back a second, spread evenly: a restart makes no storm.
const reconnectsPerSecond = 1000
const minSpreadMs = 1000
const maxSpreadMs = 30_000

/**
 * Closes all sockets with 1012 in paced batches, and tells each when to come back (`retry_after_ms=N` in the reason).
 * The first tenth of the time is left for balancers to see that the server is not ready; by six tenths all are told.
 * Resolves when none is left, or at the deadline.
 */
export function drainSockets(table: SocketTable, deadlineMs: number): Promise<void> {
  const batches = Math.max(1, Math.floor(deadlineMs / 2 / batchIntervalMs))
  const batchSize = Math.max(1, Math.ceil(table.size / batches))
  const spreadMs = Math.min(maxSpreadMs, Math.max(minSpreadMs, (table.size / reconnectsPerSecond) * 1000))
  const startsAtMs = performance.now() + deadlineMs / 10
  return new Promise(resolve => {
    const finish = (): void => {
      clearInterval(timer)
      clearTimeout(deadline)
      resolve()
    }
    const timer = setInterval(() => {
      if (performance.now() >= startsAtMs)
        for (const ws of table.take(batchSize)) {
          ws.getUserData().session.closeReason = 'draining'
          ws.end(closeCode.draining, `retry_after_ms=${Math.floor(Math.random() * spreadMs)}`)
        }
      if (table.size === 0) finish()
    }, batchIntervalMs)
    const deadline = setTimeout(finish, deadlineMs)
    if (table.size === 0) finish()
  })
}
