import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { deflateRawSync } from 'node:zlib'
import t, { type Test } from 'tap'
import WebSocket from 'ws'
import { bearer, metric, postJson } from '../support/http.js'
import { RawConnection, upgradeText } from '../support/raw.js'
import { adminKey, startServer, type TestServer } from '../support/server.js'
import { Client, openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, mint } from '../support/tokens.js'

const maxMessageBytes = 4096

/** The server reads at most this many bytes of one message before it closes the connection. */
const maxBytesRead = 262_144

interface Frame {
  readonly opcode: number
  readonly payload?: Uint8Array | string
  readonly fin?: boolean
  readonly reserved?: number
  readonly masked?: boolean
  /** A length to claim instead of the true one. */
  readonly claimed?: bigint
}

/** A frame as in RFC 6455 section 5.2, valid or nearly so. */
function frame({ opcode, payload = '', fin = true, reserved = 0, masked = true, claimed }: Frame): Buffer {
  const body = Buffer.from(payload as Uint8Array)
  const length = claimed ?? BigInt(body.length)
  const head = Buffer.alloc(10)
  head[0] = (fin ? 0x80 : 0) | (reserved << 4) | opcode
  const mask = masked ? 0x80 : 0
  let size = 2
  if (length < 126n) head[1] = mask | Number(length)
  else if (length < 65_536n) {
    head[1] = mask | 126
    head.writeUInt16BE(Number(length), 2)
    size = 4
  } else {
    head[1] = mask | 127
    head.writeBigUInt64BE(length, 2)
    size = 10
  }
  if (!masked) return Buffer.concat([head.subarray(0, size), body])
  const key = randomBytes(4)
  for (let at = 0; at < body.length; at++) body[at] = (body[at] ?? 0) ^ (key[at % 4] ?? 0)
  return Buffer.concat([head.subarray(0, size), key, body])
}

/** An open socket whose frames the test writes itself. */
async function openRaw(
  server: TestServer,
  headers: Readonly<Record<string, string>> = {},
): Promise<RawConnection> {
  const connection = await RawConnection.connect(server.url)
  connection.write(upgradeText(gatePath(await mint(server.url)), headers))
  const response = await connection.response()
  if (response?.status !== 101) throw new Error(`the upgrade was answered with ${response?.status}`)
  return connection
}

/** Checks that the server serves another client at once. */
async function servesOthers(t: Test, server: TestServer, name: string): Promise<void> {
  const { client } = await openSession(socketUrl(server.url, gatePath(await mint(server.url, 'other'))))
  t.match(
    await client.ask({ type: 'ping', id: name }),
    { type: 'pong', id: name },
    `${name}: others are served`,
  )
  await client.close()
}

t.test('forbidden frames close their connection only', async t => {
  const server = await startServer(t, { env: { TICKETGATE_MAX_MESSAGE_BYTES: String(maxMessageBytes) } })
  const ping = '{"type":"ping","id":1}'
  const cases: readonly (readonly [name: string, ...frames: Buffer[]])[] = [
    ['a reserved opcode for data', frame({ opcode: 3, payload: ping })],
    ['a reserved opcode for control', frame({ opcode: 11 })],
    ['a reserved bit', frame({ opcode: 1, reserved: 2, payload: ping })],
    [
      'the compression bit, with compression off',
      frame({ opcode: 1, reserved: 4, payload: deflateRawSync(ping) }),
    ],
    ['text that is not UTF-8', frame({ opcode: 1, payload: Buffer.from([0x22, 0xff, 0xfe, 0x22]) })],
    ['an overlong character', frame({ opcode: 1, payload: Buffer.from([0x22, 0xc0, 0x80, 0x22]) })],
    ['half a surrogate pair', frame({ opcode: 1, payload: Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]) })],
    ['a fragmented control frame', frame({ opcode: 9, fin: false, payload: 'x' })],
    ['a ping of 126 bytes', frame({ opcode: 9, payload: Buffer.alloc(126) })],
    ['a continuation without a first frame', frame({ opcode: 0, payload: ping })],
    [
      'a new message between the fragments of another',
      frame({ opcode: 1, fin: false, payload: '{"type"' }),
      frame({ opcode: 1, payload: ping }),
    ],
    ['a length beyond any memory', frame({ opcode: 2, claimed: 2n ** 63n - 1n })],
    [
      'a message of five times the maximum size',
      frame({ opcode: 1, payload: Buffer.alloc(5 * maxMessageBytes, 0x61) }),
    ],
    [
      'endless fragments',
      frame({ opcode: 1, fin: false, payload: Buffer.alloc(maxMessageBytes, 0x61) }),
      ...Array.from({ length: maxBytesRead / maxMessageBytes }, () =>
        frame({ opcode: 0, fin: false, payload: Buffer.alloc(maxMessageBytes, 0x61) }),
      ),
    ],
    ['a close frame with half a code', frame({ opcode: 8, payload: Buffer.from([3]) })],
    ['a close frame with a forbidden code', frame({ opcode: 8, payload: Buffer.from([3, 0xed]) })],
  ]
  for (const [name, ...frames] of cases) {
    const connection = await openRaw(server)
    for (const each of frames) connection.write(each)
    await connection.closed
    t.pass(name)
  }
  await servesOthers(t, server, 'afterwards')
  t.equal(await metric(server, 'ticketgate_connections'), 0)
})

