/**
 * A plain `ws` server behind single-use tickets: `PORT=8080 node --import=tsx
 * test/library/ws-server.ts`.
 */
import { createServer, type IncomingMessage } from 'node:http'
import { WebSocketServer } from 'ws'
import {
  createBootKey,
  createIssuer,
  createVerifier,
  TicketError,
  type TicketHolder,
} from '../../src/library/index.js'

const key = createBootKey()
const issuer = createIssuer({ key })
const verifier = createVerifier({ keys: [key] })
const holders = new WeakMap<IncomingMessage, TicketHolder>()

const server = createServer((_, response) => {
  // Check a cookie or a token here to know the user. This example accepts everybody.
  const issued = issuer.issue({ user: 'maggie', expires: Math.floor(Date.now() / 1000) + 3600 })
  response.setHeader('cache-control', 'no-store').end(JSON.stringify(issued))
})

const sockets = new WebSocketServer({
  server,
  // ws calls this after all its own checks, so a handshake that it refuses does not spend a ticket.
  verifyClient({ req, origin }, answer) {
    try {
      const ticket = new URLSearchParams(req.url?.split('?')[1]).get('ticket') ?? ''
      holders.set(req, verifier.verify(ticket, { origin, address: req.socket.remoteAddress }))
      answer(true)
    } catch (error) {
      if (!(error instanceof TicketError)) throw error
      answer(false, error.status, JSON.stringify(error), error.headers)
    }
  },
})

sockets.on('connection', (socket, request) => {
  const { user, expires = 0 } = holders.get(request) ?? {}
  const end = setTimeout(() => socket.close(4401, 'session_expired'), expires * 1000 - Date.now())
  socket.on('close', () => clearTimeout(end))
  socket.on('error', console.error)
  socket.send(JSON.stringify({ welcome: user }))
})

server.listen(Number(process.env.PORT ?? 8080), '127.0.0.1', () => console.log(server.address()))
