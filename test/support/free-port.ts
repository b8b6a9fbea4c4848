import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'

/**
 * Returns a free port that no outgoing connection takes in the meantime: the kernel uses ports from
 * 32768 on for those. For programs that cannot choose one themselves, and for a server that will be
 * restarted on it. A port that the server chose itself (port 0) does not work: uWS then omits
 * SO_REUSEADDR, and remaining connections of the first process keep the second from listening.
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
