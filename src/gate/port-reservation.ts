import { App } from 'uWebSockets.js'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { StartupError } from '../errors.js'
import { listen } from '../http/listener.js'
import type { Log } from '../telemetry/log.js'

/** A port that no other process gets while the threads of this one start. */
export interface ReservedPort {
  readonly port: number
  close(): void
}

/**
 * Makes sure that the port belongs to this process alone, though its threads will share it
 * (SO_REUSEPORT). A listener of our own, alone on the port, proves that it is free; it must go before
 * the threads can listen. A name in the abstract namespace of Unix sockets, which Linux keeps per
 * network namespace as it does ports, closes the gap: of two processes that start at once, one does
 * not get it.
 * @throws StartupError `port_unavailable`
 */
export async function reservePort(host: string, asked: number, log: Log): Promise<ReservedPort> {
  const probe = App()
  try {
    const listener = await listen(probe, {
      host,
      port: asked,
      sharing: 'exclusive',
      variable: 'TICKETGATE_PORT',
      log,
    })
    try {
      return await reserveName(host, listener.port)
    } finally {
      listener.close()
    }
  } finally {
    probe.close()
  }
}

async function reserveName(host: string, port: number): Promise<ReservedPort> {
  if (process.platform !== 'linux') return { port, close() {} }
  const name = createServer().listen(`\0ticketgate-port-${port}`)
  await once(name, 'listening').catch(() => {
    throw new StartupError(
      'port_unavailable',
      `cannot listen on ${host} port ${port}: another ticketgate is starting on it. Stop it, or set TICKETGATE_PORT.`,
    )
  })
  return { port, close: () => name.close() }
}
