import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import t from 'tap'
import { metric, request } from '../support/http.js'
import { openThrough, startTunnels } from '../support/tunnel.js'

/** Answers a handshake, given the socket and the correct Sec-WebSocket-Accept. */
type Answer = (socket: Socket, accept: string) => void

const answers = new Map<string, Answer>()
const open = new Set<Socket>()
let unexpected = 0

const upstream = createServer(socket => {
  open.add(socket)
  socket.on('close', () => open.delete(socket))
  socket.on('error', () => {})
  let head = ''
  const read = (bytes: Buffer): void => {
    head += bytes.toString('latin1')
    if (!head.includes('\r\n\r\n')) return
    socket.off('data', read)
    socket.resume()
    const path = /^GET (\S+)/.exec(head)?.[1] ?? ''
    const key = /^sec-websocket-key: (.*)$/im.exec(head)?.[1] ?? ''
    const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
    const answer = answers.get(path)
    if (answer === undefined) unexpected++
    else answer(socket, accept)
  }
  socket.on('data', read)
})
await once(upstream.listen(0, '127.0.0.1'), 'listening')
t.teardown(() => {
  for (const socket of open) socket.destroy()
  upstream.close()
})
const { port } = upstream.address() as AddressInfo
const gate = await startTunnels(t, `/a/*=ws://127.0.0.1:${port}`)

const accepted = (accept: string, ...fields: string[]): string =>
  [
    'HTTP/1.1 101 Switching Protocols',
    'Upgrade: websocket',
    'Connection: Upgrade',
    `Sec-WebSocket-Accept: ${accept}`,
    ...fields,
    '\r\n',
  ].join('\r\n')

/** A frame as a server sends it. */
const frame = (opcode: number, payload: Uint8Array): Buffer => {
  const { length } = payload
  const size = length < 126 ? [length] : [126, length >> 8, length & 255]
  return Buffer.concat([Buffer.from([0x80 | opcode, ...size]), payload])
}

const text = (content: string): Buffer => frame(1, Buffer.from(content))

const closing = (code: number, reason: Uint8Array = Buffer.alloc(0)): Buffer =>
  frame(8, Buffer.concat([Buffer.from([code >> 8, code & 255]), reason]))

let count = 0
/** Opens a tunnel to an upstream server that gives this answer. */
const openTo = (answer: Answer) => {
  const name = `n${++count}`
  answers.set(`/${name}`, answer)
  return openThrough(gate, `/a/${name}`)
}

t.test('an answer can arrive in any number of packets', async t => {
  const cases: readonly (readonly [string, Answer])[] = [
    [
      'with the first message in the same packet',
      (socket, accept) => socket.write(acceptedWithHello(accept)),
    ],
    [
      'byte by byte',
      (socket, accept) => {
        socket.setNoDelay()
        const bytes = [...acceptedWithHello(accept)]
        const next = (): void => {
          const byte = bytes.shift()
          if (byte !== undefined) socket.write(Buffer.from([byte]), () => setImmediate(next))
        }
        next()
      },
    ],
    [
      'cut in the first frame',
      (socket, accept) => {
        const bytes = acceptedWithHello(accept)
        socket.write(bytes.subarray(0, -3), () => setImmediate(() => socket.write(bytes.subarray(-3))))
      },
    ],
  ]
  for (const [name, answer] of cases) {
    const { socket, hears } = await openTo(answer)
    t.strictSame(await hears(1), ['text hello'], name)
    socket.terminate()
  }
})

const acceptedWithHello = (accept: string): Buffer =>
  Buffer.concat([Buffer.from(accepted(accept)), text('hello')])

