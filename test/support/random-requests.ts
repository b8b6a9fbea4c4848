import { adminKey, allowedOrigin } from './fixtures.js'
import { proxyHeader } from './proxy-protocol.js'
import type { Random } from './random.js'

/** What random requests are made of. */
export interface Ingredients {
  /** Returns a valid ticket, possibly one that was returned before. */
  readonly ticket: () => string
  readonly token: string
  /** Whether to attack the admin listener instead of the public one. */
  readonly isAdmin: boolean
}

type Fields = string[]

const credentials = '{"user":"maggie","pwd":"wrong"}'

const request = (line: string, fields: Fields, body: Buffer | string = ''): Buffer =>
  Buffer.concat([
    Buffer.from(
      `${line} HTTP/1.1\r\nHost: gate.test\r\n${fields.map(field => `${field}\r\n`).join('')}\r\n`,
      'latin1',
    ),
    Buffer.from(body),
  ])

/** Fields that can be combined with any others. */
function someFields(random: Random): Fields {
  const fields: Fields = []
  const maybe = (times: number, ...choices: readonly string[]): void => {
    if (random.oneIn(times)) fields.push(random.pick(choices))
  }
  // uWS treats every value of five characters as `close`.
  maybe(
    4,
    'Connection: close',
    'Connection: close',
    'Connection: keep-alive',
    'Connection: abcde',
    'connection: CLOSE',
  )
  maybe(6, `Origin: ${allowedOrigin}`, 'Origin: https://evil.test', 'Origin: null', 'Origin:')
  maybe(8, 'X-Forwarded-For: 192.0.2.7', 'X-Forwarded-For: nonsense', 'X-Forwarded-For: 192.0.2.7, 127.0.0.1')
  maybe(12, 'Expect: 100-continue', 'Expect: 100-continue', 'Expect: magic')
  maybe(16, `X-Filler: ${'a'.repeat(random.below(3000))}`)
  maybe(30, ':x', 'No colon', 'X-Bad: a\0b', 'Host: other.test', 'Content-Length:', 'Transfer-Encoding:')
  maybe(30, `Origin: ${allowedOrigin}`, 'Authorization: Basic eDp4', 'Content-Length: 0', 'Content-Length: 3')
  return fields
}

/** Frames a body for sending, mostly correctly. */
function framed(random: Random, body: Buffer): { fields: Fields; body: Buffer } {
  const length = `Content-Length: ${body.length}`
  switch (random.below(12)) {
    case 0:
      return { fields: [], body }
    case 1:
      return { fields: [`Content-Length: ${random.below(2 * body.length + 2)}`], body }
    case 2:
      return { fields: [length, length], body }
    case 3:
    case 4:
      return { fields: ['Transfer-Encoding: chunked'], body: chunks(random, body) }
    case 5:
      return { fields: [length, 'Transfer-Encoding: chunked'], body }
    default:
      return { fields: [length], body }
  }
}

function chunks(random: Random, body: Buffer): Buffer {
  const parts: Buffer[] = []
  for (let at = 0; at < body.length; ) {
    const piece = body.subarray(at, at + 1 + random.below(body.length))
    at += piece.length
    const size = piece.length.toString(16)
    parts.push(Buffer.from(random.oneIn(10) ? `${size};a=b\r\n` : `${size}\r\n`), piece, Buffer.from('\r\n'))
  }
  parts.push(
    Buffer.from(
      random.pick(['0\r\n\r\n', '0\r\n\r\n', '0\r\n\r\n', '0\r\nX: y\r\n\r\n', '\r\n\r\n', 'zz\r\n', '']),
    ),
  )
  return Buffer.concat(parts)
}

function someBody(random: Random, { ticket }: Ingredients): Buffer {
  switch (random.below(8)) {
    case 0:
      return Buffer.from(credentials)
    case 1:
      return Buffer.from('{"channel":"lobby"}')
    case 2:
      return Buffer.from(JSON.stringify({ ticket: ticket() }))
    case 3:
      return Buffer.from('{"channel":"lobby","data":{"text":"hello"}}')
    case 4:
      return Buffer.from('{"user":"theo"}')
    case 5:
      return random.bytes(random.below(100))
    case 6:
      return Buffer.alloc(random.below(40_000), 0x20)
    default:
      return Buffer.from('hi')
  }
}

