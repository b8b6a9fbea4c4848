import { closeCode } from '../protocol.js'
import type { Log } from '../telemetry/log.js'
import type { CloseReason } from '../telemetry/metrics.js'
import type { Socket } from './session.js'

/**
 * Whether a socket is open and not being closed. Except for its user data, uWS throws when a closed
 * one is used.
 */
export const isOpen = (ws: Socket): boolean => ws.getUserData().session.closeReason === undefined

/**
 * Closes a socket, and records why. Does nothing if it is closed already: an application may have
 * closed it when it learned of the end of another.
 */
export function closeWith(ws: Socket, reason: CloseReason, code: number, text: string): void {
  if (!isOpen(ws)) return
  ws.getUserData().session.closeReason = reason
  ws.end(code, text)
}

/**
 * Closes a socket after an error in handling its message, here or in the application. Other sockets
 * continue.
 */
export function closeFailed(ws: Socket, error: unknown, log: Log): void {
  log.error({ err: error }, 'a message failed')
  closeWith(ws, 'handler_failed', closeCode.internalError, 'internal_error')
}

/** Closes a socket whose session, or time to authenticate, has ended. */
export function closeExpired(ws: Socket): void {
  if (ws.getUserData().session.user === '')
    closeWith(ws, 'auth_timeout', closeCode.authTimeout, 'auth_timeout')
  else closeWith(ws, 'session_expired', closeCode.sessionExpired, 'session_expired')
}