t.test('an unmasked frame is refused', async t => {
  const server = await startServer(t)
  const connection = await openRaw(server)
  connection.write(frame({ opcode: 1, payload: '{"type":"publish","data":"unmasked"}', masked: false }))
  connection.write(frame({ opcode: 8 }))
  await servesOthers(t, server, 'meanwhile')
  t.equal(await metric(server, 'ticketgate_messages_published_total'), 0)
  connection.destroy()
})

t.test('a fragmented message is read as one message', async t => {
  const server = await startServer(t)
  const text = '{"type":"ping","id":"é😀"}'
  const bytes = Buffer.from(text)
  const connection = await openRaw(server)
  for (let at = 0; at < bytes.length; at++) {
    connection.write(
      frame({
        opcode: at === 0 ? 1 : 0,
        fin: at === bytes.length - 1,
        payload: bytes.subarray(at, at + 1),
      }),
    )
    if (at % 5 === 0) connection.write(frame({ opcode: 9, payload: 'between' }))
  }
  while (!Buffer.from(connection.rest, 'latin1').toString().includes('{"type":"pong","id":"é😀"}'))
    await new Promise(resolve => connection.socket.once('data', resolve))
  t.pass('it is answered')
  connection.destroy()
})

t.test('ten thousand tiny messages at once all arrive, in order', async t => {
  const server = await startServer(t, { env: { TICKETGATE_MESSAGE_RATE: 'off' } })
  const { client } = await openSession(socketUrl(server.url, gatePath(await mint(server.url), 'x')))
  const listener = (await openSession(socketUrl(server.url, gatePath(await mint(server.url), 'x')))).client
  for (let n = 0; n < 10_000; n++) client.send(`{"type":"publish","data":${n}}`)
  for (let n = 0; n < 10_000; n++) {
    const { data } = await listener.next()
    if (data !== n) throw new Error(`received ${data} instead of ${n}`)
  }
  t.ok(await client.hearsNothing())
  await Promise.all([client.close(), listener.close()])
})

t.test(
  'a subscriber that never reads takes little memory, is closed and counted, and delays no other',
  async t => {
    const limit = 65_536
    const server = await startServer(t, { env: { TICKETGATE_MAX_BACKPRESSURE_BYTES: String(limit) } })
    const reader = (await openSession(socketUrl(server.url, gatePath(await mint(server.url), 'ticker'))))
      .client
    const stuck: RawConnection[] = []
    for (let n = 0; n < 20; n++) {
      const connection = await RawConnection.connect(server.url)
      connection.write(upgradeText(gatePath(await mint(server.url), 'ticker')))
      await connection.response()
      connection.socket.pause()
      stuck.push(connection)
    }
    const before = await metric(server, 'process_resident_memory_bytes')
    const chunk = 'a'.repeat(60_000)
    let sent = 0
    // The kernel buffers some megabytes per socket before anything waits in the server.
    while (
      (await metric(server, 'ticketgate_connections_closed_total{reason="slow_reader"}')) < stuck.length
    ) {
      await postJson(
        server.admin,
        '/publish',
        { channel: 'ticker', data: [sent, chunk] },
        { headers: bearer(adminKey) },
      )
      t.equal(
        ((await reader.next()).data as unknown[])[0],
        sent,
        'a client that reads gets each message at once',
      )
      if (++sent > 2000) throw new Error('the sockets that do not read are never closed')
    }
    const grown = (await metric(server, 'process_resident_memory_bytes')) - before
    t.ok(
      grown < 100_000_000,
      `memory stays bounded: ${grown} bytes more for 20 sockets and ${sent} messages of 60 KB`,
    )
    t.ok((await metric(server, 'ticketgate_messages_dropped_total')) >= stuck.length)
    t.equal(await metric(server, 'ticketgate_connections'), 1)
    t.ok(await reader.hearsNothing())
    for (const connection of stuck) connection.destroy()
    await reader.close()
  },
)