const publicPaths = [
  '/healthz',
  '/readyz',
  '/ws_ticket',
  '/ws_ticket/status',
  '/auth',
  '/verify',
  '/nothing',
  '/',
  '/channel/',
]
const adminPaths = ['/metrics', '/connections', '/publish', '/disconnect', '/nothing']
const methods = ['GET', 'GET', 'GET', 'POST', 'POST', 'OPTIONS', 'HEAD', 'PUT', 'DELETE']

const authorization = ({ isAdmin, token }: Ingredients): string =>
  `Authorization: Bearer ${isAdmin ? adminKey : token}`

function anyRequest(random: Random, ingredients: Ingredients): Buffer {
  const { ticket, isAdmin } = ingredients
  const path = random.pick(isAdmin ? adminPaths : publicPaths)
  const query = random.oneIn(4)
    ? random.pick([`?ticket=${ticket()}`, '?channel=lobby', '?ticket=AAAA', '?x'])
    : ''
  const fields = someFields(random)
  if (isAdmin ? !random.oneIn(3) : random.oneIn(2)) fields.push(authorization(ingredients))
  if (path === '/verify' && random.oneIn(2)) fields.push(`X-Original-URI: /x?ticket=${ticket()}`)
  const line = `${random.pick(methods)} ${path}${query}`
  if (random.oneIn(2)) return request(line, fields)
  const { fields: framing, body } = framed(random, someBody(random, ingredients))
  if (random.oneIn(2)) fields.push('Content-Type: application/json')
  return request(line, [...fields, ...framing], body)
}

/** Many small requests whose responses, all written in one turn, fill the buffer of uWS. */
function fill(random: Random, { isAdmin }: Ingredients, count: number): Buffer {
  const path = isAdmin ? '/nothing' : random.pick(['/healthz', '/healthz', '/nothing'])
  return Buffer.from(request(`GET ${path}`, []).toString('latin1').repeat(count), 'latin1')
}

function handshake(random: Random, { ticket }: Ingredients): Buffer {
  const good = !random.oneIn(3)
  const fields = [
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    ...(random.oneIn(3) ? someFields(random) : []),
  ]
  if (random.oneIn(3)) fields.push('Sec-WebSocket-Extensions: permessage-deflate')
  if (random.oneIn(10)) fields.splice(random.below(4), 1)
  const text = good ? ticket() : random.pick(['', 'AAAA', 'eyJ.eyJ.x'])
  const transport = random.below(4)
  if (transport === 0) fields.push(`Sec-WebSocket-Protocol: ticketgate.v1.json, ticket.${text}`)
  const query = transport === 0 || transport === 1 ? '' : `?ticket=${text}`
  const { fields: framing, body } = random.oneIn(12)
    ? framed(random, Buffer.from('hi'))
    : { fields: [], body: Buffer.alloc(0) }
  return request(
    `GET /channel/${random.pick(['', 'lobby', 'a b', 'x'.repeat(200)])}${query}`,
    [...fields, ...framing],
    body,
  )
}

/** A frame of a client (RFC 6455 section 5.2). */
export function frame(random: Random, opcode: number, payload: Buffer, fin = true): Buffer {
  const mask = random.bytes(4)
  const { length } = payload
  const size =
    length < 126 ? Buffer.from([0x80 | length]) : Buffer.from([0x80 | 126, (length >> 8) & 255, length & 255])
  const masked = Buffer.from(payload.map((byte, index) => byte ^ (mask[index % 4] ?? 0)))
  return Buffer.concat([Buffer.from([(fin ? 0x80 : 0) | opcode]), size, mask, masked])
}

