import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { jwtVerify, SignJWT } from 'jose'
import type { Test } from 'tap'
import { WebSocketServer } from 'ws'

/** What a careless server may do. */
export type Hole =
  | 'none'
  | 'keeps tickets'
  | 'looks, then deletes'
  | 'compares the beginning'
  | 'takes tokens for tickets'
  | 'believes any token'
  | 'takes any origin'
  | 'opens first'
  | 'repeats the ticket'
  | 'logs the URL'
  | 'forgets the lifetime'

export const origin = 'https://app.example'
const key = randomBytes(32)

export interface HoledServer {
  readonly url: string
  log: string
}

/** The common design, a ticket in Redis that is redeemed with GETDEL, with one hole or none. */
export async function startHoledServer(
  t: Test,
  redisUrl: string,
  hole: Hole,
  lifetimeSeconds: number,
): Promise<HoledServer> {
  const redis = new Redis(redisUrl)
  const sockets = new WebSocketServer({ noServer: true })
  const result = { url: '', log: '' }

  async function isToken(token: string): Promise<boolean> {
    if (hole === 'believes any token') return token.split('.').length === 3
    return jwtVerify(token, key, { algorithms: ['HS256'] }).then(
      () => true,
      () => false,
    )
  }

  async function reply(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.url === '/auth') {
      const token = await new SignJWT({ sub: 'maggie' })
        .setProtectedHeader({ alg: 'HS256' })
        .setIssuedAt()
        .setExpirationTime('5m')
        .sign(key)
      return void response.end(JSON.stringify({ token }))
    }
    const bearer = request.headers.authorization?.slice(7) ?? ''
    if (!(await isToken(bearer))) return void response.writeHead(401).end()
    const ticket = randomBytes(24).toString('base64url')
    const expiry = hole === 'forgets the lifetime' ? 600 : lifetimeSeconds
    await redis.set(hole === 'compares the beginning' ? ticket.slice(0, 10) : ticket, '1', 'EX', expiry)
    response.end(JSON.stringify({ ticket }))
  }

  async function redeem(ticket: string): Promise<boolean> {
    if (hole === 'takes tokens for tickets' && (await isToken(ticket))) return true
    if (hole === 'keeps tickets') return (await redis.get(ticket)) !== null
    if (hole === 'compares the beginning') return (await redis.getdel(ticket.slice(0, 10))) !== null
    if (hole !== 'looks, then deletes') return (await redis.getdel(ticket)) !== null
    const value = await redis.get(ticket)
    await delay(20)
    await redis.del(ticket)
    return value !== null
  }

  async function admit(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const ticket = new URL(request.url ?? '/', 'http://x').searchParams.get('ticket') ?? ''
    if (hole === 'logs the URL') result.log += `${request.url}\n`
    const accept = (): void => sockets.handleUpgrade(request, socket, head, ws => ws.send('welcome'))
    if (hole === 'opens first') accept()
    const isForeign = request.headers.origin !== undefined && request.headers.origin !== origin
    if ((isForeign && hole !== 'takes any origin') || !(await redeem(ticket))) {
      const body = hole === 'repeats the ticket' ? `no such ticket: ${ticket}` : ''
      return void socket.end(`HTTP/1.1 401 Unauthorized\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
    }
    if (hole !== 'opens first') accept()
  }

  const server = createServer((request, response) => void reply(request, response))
  server.on(
    'upgrade',
    (request, socket, head) =>
      void admit(
        request,
        socket.on('error', () => {}),
        head,
      ),
  )
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    redis.disconnect()
    for (const each of sockets.clients) each.terminate()
    server.close()
    server.closeAllConnections()
  })
  result.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return result
}
