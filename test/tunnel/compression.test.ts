import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { constants, deflateRawSync } from 'node:zlib'
import t from 'tap'
import type { PerMessageDeflateOptions, WebSocket } from 'ws'
import { startBareUpstream, switching } from '../support/bare-upstream.js'
import { metric } from '../support/http.js'
import { needs, pathOf } from '../support/programs.js'
import { openThrough, startTunnels, type Through } from '../support/tunnel.js'
import { startUpstream, type Upstream } from '../support/upstream.js'

const settings = ';upstream-compression=on;max-message-bytes=2000000;message-rate=off'
const extension = 'Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover'
const agreed = `${extension}\r\n`
const retry = /^retry_after_ms=\d+$/

const text = (size: number): Buffer => Buffer.from(`${size} so it goes `.repeat(size / 10 + 1).slice(0, size))

/** Of all sizes, in an order that lets small ones overtake large ones; every third is random. */
const messages = [
  0, 1, 511, 512, 70_000, 600, 3, 65_535, 65_536, 65_537, 262_143, 262_144, 262_145, 7, 500_000, 0, 200_000,
].map((size, n) => (n % 3 === 2 ? randomBytes(size) : text(size)))

/** Sends all messages and checks that each comes back unchanged. */
async function echoes({ socket, frames }: Through): Promise<boolean> {
  for (const [n, message] of messages.entries()) socket.send(message, { binary: n % 2 === 0 || n % 3 === 2 })
  for (const message of messages) if (!(await frames.next()).data.equals(message)) return false
  return true
}

const plainSettings = ';max-message-bytes=2000000;message-rate=off'

t.test('compression works with ws servers, however they answer the offer', async t => {
  const cases: [PerMessageDeflateOptions | boolean, string, string][] = [
    [{}, settings, 'compressed'],
    [{ threshold: 0 }, settings, 'compressed'],
    [{ serverNoContextTakeover: true, clientNoContextTakeover: true }, settings, 'compressed'],
    [{ clientNoContextTakeover: false, threshold: 0 }, settings, 'compressed'],
    [{ clientMaxWindowBits: 9, serverMaxWindowBits: 9 }, settings, 'compressed'],
    // zlib cannot write for a window of 256 bytes.
    [{ clientMaxWindowBits: 8 }, settings, 'only read compressed'],
    [false, settings, 'plain'],
    [true, plainSettings, 'plain'],
  ]
  const upstreams = await Promise.all(
    cases.map(([perMessageDeflate]) => startUpstream(t, { perMessageDeflate })),
  )
  const routes = cases.map(([, more], n) => `/${n}/*=ws://127.0.0.1:${upstreams[n]?.port}${more}`)
  const gate = await startTunnels(t, routes.join())
  for (const [n, [perMessageDeflate, , form]] of cases.entries()) {
    const name = `${JSON.stringify(perMessageDeflate)}: ${form}`
    const through = await openThrough(gate, `/${n}/b`)
    const { socket, request } = await (upstreams[n] as Upstream).next()
    t.equal(socket.extensions, form === 'plain' ? '' : 'permessage-deflate', name)
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }))
    t.ok(await echoes(through), name)
    const before = request.socket.bytesRead
    through.socket.send(text(10_000))
    await through.frames.next()
    t.equal(request.socket.bytesRead - before < 1000, form === 'compressed', name)
    through.socket.close(4001, 'bye')
    t.strictSame(await through.closed, { code: 4001, reason: 'bye' })
  }
})