function frames(random: Random, { ticket, token }: Ingredients): Buffer {
  const texts = [
    '{"type":"ping","id":1}',
    '{"type":"publish","data":{"text":"hello"},"id":2}',
    '{"type":"subscribe","channel":"other","id":3}',
    '{"type":"unsubscribe","channel":"other"}',
    JSON.stringify({ type: 'auth', payload: token }),
    JSON.stringify({ type: 'renew', ticket: ticket(), id: 4 }),
    '{"type":"nonsense"}',
    'no JSON',
    `{"type":"publish","data":"${'x'.repeat(random.below(30_000))}"}`,
  ]
  const parts: Buffer[] = []
  for (let n = 1 + random.below(random.oneIn(5) ? 300 : 6); n > 0; n--) {
    const text = Buffer.from(random.pick(texts))
    const kind = random.below(14)
    if (kind === 0) parts.push(frame(random, 9, random.bytes(random.below(125))))
    else if (kind === 1)
      parts.push(frame(random, 8, random.oneIn(2) ? Buffer.from([3, 232]) : Buffer.alloc(0)))
    else if (kind === 2)
      parts.push(frame(random, 1, text.subarray(0, 5), false), frame(random, 0, text.subarray(5)))
    else if (kind === 3) parts.push(random.bytes(1 + random.below(40)))
    else if (kind === 4) parts.push(frame(random, 2, text))
    else if (kind === 5) parts.push(frame(random, 0, Buffer.alloc(0), false))
    else parts.push(frame(random, 1, text))
  }
  return Buffer.concat(parts)
}

const garbage = (random: Random): Buffer =>
  random.pick([
    () => random.bytes(1 + random.below(200)),
    () => Buffer.from(`GET /${'A'.repeat(random.below(6000))}`),
    () => Buffer.from('GET /healthz HTTP/1.0\r\nHost: gate.test\r\n\r\n'),
    () => Buffer.from('BROKEN\r\n\r\n'),
    () => Buffer.from('\r\n\r\n'),
    () => Buffer.from('GET /healthz HTTP/1.1\r\n\r\n'),
    () => proxyHeader('192.0.2.9'),
  ])()

/** A valid handshake, followed by frames. */
function conversation(random: Random, ingredients: Ingredients): Buffer[] {
  const fields = [
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
  ]
  const query = random.oneIn(8) ? '' : `?ticket=${ingredients.ticket()}`
  if (random.oneIn(3)) fields.push('Sec-WebSocket-Extensions: permessage-deflate')
  const parts = [request(`GET /channel/lobby${query}`, fields)]
  for (let n = random.below(6); n > 0; n--) parts.push(frames(random, ingredients))
  return parts
}

/**
 * Responses that fill the buffer of uWS, so that the next one is written at once; then well-framed
 * requests, half of which end their connection.
 */
function burst(random: Random, ingredients: Ingredients): Buffer[] {
  const parts = [fill(random, ingredients, 60 + random.below(150))]
  for (let n = 1 + random.below(6); n > 0; n--) {
    const path = random.pick(ingredients.isAdmin ? adminPaths : publicPaths)
    const fields = random.oneIn(2) ? ['Connection: close'] : []
    if (ingredients.isAdmin || random.oneIn(2)) fields.push(authorization(ingredients))
    const body = random.oneIn(3) ? Buffer.alloc(0) : someBody(random, ingredients)
    if (body.length > 0) fields.push(`Content-Length: ${body.length}`)
    parts.push(request(`${random.pick(methods)} ${path}`, fields, body))
  }
  parts.push(random.oneIn(2) ? garbage(random) : handshake(random, ingredients))
  return [Buffer.concat(parts)]
}

/** One or more things that a client may send, one after another. */
export function randomStream(random: Random, ingredients: Ingredients): Buffer[] {
  const parts: Buffer[] = []
  if (random.oneIn(20)) parts.push(proxyHeader('192.0.2.9'))
  if (random.oneIn(3)) return [...parts, ...burst(random, ingredients)]
  if (random.oneIn(3) && !ingredients.isAdmin) return [...parts, ...conversation(random, ingredients)]
  for (let n = 1 + random.below(random.oneIn(4) ? 30 : 5); n > 0; n--) {
    const kind = random.below(20)
    if (kind < 4) parts.push(fill(random, ingredients, 1 + random.below(60)))
    else if (kind < 6) parts.push(garbage(random))
    else if (kind < 10 && !ingredients.isAdmin) {
      parts.push(handshake(random, ingredients))
      if (random.oneIn(2)) parts.push(frames(random, ingredients))
    } else parts.push(anyRequest(random, ingredients))
  }
  const last = parts.pop() ?? Buffer.alloc(0)
  return [...parts, random.oneIn(6) ? last.subarray(0, random.below(last.length)) : last]
}
