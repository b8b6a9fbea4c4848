import type { Socket } from 'node:net'

/**
 * Resets a connection. One that is already ending is only destroyed: a reset would leave its
 * shutdown request without a result, and at exit Node 20 would busy-wait for that forever
 * (Environment::CleanupHandles).
 */
export function reset(socket: Socket): void {
  if (socket.writableEnded) socket.destroy()
  else socket.resetAndDestroy()
}
