import { closeCode } from '../protocol.js'
import type { Log } from '../telemetry/log.js'
import type { CloseReason } from '../telemetry/metrics.js'
import type { Socket } from './session.js'

/**
 * Whether a socket is open and nothing closes it. uWS throws when a closed one is touched, except
 * for its data.
 */
export const isOpen = (ws: Socket): boolean => ws.getUserData().session.closeReason === undefined

/**
 * Closes a socket, and keeps why. A socket may be closed before its turn comes among many: by an
 * application that ends it when it learns of the end of another.
 */
export function closeWith(ws: Socket, reason: CloseReason, code: number, text: string): void {
  if (!isOpen(ws)) return
  ws.getUserData().session.closeReason = reason
  ws.end(code, text)
}

/**
 * Closes a socket on whose message something failed, here or in the application: other sockets go
 * on.
 */
export function closeFailed(ws: Socket, error: unknown, log: Log): void {
  log.error({ err: error }, 'a message failed')
  closeWith(ws, 'handler_failed', closeCode.internalError, 'internal_error')
}

/** Closes a socket whose session has ended, or whose time to authenticate has. */
export function closeExpired(ws: Socket): void {
  if (ws.getUserData().session.user === '')
    closeWith(ws, 'auth_timeout', closeCode.authTimeout, 'auth_timeout')
  else closeWith(ws, 'session_expired', closeCode.sessionExpired, 'session_expired')
}
