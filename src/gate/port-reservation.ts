import { App } from 'uWebSockets.js'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { StartupError } from '../errors.js'
import { listen } from '../http/listener.js'
import type { Log } from '../telemetry/log.js'

/** A port reserved for this process while its threads start. */
export interface ReservedPort {
  readonly port: number
  close(): void
}

/**
 * Reserves the port for this process, though its threads will share it (SO_REUSEPORT). An exclusive
 * listener proves that the port is free, but must close before the threads can listen. A name in
 * the abstract namespace of Unix sockets, which Linux keeps per network namespace as it does ports,
 * covers that gap: of two processes that start at once, only one gets it.
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
