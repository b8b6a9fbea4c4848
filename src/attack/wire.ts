// attack/: attacks on the tickets of any WebSocket server, over the network. It stands beside the
// server and imports nothing from it: its findings must not depend on the code under attack.

import { createHash, randomBytes } from 'node:crypto'
import { connect as connectPlain, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'

/** The response to a request. */
export interface Reply {
  /** 0 if the connection ended without a reply, or none arrived in time. */
  readonly status: number
  readonly head: string
  readonly body: string
}

export interface Opened extends Reply {
  /** The connection. Open if `status` is 101 and `Sec-WebSocket-Accept` is right. */
  readonly socket: Socket
  /** Whether a WebSocket is open now. */
  readonly isOpen: boolean
}

export interface Request {
  readonly method?: 'GET' | 'POST'
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

/** How long a reply may take, in milliseconds. */
export const patienceMs = 5000

/** Opens a connection to the host of a URL. Does not check certificates. */
export function dial(base: URL): Socket {
  const port = Number(base.port || (base.protocol === 'https:' ? 443 : 80))
  const host = base.hostname.replace(/^\[(.*)\]$/, '$1')
  const socket =
    base.protocol === 'https:'
      ? connectTls({ host, port, servername: host, rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] })
      : connectPlain({ host, port })
  return socket.setNoDelay(true).on('error', () => {})
}

/** The bytes of a request, as HTTP/1.1. */
export function requestText(base: URL, { method = 'GET', path, headers = {}, body }: Request): string {
  const fields = {
    Host: base.host,
    ...headers,
    ...(body === undefined ? {} : { 'Content-Length': String(Buffer.byteLength(body)) }),
  }
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`)
  return `${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n${body ?? ''}`
}

/** Sends a request on its own connection. */
export async function ask(base: URL, request: Request): Promise<Reply> {
  const socket = dial(base)
  socket.write(requestText(base, { ...request, headers: { ...request.headers, Connection: 'close' } }))
  const reply = await replyOf(socket)
  socket.destroy()
  return reply
}

/** Sends a WebSocket handshake (RFC 6455 section 4.1). */
export async function handshake(
  base: URL,
  path: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<Opened> {
  const key = randomBytes(16).toString('base64')
  const socket = dial(base)
  const upgrade = {
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': key,
  }
  socket.write(requestText(base, { path, headers: { ...upgrade, ...headers } }))
  const reply = await replyOf(socket)
  return { ...reply, socket, isOpen: reply.status === 101 && reply.head.includes(acceptOf(key)) }
}

const acceptOf = (key: string): string =>
  createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')

/** Reads one reply: the whole body if its length is given, else everything until the end. */
function replyOf(socket: Socket): Promise<Reply> {
  return new Promise(resolve => {
    let bytes = Buffer.alloc(0)
    const finish = (): void => {
      clearTimeout(timer)
      socket.off('data', take).off('close', finish)
      resolve(parse(bytes.toString('latin1')))
    }
    const take = (piece: Buffer): void => {
      bytes = Buffer.concat([bytes, piece])
      if (isWhole(bytes.toString('latin1'))) finish()
    }
    const timer = setTimeout(finish, patienceMs)
    socket.on('data', take).once('close', finish)
  })
}

function isWhole(text: string): boolean {
  const end = text.indexOf('\r\n\r\n')
  if (end < 0) return false
  if (/^HTTP\/1\.1 (101|204|304)/.test(text)) return true
  const length = /^content-length: *(\d+)\r?$/im.exec(text.slice(0, end + 2))?.[1]
  return length !== undefined && text.length >= end + 4 + Number(length)
}

function parse(text: string): Reply {
  const end = text.indexOf('\r\n\r\n')
  const head = end < 0 ? text : text.slice(0, end)
  return {
    status: Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1] ?? 0),
    head,
    body: end < 0 ? '' : text.slice(end + 4),
  }
}

/** A masked text frame (RFC 6455 section 5.2), up to 65,535 bytes. */
export function textFrame(text: string): Buffer {
  const payload = Buffer.from(text)
  const mask = randomBytes(4)
  const head =
    payload.length < 126
      ? Buffer.from([0x81, 0x80 | payload.length])
      : Buffer.from([0x81, 0xfe, payload.length >> 8, payload.length & 255])
  return Buffer.concat([head, mask, payload.map((byte, at) => byte ^ (mask[at % 4] ?? 0))])
}

/** Collects what arrives on an open socket until it matches, ends, or times out. */
export function hear(
  socket: Socket,
  isEnough: (text: string) => boolean,
  limitMs = patienceMs,
): Promise<string> {
  return new Promise(resolve => {
    let text = ''
    const finish = (): void => {
      clearTimeout(timer)
      socket.off('data', take).off('close', finish)
      resolve(text)
    }
    const take = (piece: Buffer): void => {
      text += piece.toString('latin1')
      if (isEnough(text)) finish()
    }
    const timer = setTimeout(finish, limitMs)
    socket.on('data', take).once('close', finish)
  })
}
