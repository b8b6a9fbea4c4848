import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import { type ServerOptions, type WebSocket, WebSocketServer } from 'ws'
import { Queue } from './queue.js'

export interface Frame {
  readonly data: Buffer
  readonly isBinary: boolean
}

export interface Ended {
  readonly code: number
  readonly reason: string
}

/** A socket that has reached an upstream server, with what it receives. */
export interface Arrival {
  readonly request: IncomingMessage
  readonly socket: WebSocket
  readonly frames: Queue<Frame>
  readonly closed: Promise<Ended>
}

export interface Upstream {
  readonly port: number
  /** The next socket that reaches it. */
  next(): Promise<Arrival>
  /** The next one at a given path, whatever arrives at others. */
  nextAt(path: string): Promise<Arrival>
  /** How many sockets are open. */
  readonly size: number
  /** Resets all connections and stops listening. */
  kill(): Promise<void>
}

/** Starts a plain `ws` server without any notion of tickets. */
export const startUpstream = async (
  t: Test,
  { port = 0, ...options }: ServerOptions & { readonly port?: number } = {},
): Promise<Upstream> => {
  const http = createServer()
  const server = new WebSocketServer({ perMessageDeflate: false, ...options, server: http })
  const arrivals = new Queue<Arrival>()
  const byPath = new Map<string | undefined, Queue<Arrival>>()
  const queueAt = (path: string | undefined): Queue<Arrival> => {
    const queue = byPath.get(path) ?? new Queue<Arrival>()
    byPath.set(path, queue)
    return queue
  }
  server.on('connection', (socket, request) => {
    const frames = new Queue<Frame>()
    socket.on('message', (data: Buffer, isBinary) => frames.push({ data, isBinary }))
    socket.on('error', () => {})
    const closed = new Promise<Ended>(resolve =>
      socket.once('close', (code, reason) => resolve({ code, reason: String(reason) })),
    )
    const arrival = { request, socket, frames, closed }
    arrivals.push(arrival)
    queueAt(request.url).push(arrival)
  })
  await once(http.listen(port, '127.0.0.1'), 'listening')
  const kill = async (): Promise<void> => {
    for (const socket of server.clients) socket.terminate()
    http.closeAllConnections()
    if (http.listening) await once(http.close(), 'close')
  }
  t.teardown(kill)
  return {
    port: (http.address() as AddressInfo).port,
    next: () => arrivals.next(),
    nextAt: path => queueAt(path).next(),
    get size() {
      return server.clients.size
    },
    kill,
  }
}
