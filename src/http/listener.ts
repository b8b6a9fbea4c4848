import {
  LIBUS_LISTEN_EXCLUSIVE_PORT,
  type TemplatedApp,
  type us_listen_socket,
  us_listen_socket_close,
  us_socket_local_port,
} from 'uWebSockets.js'
import { createConnection, createServer } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { unixPathOf } from '../config/unix-path.js'
import { errnoOf } from '../disk/errno.js'
import { StartupError } from '../errors.js'
import type { Log } from '../telemetry/log.js'
import { type Listener, listenUnix } from './unix-listener.js'

export type { Listener }

// uWS.js takes these four arguments; its types know only three.
declare module 'uWebSockets.js' {
  interface TemplatedApp {
    listen(
      host: RecognizedString,
      port: number,
      options: number,
      callback: (listenSocket: us_listen_socket | false) => void,
    ): TemplatedApp
  }
  const LIBUS_LISTEN_EXCLUSIVE_PORT: number
}

/** Whether other sockets may listen on the same port, as those of the threads of one process do. */
export type PortSharing = 'exclusive' | 'threads'

export interface ListenOptions {
  readonly host: string
  readonly port: number
  readonly sharing: PortSharing
  /** The variable of the port, for messages. */
  readonly variable: string
  readonly log: Log
}

// The kernel keeps closed connections for about a minute (tcp(7): FIN-WAIT-2, TIME-WAIT). If it had
// chosen the port (port 0), nobody can listen on it during that time, because uWS did not set
// SO_REUSEADDR.
const releaseMs = 125_000
const retryMs = 200

/**
 * Listens. `exclusive` = alone: otherwise a second process could share the port unnoticed
 * (SO_REUSEPORT), each with its own memory of spent tickets. Waits for a port that nobody listens
 * on but that the kernel has not released yet, since an earlier process was killed or stopped.
 * @throws StartupError `port_unavailable`
 */
export async function listen(
  app: TemplatedApp,
  { host, port, sharing, variable, log }: ListenOptions,
): Promise<Listener> {
  const path = unixPathOf(host)
  if (path !== undefined) return listenUnix(app, path, variable.replace('_PORT', '_HOST'))
  const attempt = (): Promise<us_listen_socket | false> =>
    new Promise(resolve => {
      app.listen(host, port, sharing === 'exclusive' ? LIBUS_LISTEN_EXCLUSIVE_PORT : 0, resolve)
    })
  let socket = await attempt()
  const deadlineMs = performance.now() + releaseMs
  if (socket === false && (await isLeftOver(host, port))) {
    log.warn({ port }, 'the kernel has not released the port yet since it was used last; waiting for it')
    while (socket === false && performance.now() < deadlineMs && (await isLeftOver(host, port))) {
      await delay(retryMs)
      socket = await attempt()
    }
  }
  if (socket === false) throw portUnavailable({ host, port, variable }, await portFault(host, port))
  let open: us_listen_socket | false = socket
  return {
    port: us_socket_local_port(socket),
    close() {
      // uWS frees it. A second close would end the process.
      if (open !== false) us_listen_socket_close(open)
      open = false
    },
  }
}

/** Why nobody can listen on a port, as the system says it. Undefined if one can. */
export async function portFault(host: string, port: number): Promise<string | undefined> {
  const probe = createServer()
  const code = await new Promise<string | undefined>(done => {
    probe.once('error', error => done(errnoOf(error))).listen(port, host, () => done(undefined))
  })
  probe.close()
  return code
}

const portAdvice: Readonly<Record<string, string>> = {
  EACCES: 'ports below 1024 need privileges',
  EADDRNOTAVAIL: 'it is not an address of this machine',
}

/** The error for a port, with what {@link portFault} has found. */
export const portUnavailable = (
  { host, port, variable }: Pick<ListenOptions, 'host' | 'port' | 'variable'>,
  code = 'EADDRINUSE',
): StartupError =>
  new StartupError(
    'port_unavailable',
    `cannot listen on ${host} port ${port} (${code}): ${portAdvice[code] ?? 'stop what uses it'}, or set ${variable} or ${variable.replace('_PORT', '_HOST')}`,
  )

/** Whether a port is in use although nobody listens on it. */
async function isLeftOver(host: string, port: number): Promise<boolean> {
  const probe = createServer()
  const code = await new Promise<string | undefined>(resolve => {
    probe.once('error', error => resolve(errnoOf(error))).listen(port, host, () => resolve(undefined))
  })
  probe.close()
  if (code !== 'EADDRINUSE') return code === undefined
  // A listener on an IPv4 address blocks `::`, but cannot be reached there.
  const hosts = host === '::' ? ['::1', '127.0.0.1'] : [host]
  const refusals = await Promise.all(hosts.map(each => refusalOf(port, each)))
  return refusals.every(refusal => refusal === 'ECONNREFUSED')
}

/** Returns why a connection to a port fails. Undefined if it succeeds. */
async function refusalOf(port: number, host: string): Promise<string | undefined> {
  const client = createConnection(port, host)
  const refusal = await new Promise<string | undefined>(resolve => {
    client.once('error', error => resolve(errnoOf(error))).once('connect', () => resolve(undefined))
  })
  client.destroy()
  return refusal
}
