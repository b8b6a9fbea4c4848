import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { WebSocketServer } from 'ws'
import { type Response, startBareUpstream, switching } from '../support/bare-upstream.js'
import { certificate, certificateKey } from '../support/certificate.js'
import { metric } from '../support/http.js'
import { temporaryDirectory } from '../support/server.js'
import { openThrough, startTunnels } from '../support/tunnel.js'
import { startUpstream } from '../support/upstream.js'

const path = '/a/b'
const hello = '\x81\x05hello'
const retry = /^retry_after_ms=\d+$/

t.test('valid responses open a tunnel', async t => {
  const bare = await startBareUpstream(t)
  const cases: [string, Response][] = [
    ['with the first message', accept => switching(accept) + hello],
    [
      'after an informational response',
      accept => `HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${switching(accept)}${hello}`,
    ],
    [
      'in other spellings',
      accept =>
        `HTTP/1.1 101\r\nconnection:keep-alive ,\tUPGRADE\r\nUPGRADE:  WebSocket \r\nsec-websocket-accept:${accept}\r\nx: \xe9\r\n\r\n${hello}`,
    ],
    [
      'byte by byte',
      (accept, socket) => {
        for (const byte of switching(accept) + hello) socket.write(byte, 'latin1')
        return ''
      },
    ],
  ]
  for (const [name, response] of cases) {
    const { socket, hears } = await bare.open(response)
    t.strictSame(await hears(1), ['text hello'], name)
    socket.terminate()
  }
})

t.test('invalid responses open no tunnel', async t => {
  const bare = await startBareUpstream(t)
  const cases: [string, Response, RegExp][] = [
    [
      'a wrong Sec-WebSocket-Accept',
      () => switching('AAAAAAAAAAAAAAAAAAAAAAAAAAA='),
      /Sec-WebSocket-Accept is wrong/,
    ],
    [
      'no Sec-WebSocket-Accept',
      accept => switching(accept).replace(/Sec.*\r\n/, ''),
      /Sec-WebSocket-Accept is wrong/,
    ],
    [
      'an upgrade to another protocol',
      accept => switching(accept).replace('websocket', 'h2c'),
      /to another protocol/,
    ],
    ['no Connection', accept => switching(accept).replace(/Conn.*\r\n/, ''), /upgrades nothing/],
    [
      'an extension',
      accept => switching(accept, 'Sec-WebSocket-Extensions: permessage-deflate\r\n'),
      /an extension that was not offered/,
    ],
    ['HTTP/1.0', accept => switching(accept).replace('1.1', '1.0'), /is not HTTP\/1\.1/],
    ['a response that is not HTTP', () => 'SSH-2.0-OpenSSH\r\n\r\n', /is not HTTP\/1\.1/],
    ['a field without a name', accept => switching(accept, 'x\r\n'), /an invalid header field/],
    ['no end', () => `HTTP/1.1 101 x\r\nx: ${'x'.repeat(17_000)}`, /is too long/],
  ]
  for (const [name, response, reason] of cases) {
    const { closed } = await bare.open((accept, socket) => response(accept, socket) + hello)
    t.match(await closed, { code: 1014, reason: retry }, name)
    await bare.gate.logged(reason)
  }
})

t.test('an upstream server that has closed its side still gets a close frame', async t => {
  const bare = await startBareUpstream(t)
  let arrived = Buffer.alloc(0)
  let ended: Promise<unknown> = Promise.resolve()
  const { closed } = await bare.open((accept, socket) => {
    socket.on('data', data => {
      arrived = Buffer.concat([arrived, data as Buffer])
    })
    ended = once(socket, 'end')
    socket.end(`${switching(accept)}\x88\x02\x0f\xa1`, 'latin1')
    return ''
  })
  t.strictSame(await closed, { code: 4001, reason: '' })
  await ended
  const [first, second, a = 0, b = 0, , , high = 0, low = 0] = arrived
  t.strictSame([first, second], [0x88, 0x82])
  t.equal(((high ^ a) << 8) | (low ^ b), 4001, 'the close frame has the same code')
})

const sizes = [...Array(140).keys(), 4095, 16_371, 16_384, 65_535, 65_536, 65_537, 200_001, 3]
const messageOf = (size: number): Buffer =>
  Buffer.from(Array.from({ length: size }, (_, n) => (n * 31 + size) & 255))

t.test('bursts of messages of all sizes arrive unchanged, both ways', async t => {
  const directory = temporaryDirectory(t)
  const secure = createSecureServer({ cert: certificate, key: certificateKey })
  const [plain, unix] = [createServer(), createServer()]
  for (const http of [secure, plain, unix]) {
    new WebSocketServer({ server: http, perMessageDeflate: false }).on('connection', socket => {
      const heard: Buffer[] = []
      socket.on('message', data => {
        heard.push(data as Buffer)
        if (heard.length === sizes.length) for (const each of heard) socket.send(each)
      })
    })
    t.teardown(() => http.close())
  }
  await once(secure.listen(0, '127.0.0.1'), 'listening')
  await once(plain.listen(0, '127.0.0.1'), 'listening')
  await once(unix.listen(`${directory}/a.sock`), 'listening')
  writeFileSync(join(directory, 'ca.pem'), certificate)
  const portOf = (http: typeof plain | typeof secure): number => (http.address() as AddressInfo).port
  for (const url of [
    `ws://127.0.0.1:${portOf(plain)}`,
    `wss://localhost:${portOf(secure)}`,
    `ws+unix:${directory}/a.sock:/x`,
  ]) {
    const gate = await startTunnels(t, `/a/*=${url}`, {
      NODE_EXTRA_CA_CERTS: join(directory, 'ca.pem'),
      TICKETGATE_MESSAGE_RATE: 'off',
      TICKETGATE_MAX_MESSAGE_BYTES: '1000000',
    })
    const { socket, frames } = await openThrough(gate, path)
    for (const size of sizes) socket.send(messageOf(size))
    for (const size of sizes) {
      const { data, isBinary } = await frames.next()
      if (!isBinary || !data.equals(messageOf(size))) t.fail(`${size} bytes by ${url}`)
    }
    socket.close()
    t.pass(url)
  }
})

t.test(
  'a client that reads many small messages slowly pauses the upstream server and loses nothing',
  async t => {
    const upstream = await startUpstream(t)
    const gate = await startTunnels(t, `/a/*=ws://127.0.0.1:${upstream.port}`)
    const { socket, frames } = await openThrough(gate, path)
    const arrival = await upstream.next()
    socket.pause()
    const count = 100_000
    // A few at a time, so that each read by the gate has several.
    for (let n = 0; n < count; n++) {
      arrival.socket.send(`message ${n} ${'x'.repeat(400)}`)
      if (n % 10 === 0) await new Promise(setImmediate)
    }
    while ((await metric(gate, 'ticketgate_tunnel_pauses_total{tunnel="/a/*"}')) === 0) await delay(20)
    const passed = await metric(gate, 'ticketgate_tunnel_messages_to_clients_total{tunnel="/a/*"}')
    t.ok(passed < count, `the gate holds messages back: ${passed} of ${count} have passed`)
    socket.resume()
    for (let n = 0; n < count; n++)
      if (!String((await frames.next()).data).startsWith(`message ${n} `))
        t.fail(`message ${n} is not the one that was sent`)
    socket.close()
    await arrival.closed
  },
)
