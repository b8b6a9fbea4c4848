import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'

/**
 * Returns a free port below the range from which the kernel takes ports for outgoing connections
 * (32768 and up), so that none of those takes it. For programs that cannot choose one themselves,
 * and for a server that will be restarted on the same port. Port 0 would not do for that: uWS then
 * omits SO_REUSEADDR, and connections left by the first process keep the second from listening.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(20_000, 32_000)
    const probe = createServer()
    try {
      await once(probe.listen(port, '127.0.0.1'), 'listening')
    } catch {
      continue
    }
    await once(probe.close(), 'close')
    return port
  }
}
