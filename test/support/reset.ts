import type { Socket } from 'node:net'

/**
 * Resets a connection. One that is ending already is only destroyed: a reset would leave that request unanswered, and
 * at its own end Node 20 waits for it at full speed, for ever (Environment::CleanupHandles).
 */
export function reset(socket: Socket): void {
  if (socket.writableEnded) socket.destroy()
  else socket.resetAndDestroy()
}
