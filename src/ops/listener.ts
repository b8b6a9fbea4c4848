import {
  LIBUS_LISTEN_EXCLUSIVE_PORT,
  type TemplatedApp,
  type us_listen_socket,
  us_listen_socket_close,
  us_socket_local_port,
} from 'uWebSockets.js'
import { StartupError } from '../errors.js'

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

export interface Listener {
  readonly port: number
  /** Takes no more connections. */
  close(): void
}

/** Whether other sockets may listen on the same port: those of the threads of one process may. */
export type PortSharing = 'exclusive' | 'threads'

export interface ListenOptions {
  readonly host: string
  readonly port: number
  readonly sharing: PortSharing
  /** Names the port to the operator. */
  readonly variable: string
}

/**
 * Listens; `exclusive` = alone: without the option, a second process could share the port unnoticed (SO_REUSEPORT), each of the two
 * with its own memory of spent tickets.
 * @throws StartupError `port_unavailable`
 */
export async function listen(
  app: TemplatedApp,
  { host, port, sharing, variable }: ListenOptions,
): Promise<Listener> {
  const socket = await new Promise<us_listen_socket | false>(resolve => {
    app.listen(host, port, sharing === 'exclusive' ? LIBUS_LISTEN_EXCLUSIVE_PORT : 0, resolve)
  })
  if (socket === false)
    throw new StartupError(
      'port_unavailable',
      `cannot listen on ${host} port ${port}: it is in use, or not ours to take. Stop what uses it, or set ${variable}.`,
    )
  return { port: us_socket_local_port(socket), close: () => us_listen_socket_close(socket) }
}
