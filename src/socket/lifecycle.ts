import { closeCode, retryAfterReason } from '../protocol.js'
import type { Log } from '../telemetry/log.js'
import type { CloseReason } from '../telemetry/metrics.js'
import type { Revocation } from '../wire/relay.js'
import type { Socket } from './session.js'

/**
 * All open sockets, by the second their session ends in: one structure serves expiry, revocation and drain, no timer a
 * socket. Each second has a list that runs through the sockets themselves, so a socket costs two references.
 */
export interface SocketTable {
  add(ws: Socket): void
  delete(ws: Socket): void
  /** Puts a socket under another end of its session. */
  renew(ws: Socket, expiresAtSeconds: number): void
  /**
   * Closes every socket whose time has run out at `nowSeconds`: with 4401, or with 4408 where nobody has said who it
   * is.
   */
  closeExpired(nowSeconds: number): void
  /** Closes with 4403 all whose authority was revoked; answers how many. Looks at every socket. */
  closeRevoked(revocation: Revocation): number
  /** Some sockets that are open, at most `count`. */
  take(count: number): Socket[]
  readonly size: number
}

export function createSocketTable(): SocketTable {
  const heads = new Map<number, Socket>()
  let size = 0

  function* listFrom(head: Socket | undefined): Generator<Socket> {
    for (let ws = head; ws !== undefined; ws = ws.getUserData().next) yield ws
  }

  function add(ws: Socket): void {
    const data = ws.getUserData()
    const { expiresAtSeconds } = data.session
    const head = heads.get(expiresAtSeconds)
    data.next = head
    data.previous = undefined
    if (head !== undefined) head.getUserData().previous = ws
    heads.set(expiresAtSeconds, ws)
    size++
  }

  function remove(ws: Socket): void {
    const data = ws.getUserData()
    const { next, previous } = data
    const { expiresAtSeconds } = data.session
    if (previous !== undefined) previous.getUserData().next = next
    else if (heads.get(expiresAtSeconds) !== ws) return
    else if (next !== undefined) heads.set(expiresAtSeconds, next)
    else heads.delete(expiresAtSeconds)
    if (next !== undefined) next.getUserData().previous = previous
    data.next = undefined
    data.previous = undefined
    size--
  }

  return {
    get size() {
      return size
    },
    add,
    delete: remove,
    renew(ws, expiresAtSeconds) {
      remove(ws)
      ws.getUserData().session.expiresAtSeconds = expiresAtSeconds
      add(ws)
    },
    closeExpired(nowSeconds) {
      // Closing takes a socket out of its list, so the list is read first.
      for (const [second, head] of [...heads])
        if (second <= nowSeconds) for (const ws of [...listFrom(head)]) closeOutOfTime(ws)
    },
    closeRevoked({ subject, name, atSeconds }) {
      const member = subject === 'user' ? 'user' : 'id'
      const revoked: Socket[] = []
      for (const head of heads.values())
        for (const ws of listFrom(head)) {
          const session = ws.getUserData().session
          if (session[member] === name && session.issuedAtSeconds <= atSeconds) revoked.push(ws)
        }
      for (const ws of revoked) endWith(ws, 'revoked', closeCode.revoked, 'revoked')
      return revoked.length
    },
    take(count) {
      const taken: Socket[] = []
      for (const head of heads.values())
        for (const ws of listFrom(head)) {
          if (taken.length === count) return taken
          taken.push(ws)
        }
      return taken
    },
  }
}

/** Whether a socket is open and nothing closes it: uWS throws when one is touched that is not, save for its data. */
export const isOpen = (ws: Socket): boolean => ws.getUserData().session.closeReason === undefined

/**
 * Closes a socket, and keeps why. One of many may be closed when its turn comes: by an application that ends it as it
 * learns of the end of another.
 */
export function endWith(ws: Socket, reason: CloseReason, code: number, text: string): void {
  if (!isOpen(ws)) return
  ws.getUserData().session.closeReason = reason
  ws.end(code, text)
}

/** Closes a socket on whose message something failed, here or in the embedding application: other sockets go on. */
export function endFailed(ws: Socket, error: unknown, log: Log): void {
  log.error({ err: error }, 'a message failed')
  endWith(ws, 'handler_failed', closeCode.internalError, 'internal_error')
}

/** Closes a socket whose session has ended, or whose time to say who it is. */
export function closeOutOfTime(ws: Socket): void {
  if (ws.getUserData().session.user === '') endWith(ws, 'auth_timeout', closeCode.authTimeout, 'auth_timeout')
  else endWith(ws, 'session_expired', closeCode.sessionExpired, 'session_expired')
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
        for (const ws of table.take(batchSize))
          endWith(ws, 'draining', closeCode.draining, retryAfterReason(Math.random() * spreadMs))
      if (table.size === 0) finish()
    }, batchIntervalMs)
    const deadline = setTimeout(finish, deadlineMs)
    if (table.size === 0) finish()
  })
}
