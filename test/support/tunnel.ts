import type { Test } from 'tap'
import WebSocket, { type ClientOptions } from 'ws'
import { Queue } from './queue.js'
import { type Environment, type ServerOptions, startServer, type TestServer } from './server.js'
import { socketUrl } from './socket-client.js'
import { mint } from './tokens.js'
import type { Ended, Frame } from './upstream.js'

/** A socket through a tunnel, and what it hears. */
export interface Through {
  readonly socket: WebSocket
  readonly frames: Queue<Frame>
  readonly closed: Promise<Ended>
  /** Frames as text and type, as many as asked for. */
  hears(count: number): Promise<string[]>
}

export interface ThroughOptions extends ClientOptions {
  readonly protocols?: readonly string[]
  readonly user?: string
  readonly ticket?: string
}

/** A gate with tunnels, as `TICKETGATE_TUNNELS` names them. */
export const startTunnels = (
  t: Test,
  tunnels: string,
  env: Environment = {},
  options: ServerOptions = {},
): Promise<TestServer> => startServer(t, { ...options, env: { TICKETGATE_TUNNELS: tunnels, ...env } })

/** Opens a socket through a tunnel, with a ticket of its own. */
export async function openThrough(
  { url }: Pick<TestServer, 'url'>,
  path: string,
  { protocols = [], user = 'maggie', ticket, ...options }: ThroughOptions = {},
): Promise<Through> {
  const separator = path.includes('?') ? '&' : '?'
  const spent = ticket ?? (await mint(url, user))
  const socket = new WebSocket(socketUrl(url, `${path}${separator}ticket=${spent}`), [...protocols], {
    perMessageDeflate: false,
    ...options,
  })
  const through = listenTo(socket)
  await new Promise<void>((resolve, reject) => {
    socket.once('open', resolve)
    socket.once('error', reject)
  })
  return through
}

/** What a socket hears, from the beginning. */
export function listenTo(socket: WebSocket): Through {
  const frames = new Queue<Frame>()
  socket.on('message', (data: Buffer, isBinary) => frames.push({ data, isBinary }))
  socket.on('error', () => {})
  const closed = new Promise<Ended>(resolve =>
    socket.once('close', (code, reason) => resolve({ code, reason: String(reason) })),
  )
  return {
    socket,
    frames,
    closed,
    async hears(count) {
      const heard: string[] = []
      while (heard.length < count) heard.push(textOf(await frames.next()))
      return heard
    },
  }
}

/** A frame as a test names it. */
export const textOf = ({ data, isBinary }: Frame): string =>
  isBinary ? `binary ${data.toString('hex')}` : `text ${data}`
