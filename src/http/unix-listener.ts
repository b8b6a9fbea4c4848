import { type TemplatedApp, type us_listen_socket, us_listen_socket_close } from 'uWebSockets.js'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, lstatSync, rmSync } from 'node:fs'
import { createConnection, createServer, type Server } from 'node:net'
import { dirname } from 'node:path'
import { errnoOf } from '../disk/errno.js'
import { StartupError } from '../errors.js'

/** Accepts connections. */
export interface Listener {
  /** 0 for a Unix socket. */
  readonly port: number
  /** Stops accepting connections. */
  close(): void
}

/** Members of the process's group may connect, as a proxy must. The directory may restrict that. */
const socketMode = 0o660

/**
 * Listens on a Unix domain socket. uWS would replace whatever is at the path, so that is checked
 * first: a socket left behind by an ended process is removed, anything else is refused.
 * @param variable the variable of the path, for messages
 * @throws StartupError `port_unavailable`
 */
export async function listenUnix(app: TemplatedApp, path: string, variable: string): Promise<Listener> {
  const fail = (reason: string): StartupError =>
    new StartupError('port_unavailable', `cannot listen on ${path}: ${reason}. Set ${variable}.`)
  const name = await holdName(path)
  if (name === undefined) throw fail('another ticketgate listens there')
  const fault = await unixSocketFault(path)
  const socket = fault === undefined ? await attempt(app, path) : false
  if (socket === false) {
    name.close()
    throw fail(fault ?? `a socket cannot be made in ${dirname(path)}`)
  }
  chmodSync(path, socketMode)
  let open: us_listen_socket | undefined = socket
  return {
    port: 0,
    close() {
      // uWS frees it. A second close would end the process.
      if (open === undefined) return
      us_listen_socket_close(open)
      open = undefined
      rmSync(path, { force: true })
      name.close()
    },
  }
}

const attempt = (app: TemplatedApp, path: string): Promise<us_listen_socket | false> => {
  rmSync(path, { force: true })
  return new Promise(resolve => app.listen_unix(resolve, path))
}

/**
 * Returns why a path cannot be listened on. Undefined if it is free, or has a socket that nobody
 * listens on.
 */
export async function unixSocketFault(path: string): Promise<string | undefined> {
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (found === undefined) return undefined
  if (!found.isSocket()) return 'something else is there, and no socket'
  const client = createConnection(path)
  const refusal = await new Promise<string | undefined>(resolve => {
    client.once('error', error => resolve(errnoOf(error))).once('connect', () => resolve(undefined))
  })
  client.destroy()
  return refusal === 'ECONNREFUSED' ? undefined : 'another process listens there'
}

/**
 * Of two processes that start at once, one gets the name. Otherwise each would take the other's
 * socket for one left behind. Names in the abstract namespace exist on Linux only, and end with
 * their process.
 */
async function holdName(path: string): Promise<Pick<Server, 'close'> | undefined> {
  if (process.platform !== 'linux') return { close: () => undefined as never }
  const digest = createHash('sha256').update(path).digest('hex')
  const name = createServer().listen(`\0ticketgate-socket-${digest.slice(0, 32)}`)
  try {
    await once(name, 'listening')
    return name.unref()
  } catch {
    return undefined
  }
}