t.test('a client that floods and does not read is closed', async t => {
  const server = await startServer(t, { env: { TICKETGATE_MESSAGE_RATE: 'off' } })
  const connection = await openRaw(server)
  connection.socket.pause()
  const pings = Buffer.concat(
    Array.from({ length: 200 }, () =>
      frame({ opcode: 1, payload: `{"type":"ping","id":"${'x'.repeat(64)}"}` }),
    ),
  )
  while ((await metric(server, 'ticketgate_connections_closed_total{reason="slow_reader"}')) < 1) {
    if (connection.socket.writableLength < 1_000_000) connection.write(pings)
    await servesOthers(t, server, 'meanwhile')
  }
  connection.destroy()
  t.pass('it is closed as a slow reader')
})

/** Far more memory than a heap gains by itself, packed into fewer bytes than the server reads. */
const packedBomb = deflateRawSync(Buffer.alloc(200_000_000, 0x20), { finishFlush: 2 })
/** The peak memory so far: decompressed data may have been freed already. */
const peakBytes = ({ pid }: TestServer): number =>
  1024 * Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])

for (const compression of ['shared', 'dedicated'])
  t.test(`compression ${compression} is negotiated, and a decompression bomb is refused`, async t => {
    const server = await startServer(t, {
      env: { TICKETGATE_COMPRESSION: compression, TICKETGATE_MAX_MESSAGE_BYTES: String(maxMessageBytes) },
    })
    const join = async (): Promise<Client> => {
      const url = socketUrl(server.url, gatePath(await mint(server.url), 'x'))
      const socket = new WebSocket(url, { perMessageDeflate: { threshold: 0 } })
      const client = new Client(socket)
      t.match(await client.next(), { type: 'welcome' })
      t.match(socket.extensions, /permessage-deflate/)
      return client
    }
    const [one, two] = [await join(), await join()]
    for (const data of ['short', 'a'.repeat(3000), { deep: ['é'.repeat(1000)] }]) {
      one.send({ type: 'publish', data })
      t.strictSame((await two.next()).data, data)
    }
    one.send({ type: 'publish', data: 'a'.repeat(maxMessageBytes) })
    t.equal((await one.closed).code, 1009, 'the limit is for the decompressed size')

    const bomb = await openRaw(server, { 'sec-websocket-extensions': 'permessage-deflate' })
    t.ok(packedBomb.length < maxBytesRead, `the bomb passes the length check: ${packedBomb.length} bytes`)
    const before = peakBytes(server)
    bomb.write(frame({ opcode: 1, reserved: 4, payload: packedBomb }))
    await bomb.closed
    t.ok(peakBytes(server) - before < 64_000_000, 'the bomb is not decompressed whole')
    for (const payload of [Buffer.from([0xff, 0xff, 0xff]), randomBytes(100)]) {
      const garbage = await openRaw(server, { 'sec-websocket-extensions': 'permessage-deflate' })
      garbage.write(frame({ opcode: 1, reserved: 4, payload }))
      await servesOthers(t, server, 'garbage')
      garbage.destroy()
    }
    t.ok(await two.hearsNothing())
    await two.close()
  })

t.test('without compression configured, none is negotiated', async t => {
  const server = await startServer(t)
  const url = socketUrl(server.url, gatePath(await mint(server.url)))
  const client = new Client(new WebSocket(url, { perMessageDeflate: true }))
  await client.next()
  t.equal(client.socket.extensions, '')
  await client.close()
})
