import { once } from 'node:events'
import t from 'tap'
import { jsonOf, metric, request } from '../support/http.js'
import { RawConnection, upgradeText } from '../support/raw.js'
import { startServer, type TestServer } from '../support/server.js'
import { type Client, openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, mint } from '../support/tokens.js'

/** A text frame, masked with zeros. */
function text(message: string): Buffer {
  const bytes = Buffer.from(message)
  const head = Buffer.from([0x81, 0xfe, bytes.length >> 8, bytes.length & 255, 0, 0, 0, 0])
  if (bytes.length > 125) return Buffer.concat([head, bytes])
  return Buffer.concat([Buffer.from([0x81, 0x80 | bytes.length, 0, 0, 0, 0]), bytes])
}

/** Opens sockets on a channel that read and discard all messages. */
const crowd = async (server: TestServer, channel: string, count: number): Promise<RawConnection[]> => {
  const connections: RawConnection[] = []
  for (let n = 0; n < count; n++) {
    const connection = await RawConnection.connect(server.url)
    connection.write(upgradeText(gatePath(await mint(server.url, `listener-${n}`), channel)))
    if ((await connection.response())?.status !== 101) throw new Error('the handshake was refused')
    connection.socket.removeAllListeners('data').resume()
    connections.push(connection)
  }
  return connections
}

const join = async (server: TestServer, user: string, channel: string): Promise<Client> =>
  (await openSession(socketUrl(server.url, gatePath(await mint(server.url, user), channel)))).client

const env = {
  TICKETGATE_MESSAGE_RATE: 'off',
  TICKETGATE_TICKET_RATE: 'off',
  // All listeners are in this process, which may be slow to read.
  TICKETGATE_MAX_BACKPRESSURE_BYTES: '100000000',
}

for (const [compression, publications] of [
  ['off', 100],
  ['shared', 20],
] as const)
  t.test(`a burst to many sockets is sent in turns and in order, compression ${compression}`, async t => {
    const server = await startServer(t, { env: { ...env, TICKETGATE_COMPRESSION: compression } })
    const listeners = await crowd(server, 'lobby', 300)
    const [publisher, listener] = [await join(server, 'one', 'lobby'), await join(server, 'two', 'lobby')]
    const filler = 'ab '.repeat(5000)
    for (let n = 0; n < publications; n++) publisher.send({ type: 'publish', data: [n, filler], id: n })
    t.equal((await request(server.url, '/healthz')).status, 200, 'other requests are served meanwhile')
    for (let n = 0; n < publications; n++) {
      t.strictSame(await publisher.next(), { type: 'ok', id: n })
      t.equal(((await listener.next()).data as unknown[])[0], n)
    }
    t.ok((await metric(server, 'ticketgate_publications_queued_total')) > 0, 'some publications were queued')
    t.equal(await metric(server, 'ticketgate_publications_refused_total'), 0)
    t.ok((await publisher.hearsNothing()) && (await listener.hearsNothing()))
    for (const each of listeners) each.destroy()
    await Promise.all([publisher.close(), listener.close()])
  })

t.test(
  'publications beyond the limit are refused with the id of the request; accepted ones arrive',
  async t => {
    // Compression, though no listener uses it, makes the server expect more work.
    const server = await startServer(t, { env: { ...env, TICKETGATE_COMPRESSION: 'shared' } })
    const listeners = await crowd(server, 'lobby', 30)
    const listener = await join(server, 'two', 'lobby')
    const publisher = await RawConnection.connect(server.url)
    publisher.write(upgradeText(gatePath(await mint(server.url, 'one'), 'lobby')))
    t.equal((await publisher.response())?.status, 101)
    const count = 12_000
    const filler = 'x'.repeat(1000)
    const frames = Array.from({ length: count }, (_, n) =>
      text(`{"type":"publish","data":[${n},"${filler}"],"id":${n}}`),
    )
    const replies: Buffer[] = []
    publisher.socket.removeAllListeners('data').on('data', chunk => replies.push(chunk))
    publisher.write(Buffer.concat([...frames, text('{"type":"ping","id":"end"}')]))
    while (!Buffer.concat(replies).includes('"end"')) await once(publisher.socket, 'data')
    const answers = Buffer.concat(replies).toString('latin1')
    const idsOf = (reply: RegExp): number[] => [...answers.matchAll(reply)].map(([, id]) => Number(id))
    const accepted = idsOf(/\{"type":"ok","id":(\d+)\}/g)
    const refused = idsOf(/"code":"publish_queue_full","detail":"[^"]*","id":(\d+)\}/g)
    t.equal(accepted.length + refused.length, count)
    t.ok(refused.length > 0, `${refused.length} of ${count} are refused`)
    t.equal(await metric(server, 'ticketgate_publications_refused_total'), refused.length)
    t.equal(await metric(server, 'ticketgate_messages_published_total'), accepted.length)
    const heard: unknown[] = []
    while (heard.length < accepted.length) heard.push(((await listener.next()).data as unknown[])[0])
    t.strictSame(heard, accepted)
    t.ok(await listener.hearsNothing())
    for (const each of [publisher, ...listeners]) each.destroy()
    await listener.close()
  },
)

t.test('a socket queues no more than twice the largest message', async t => {
  const largest = 4096
  const server = await startServer(t, { env: { TICKETGATE_MAX_MESSAGE_BYTES: String(largest) } })
  const piece = (opcode: number, length: number): Buffer =>
    Buffer.concat([
      Buffer.from([opcode, 0xfe, length >> 8, length & 255, 0, 0, 0, 0]),
      Buffer.alloc(length, 'a'),
    ])
  const [connection] = await crowd(server, 'lobby', 1)
  if (connection === undefined) throw new Error('no connection')
  connection.write(piece(1, largest))
  connection.write(piece(0, largest))
  t.equal(jsonOf(await request(server.url, '/healthz')).status, 'ok')
  t.ok(connection.isOpen, 'an incomplete message of twice the limit is kept')
  connection.write(Buffer.from([0, 0x81, 0, 0, 0, 0, 0x61]))
  if (connection.isOpen) await once(connection.socket, 'close')
  while ((await metric(server, 'ticketgate_connections_closed_total{reason="message_too_big"}')) < 1);
  t.pass('a byte more ends the connection and is counted')

  const whole = await join(server, 'one', 'lobby')
  whole.send('a'.repeat(2 * largest))
  t.equal((await whole.closed).code, 1009, 'within the limit, the client is told')
})