t.test('invalid responses close the client with 1014, or 1002 for a subprotocol', async t => {
  const target = `http://127.0.0.1:${port}/elsewhere`
  const cases: readonly (readonly [string, Answer])[] = [
    ['a wrong Sec-WebSocket-Accept', socket => socket.write(accepted('AAAAAAAAAAAAAAAAAAAAAAAAAAA='))],
    [
      'no Sec-WebSocket-Accept',
      socket => socket.write(accepted('x').replace(/Sec-WebSocket-Accept.*\r\n/, '')),
    ],
    ['no Upgrade', (socket, accept) => socket.write(accepted(accept).replace(/Upgrade: .*\r\n/, ''))],
    [
      'an upgrade to another protocol',
      (socket, accept) => socket.write(accepted(accept).replace(': websocket', ': h2c')),
    ],
    [
      'an extension that was not offered',
      (socket, accept) => socket.write(accepted(accept, 'Sec-WebSocket-Extensions: x-webkit-deflate-frame')),
    ],
    [
      'a subprotocol that was not offered',
      (socket, accept) => socket.write(accepted(accept, 'Sec-WebSocket-Protocol: other')),
    ],
    [
      'a redirect',
      socket => socket.end(`HTTP/1.1 302 Found\r\nLocation: ${target}\r\nContent-Length: 0\r\n\r\n`),
    ],
    ['a response that is not HTTP', socket => socket.end('SSH-2.0-OpenSSH_9.2\r\n\r\n')],
    ['a huge head', (socket, accept) => socket.write(accepted(accept, `X: ${'x'.repeat(200_000)}`))],
    [
      'a head without an end',
      socket => {
        socket.write('HTTP/1.1 101 Switching Protocols\r\n')
        const flood = (): void => {
          if (socket.writable)
            socket.write(`X-${Math.random()}: x\r\n`.repeat(100), () => setImmediate(flood))
        }
        flood()
      },
    ],
  ]
  for (const [name, answer] of cases) {
    const { closed } = await openTo(answer)
    const ended = await closed
    if (name.startsWith('a subprotocol')) t.match(ended, { code: 1002 }, name)
    else t.match(ended, { code: 1014, reason: /^retry_after_ms=\d+$/ }, name)
  }
  t.equal(unexpected, 0, 'redirects are not followed')
})

t.test('invalid close frames and pings close the client with 1014, and valid ones are passed on', async t => {
  const invalid = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535]
  const cases: readonly (readonly [string, Buffer])[] = [
    ...invalid.map(code => [`code ${code}`, closing(code)] as const),
    ['half a code', frame(8, Buffer.from([3]))],
    ['a reason that is not UTF-8', closing(1000, Buffer.from([0xc3, 0x28]))],
    ['a reason of 124 bytes', closing(1000, Buffer.alloc(124, 0x61))],
    ['a ping of 126 bytes', frame(9, Buffer.alloc(126))],
  ]
  for (const [name, bytes] of cases) {
    const { closed } = await openTo((socket, accept) => {
      socket.write(accepted(accept))
      socket.write(bytes)
    })
    t.match(await closed, { code: 1014, reason: /^retry_after_ms=\d+$/ }, name)
  }
  const longest = `${'é'.repeat(61)}a`
  for (const code of [1000, 1003, 1007, 1011, 1014, 3000, 4999]) {
    const { closed } = await openTo((socket, accept) => {
      socket.write(Buffer.concat([Buffer.from(accepted(accept)), closing(code, Buffer.from(longest))]))
    })
    t.strictSame(await closed, { code, reason: longest }, `code ${code}, with a reason of 123 bytes`)
  }
})

t.test('an upstream server that sends pings and reads no pongs is disconnected', async t => {
  const pings = Buffer.concat(Array.from({ length: 500 }, () => frame(9, Buffer.alloc(125))))
  const { closed } = await openTo((socket, accept) => {
    socket.pause()
    socket.write(accepted(accept))
    const flood = (): void => {
      if (socket.writable) socket.write(pings, () => setImmediate(flood))
    }
    flood()
  })
  t.match(await closed, { code: 1013, reason: /^retry_after_ms=\d+$/ }, 'the queue of pongs is bounded')
})

t.test('the upstream server can close the connection at any stage', async t => {
  const stages: readonly Answer[] = [
    socket => socket.destroy(),
    socket => socket.end(),
    socket => socket.end('HTTP/1.1 101 Switching'),
    (socket, accept) => socket.end(accepted(accept)),
    (socket, accept) =>
      socket.end(Buffer.concat([Buffer.from(accepted(accept)), Buffer.from([0x81, 100, 0x61])])),
    (socket, accept) => socket.write(accepted(accept), () => socket.resetAndDestroy()),
  ]
  for (const [stage, answer] of stages.entries()) {
    const { closed } = await openTo(answer)
    t.match(await closed, { code: 1014, reason: /^retry_after_ms=\d+$/ }, `stage ${stage}`)
  }
  t.equal((await request(gate.url, '/healthz')).status, 200)
  t.equal(await metric(gate, 'ticketgate_tunnel_connections{tunnel="/a/*"}'), 0)
  t.equal(await metric(gate, 'ticketgate_connections'), 0)
})
