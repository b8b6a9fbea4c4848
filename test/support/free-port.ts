import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'

/**
 * A port that is free, and that no connection takes meanwhile: the kernel gives those the ports
 * from 32768 on. For programs that can not pick one themselves, and for a server that is to be
 * started again on it. One that it picked itself (port 0) will not do: uWS then leaves out
 * SO_REUSEADDR, and what is left of the connections of its first life keeps the second from
 * listening.
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
