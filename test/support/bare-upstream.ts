import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net'
import type { Test } from 'tap'
import { openThrough, startTunnels } from './tunnel.js'

/** What a server responds, given the right `Sec-WebSocket-Accept`. */
export type Response = (accept: string, socket: Socket) => string

/** A 101, with more header fields. */
export const switching = (accept: string, more = ''): string =>
  `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n${more}\r\n`

/** An upstream server that writes what a test tells it to, and a gate in front of it. */
export const startBareUpstream = async (t: Test, settings = '') => {
  let respond: Response = accept => switching(accept)
  const sockets = new Set<Socket>()
  const server = createTcpServer({ noDelay: true }, socket => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.once('data', data => {
      const key = /sec-websocket-key: (.*)\r\n/i.exec(String(data))?.[1]
      const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
      const text = respond(accept, socket)
      if (text !== '') socket.write(text, 'latin1')
    })
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const gate = await startTunnels(
    t,
    `/a/*=ws://127.0.0.1:${(server.address() as AddressInfo).port}${settings}`,
  )
  return {
    gate,
    open(response: Response) {
      respond = response
      return openThrough(gate, '/a/b')
    },
  }
}
