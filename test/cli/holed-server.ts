import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { appendFileSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { jwtVerify, SignJWT } from 'jose'
import type { Test } from 'tap'
import { WebSocketServer } from 'ws'

/** The mistake of a server. */
export type Hole =
  | 'none'
  | 'keeps tickets'
  | 'reads, then deletes'
  | 'compares only the beginning'
  | 'accepts tokens as tickets'
  | 'accepts any token'
  | 'accepts any origin'
  | 'opens before the check'
  | 'repeats the ticket'
  | 'logs the URL'
  | 'ignores the lifetime'

export const origin = 'https://app.example'
const key = randomBytes(32)

export interface HoledServerOptions {
  readonly redisUrl: string
  readonly hole: Hole
  readonly lifetimeSeconds: number
  /** Path of its log. */
  readonly log: string
}

/** The common design, a ticket in Redis that is redeemed with GETDEL, with one hole or none. */
class HoledGate {
  readonly sockets = new WebSocketServer({ noServer: true })
  readonly #redis: Redis
  readonly #hole: Hole
  readonly #lifetimeSeconds: number
  readonly #log: string

  constructor(redis: Redis, { hole, lifetimeSeconds, log }: HoledServerOptions) {
    this.#redis = redis
    this.#hole = hole
    this.#lifetimeSeconds = lifetimeSeconds
    this.#log = log
    writeFileSync(log, '')
  }

  /** Issues tokens and tickets. */
  async reply(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.url === '/auth') {
      const token = await new SignJWT({ sub: 'maggie' })
        .setProtectedHeader({ alg: 'HS256' })
        .setIssuedAt()
        .setExpirationTime('5m')
        .sign(key)
      return void response.end(JSON.stringify({ token }))
    }
    const bearer = request.headers.authorization?.slice(7) ?? ''
    if (!(await this.#isToken(bearer))) return void response.writeHead(401).end()
    const ticket = randomBytes(24).toString('base64url')
    const expiry = this.#hole === 'ignores the lifetime' ? 600 : this.#lifetimeSeconds
    const name = this.#hole === 'compares only the beginning' ? ticket.slice(0, 10) : ticket
    await this.#redis.set(name, '1', 'EX', expiry)
    response.end(JSON.stringify({ ticket }))
  }

  /** Accepts or refuses a handshake. */
  async admit(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const ticket = new URL(request.url ?? '/', 'http://x').searchParams.get('ticket') ?? ''
    if (this.#hole === 'logs the URL') appendFileSync(this.#log, `${request.url}\n`)
    const accept = (): void => this.sockets.handleUpgrade(request, socket, head, ws => ws.send('welcome'))
    if (this.#hole === 'opens before the check') accept()
    const isForeign = request.headers.origin !== undefined && request.headers.origin !== origin
    if ((isForeign && this.#hole !== 'accepts any origin') || !(await this.#redeem(ticket))) {
      const body = this.#hole === 'repeats the ticket' ? `no such ticket: ${ticket}` : ''
      return void socket.end(`HTTP/1.1 401 Unauthorized\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
    }
    if (this.#hole !== 'opens before the check') accept()
  }

  async #isToken(token: string): Promise<boolean> {
    if (this.#hole === 'accepts any token') return token.split('.').length === 3
    return jwtVerify(token, key, { algorithms: ['HS256'] }).then(
      () => true,
      () => false,
    )
  }

  async #redeem(ticket: string): Promise<boolean> {
    const redis = this.#redis
    if (this.#hole === 'accepts tokens as tickets' && (await this.#isToken(ticket))) return true
    if (this.#hole === 'keeps tickets') return (await redis.get(ticket)) !== null
    if (this.#hole === 'compares only the beginning')
      return (await redis.getdel(ticket.slice(0, 10))) !== null
    if (this.#hole !== 'reads, then deletes') return (await redis.getdel(ticket)) !== null
    const value = await redis.get(ticket)
    await delay(20)
    await redis.del(ticket)
    return value !== null
  }
}

/** Returns its URL. */
export async function startHoledServer(t: Test, options: HoledServerOptions): Promise<string> {
  const redis = new Redis(options.redisUrl)
  const gate = new HoledGate(redis, options)
  const server = createServer((request, response) => void gate.reply(request, response))
  server.on('upgrade', (request, socket, head) => {
    socket.on('error', () => {})
    void gate.admit(request, socket, head)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    redis.disconnect()
    for (const each of gate.sockets.clients) each.terminate()
    server.close()
    server.closeAllConnections()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}