t.test('compression works with a Python server, however it answers the offer', needs('python3'), async t => {
  const script = fileURLToPath(new URL('compression-server.py', import.meta.url))
  const child = spawn(pathOf('python3'), [script], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  const [line] = await once(createInterface({ input: child.stdout }), 'line')
  const ports = String(line).split(' ')
  const gate = await startTunnels(
    t,
    ports.map((port, n) => `/${n}/*=ws://127.0.0.1:${port}${settings}`).join(),
  )
  for (const n of ports.keys()) {
    const through = await openThrough(gate, `/${n}/b`)
    t.strictSame(await through.hears(1), ['text permessage-deflate'])
    t.ok(await echoes(through), `server ${n} echoes every message`)
    through.socket.close()
    await through.closed
  }
})

t.test('a message that is still being compressed arrives before the close frame', async t => {
  const upstream = await startUpstream(t, { perMessageDeflate: true })
  const gate = await startTunnels(t, `/a/*=ws://127.0.0.1:${upstream.port}${settings}`)
  const { socket } = await openThrough(gate, '/a/b')
  const arrival = await upstream.next()
  const large = text(1_000_000)
  socket.send(large)
  socket.send('small')
  socket.close(4002, 'bye')
  t.ok((await arrival.frames.next()).data.equals(large))
  t.equal(String((await arrival.frames.next()).data), 'small')
  t.strictSame(await arrival.closed, { code: 4002, reason: 'bye' })
})

t.test('messages keep their order when they are sent faster than they are compressed', async t => {
  const upstream = await startUpstream(t, { perMessageDeflate: true })
  const gate = await startTunnels(t, `/a/*=ws://127.0.0.1:${upstream.port}${settings}`)
  const { socket } = await openThrough(gate, '/a/b')
  const arrival = await upstream.next()
  const sent = Array.from({ length: 40 }, (_, n) => text(n % 2 === 0 ? 300_000 + n : n))
  for (const message of sent) socket.send(message)
  for (const [n, message] of sent.entries())
    if (!(await arrival.frames.next()).data.equals(message))
      t.fail(`message ${n} is not the one that was sent`)
})

/** Compresses as RFC 7692 tells a sender to. */
const deflated = (bytes: string | Buffer): Buffer =>
  deflateRawSync(bytes, { finishFlush: constants.Z_SYNC_FLUSH }).subarray(0, -4)

/** A frame as a server sends it. */
const frame = (first: number, payload: Buffer): string => {
  const { length } = payload
  const size = length < 126 ? [length] : length < 65_536 ? [126, 0, 0] : [127, 0, 0, 0, 0, 0, 0, 0, 0]
  const head = Buffer.from([first, ...size])
  if (length >= 65_536) head.writeUInt32BE(length, 6)
  else if (length >= 126) head.writeUInt16BE(length, 2)
  return Buffer.concat([head, payload]).toString('latin1')
}

const compressed = 0xc1
const hello = deflated('hello')

t.test('compressed messages are read in every valid form', async t => {
  const bare = await startBareUpstream(t, settings)
  const half = Math.floor(hello.length / 2)
  const twice = Buffer.concat([
    deflateRawSync('hel', { finishFlush: constants.Z_SYNC_FLUSH }),
    deflated('lo'),
  ])
  const cases: [string, string, string][] = [
    ['one frame', frame(compressed, hello), 'hello'],
    ['an empty message', frame(compressed, Buffer.alloc(1)), ''],
    ['in two blocks', frame(compressed, twice), 'hello'],
    [
      'a final block (RFC 7692 section 7.2.3.4)',
      frame(compressed, Buffer.from('f348cdc9c9070000', 'hex')),
      'Hello',
    ],
    [
      'no compression (RFC 7692 section 7.2.3.3)',
      frame(compressed, Buffer.from('000500faff48656c6c6f00', 'hex')),
      'Hello',
    ],
    ['without the compression bit', frame(0x81, Buffer.from('hello')), 'hello'],
    [
      'in fragments, with a ping between',
      frame(0x41, hello.subarray(0, half)) +
        frame(0x89, Buffer.alloc(0)) +
        frame(0, Buffer.alloc(0)) +
        frame(0x80, hello.subarray(half)),
      'hello',
    ],
  ]
  for (const [name, bytes, message] of cases)
    for (const isSlow of [false, true]) {
      const { socket, hears } = await bare.open((accept, upstream) => {
        if (!isSlow) return switching(accept, agreed) + bytes
        upstream.write(switching(accept, agreed))
        for (const byte of bytes) upstream.write(byte, 'latin1')
        return ''
      })
      t.strictSame(await hears(1), [`text ${message}`], `${name}${isSlow ? ', byte by byte' : ''}`)
      socket.terminate()
    }
})

t.test('many compressed messages in one packet, large and small, keep their order', async t => {
  const bare = await startBareUpstream(t, settings)
  const sizes = Array.from({ length: 24 }, (_, n) => [40, 250_000, 400_000, 1_900_000][n % 4] as number)
  const bytes = sizes
    .map((size, n) => frame(n % 8 === 0 ? 0x81 : compressed, n % 8 === 0 ? text(size) : deflated(text(size))))
    .join('')
  t.ok(bytes.length < 200_000, `all of them fit in 200,000 bytes: ${bytes.length}`)
  const { frames, closed } = await bare.open(
    accept => switching(accept, agreed) + bytes + frame(0x88, Buffer.from([3, 232])),
  )
  for (const size of sizes) if (!(await frames.next()).data.equals(text(size))) t.fail(`${size} bytes`)
  t.strictSame(await closed, { code: 1000, reason: '' })
})

t.test(
  'a client that reads compressed messages slowly pauses the upstream server and loses nothing',
  async t => {
    const upstream = await startUpstream(t, { perMessageDeflate: { threshold: 0 } })
    const gate = await startTunnels(t, `/a/*=ws://127.0.0.1:${upstream.port};upstream-compression=on`)
    const { socket, frames } = await openThrough(gate, '/a/b')
    const arrival = await upstream.next()
    socket.pause()
    const count = 1000
    const message = (n: number): string => `message ${n} ${'x'.repeat(20_000)}`
    for (let n = 0; n < count; n++) arrival.socket.send(message(n))
    while ((await metric(gate, 'ticketgate_tunnel_pauses_total{tunnel="/a/*"}')) === 0) await delay(20)
    const passed = await metric(gate, 'ticketgate_tunnel_messages_to_clients_total{tunnel="/a/*"}')
    t.ok(passed < count / 2, `the gate holds messages back: ${passed} of ${count} have passed`)
    socket.resume()
    for (let n = 0; n < count; n++)
      if (String((await frames.next()).data) !== message(n))
        t.fail(`message ${n} is not the one that was sent`)
  },
)

t.test('invalid compressed frames end the tunnel', async t => {
  /** The code of the close frame that the gate sends. */
  const codeOf = (socket: Socket): Promise<number> =>
    new Promise(resolve => {
      let bytes = Buffer.alloc(0)
      socket.on('data', data => {
        bytes = Buffer.concat([bytes, data as Buffer])
        if (bytes.length < 8) return
        const [, , a = 0, b = 0, , , high = 0, low = 0] = bytes
        resolve(((high ^ a) << 8) | (low ^ b))
      })
    })
  const [bit, broken, large] = [/a reserved bit is set/, /message is broken/, /more than 2000000 bytes/]
  // At most ten of these are logged in a second, so only the first cases check the log.
  const cases: [string, string, number, RegExp?][] = [
    ['text that is not UTF-8', frame(compressed, deflated(Buffer.from([0xff]))), 1007, /not UTF-8/],
    ['a bomb', frame(compressed, deflated(Buffer.alloc(50_000_000))), 1009, large],
    ['a truncated stream', frame(compressed, deflated(text(5000)).subarray(0, -3)), 1007, broken],
    ['the compression bit on a continuation', frame(0x41, hello) + frame(0xc0, hello), 1002, bit],
    ['the compression bit on a ping', frame(0xc9, Buffer.alloc(0)), 1002],
    ['the compression bit on a close frame', frame(0xc8, Buffer.alloc(0)), 1002],
    ['another reserved bit', frame(0xa1, hello), 1002],
    ['a small bomb', frame(compressed, deflated(Buffer.alloc(2_000_001))), 1009],
    ['a stream without its last byte', frame(compressed, hello.subarray(0, -1)), 1007],
    ['data that is not compressed', frame(compressed, Buffer.from('hello')), 1007],
    ['an empty payload', frame(compressed, Buffer.alloc(0)), 1007],
    [
      'data after the end of the stream',
      frame(compressed, Buffer.concat([deflateRawSync('a'), hello])),
      1007,
    ],
    ['a reference into an earlier message', frame(compressed, Buffer.from('f2000000', 'hex')), 1007],
    ['a frame that is too long', frame(compressed, Buffer.alloc(3_000_000)).slice(0, 100_000), 1009],
  ]
  const bare = await startBareUpstream(t, settings)
  const plain = await startBareUpstream(t)
  const end = async (
    { gate, open }: typeof bare,
    [name, bytes, code, reason]: (typeof cases)[number],
    terms: string,
  ): Promise<void> => {
    let ended: Promise<number> = Promise.resolve(0)
    const { closed } = await open((accept, socket) => {
      ended = codeOf(socket)
      return switching(accept, terms) + bytes
    })
    t.match(await closed, { code: 1014, reason: retry }, name)
    t.equal(await ended, code, name)
    if (reason !== undefined) await gate.logged(reason)
  }
  for (const one of cases) await end(bare, one, agreed)
  await end(plain, ['the compression bit without negotiation', frame(compressed, hello), 1002, bit], '')
})

t.test('only valid responses to the compression offer are accepted', async t => {
  const bare = await startBareUpstream(t, settings)
  const [missing, wrong, other] = [/without server_no_context/, /unknown or wrong/, /was not offered/]
  const cases: [string, RegExp?][] = [
    ['permessage-deflate', missing],
    ['permessage-deflate; server_no_context_takeover; x', wrong],
    ['permessage-deflate; server_no_context_takeover; server_no_context_takeover', /a parameter twice/],
    ['permessage-deflate; server_no_context_takeover, permessage-deflate', other],
    ['permessage-deflate; client_no_context_takeover'],
    ['permessage-deflate; server_no_context_takeover=1'],
    ['permessage-deflate; server_no_context_takeover; client_no_context_takeover=true'],
    ...['client', 'server'].flatMap(side =>
      ['', '=7', '=16', '=08', '="x"', '=-9'].map((value): [string] => [
        `permessage-deflate; server_no_context_takeover; ${side}_max_window_bits${value}`,
      ]),
    ),
    ['x-webkit-deflate-frame'],
    ['permessage-deflate;'],
    [''],
  ]
  for (const [value, reason] of cases) {
    const { closed } = await bare.open(
      accept =>
        switching(accept, `Sec-WebSocket-Extensions: ${value}\r\n`) + frame(0x81, Buffer.from('hello')),
    )
    t.match(await closed, { code: 1014, reason: retry }, value)
    if (reason !== undefined) await bare.gate.logged(reason)
  }
  const accepted = [
    '; server_max_window_bits=9',
    '; client_max_window_bits="10"',
    '; CLIENT_no_context_takeover',
  ]
  for (const value of accepted) {
    const { hears, socket } = await bare.open(
      accept => switching(accept, `${extension}${value}\r\n`) + frame(compressed, hello),
    )
    t.strictSame(await hears(1), ['text hello'], value)
    socket.terminate()
  }
})

t.test('a client that leaves while a message is decompressed does not affect later ones', async t => {
  const bare = await startBareUpstream(t, settings)
  const sockets: WebSocket[] = []
  const large = frame(compressed, deflated(text(1_900_000)))
  for (let n = 0; n < 20; n++) {
    const { socket } = await bare.open(accept => switching(accept, agreed) + large.repeat(5))
    sockets.push(socket)
    if (n % 2 === 0) socket.terminate()
    else socket.close()
  }
  const { hears, socket } = await bare.open(accept => switching(accept, agreed) + frame(compressed, hello))
  t.strictSame(await hears(1), ['text hello'])
  socket.terminate()
})
