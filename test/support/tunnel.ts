import type { Test } from 'tap'
import WebSocket, { type ClientOptions } from 'ws'
import { Queue } from './queue.js'
import { type Environment, type ServerOptions, startServer, type TestServer } from './server.js'
import { socketUrl } from './socket-client.js'
import { mint } from './tokens.js'
import type { Ended, Frame } from './upstream.js'

/** A socket through a tunnel, and what it receives. */
export interface Through {
  readonly socket: WebSocket
  readonly frames: Queue<Frame>
  readonly closed: Promise<Ended>
  /** The next `count` frames, as text and type. */
  hears(count: number): Promise<string[]>
}

export interface ThroughOptions extends ClientOptions {
  readonly protocols?: readonly string[]
  readonly user?: string
  readonly ticket?: string
}

/** Starts a gate with tunnels, as in `TICKETGATE_TUNNELS`. */
export const startTunnels = (
  t: Test,
  tunnels: string,
  env: Environment = {},
  options: ServerOptions = {},
): Promise<TestServer> => startServer(t, { ...options, env: { TICKETGATE_TUNNELS: tunnels, ...env } })

/** Opens a socket through a tunnel, with a fresh ticket. */
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

/** Records what a socket receives, from the beginning. */
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

/** A short form of a frame. */
export const textOf = ({ data, isBinary }: Frame): string =>
  isBinary ? `binary ${data.toString('hex')}` : `text ${data}`
