import { once } from 'node:events'
import t from 'tap'
import { bearer, jsonOf, request } from '../support/http.js'
import { RawConnection, upgradeText } from '../support/raw.js'
import { adminKey, startServer } from '../support/server.js'
import { gatePath, mint } from '../support/tokens.js'

const server = await startServer(t)
const one = 'GET /x HTTP/1.1\r\nHost: a\r\n\r\n'
const mebibyte = 1024 * 1024

/** Writes until the other side has closed, or so much is sent; answers whether it has. */
const floods = async (connection: RawConnection, chunk: string | Buffer, most: number): Promise<boolean> => {
  for (let sent = 0; sent < most && connection.isOpen; sent += chunk.length)
    if (!connection.socket.write(chunk))
      await Promise.race([once(connection.socket, 'drain').catch(() => {}), connection.closed])
  return !connection.isOpen
}

t.test('requests without end on one connection are cut off, and others are served meanwhile', async t => {
  for (const [name, isRead] of [
    ['by one that reads the answers', true],
    ['by one that does not', false],
  ] as const) {
    const connection = await RawConnection.connect(server.url)
    if (isRead) connection.socket.removeAllListeners('data').resume()
    else connection.socket.pause()
    const flood = floods(connection, one.repeat(20_000), 100 * mebibyte)
    t.equal((await request(server.url, '/healthz')).status, 200, `${name}: others are served`)
    t.ok(await flood, `${name}: closed`)
    connection.destroy()
  }
})

t.test('who never reads the answers is cut off, however slowly it asks', async t => {
  const connection = await RawConnection.connect(server.url)
  connection.socket.pause()
  let rounds = 0
  // Some hundred answers a round; the kernel keeps some megabytes of them for a reader.
  for (; rounds < 500 && connection.isOpen; rounds++) {
    connection.write(one.repeat(500))
    await request(server.url, '/healthz')
  }
  t.ok(rounds < 500, `cut off after ${rounds} rounds`)
  connection.destroy()
})

t.test('answers that nobody reads never end the process, wherever they stop to fit', async t => {
  for (let n = 0; n < 30; n++) {
    const connection = await RawConnection.connect(server.url)
    connection.socket.pause()
    for (let round = 0; round < 40 && connection.isOpen; round++) {
      connection.write(one.repeat(500))
      await request(server.url, '/healthz')
    }
    connection.destroy()
  }
  t.equal((await request(server.url, '/healthz')).status, 200)
})

t.test('a client that sends a thousand requests at once and reads gets them all answered', async t => {
  const connection = await RawConnection.connect(server.url)
  connection.write(one.repeat(1000))
  for (let n = 0; n < 1000; n++) {
    const response = await connection.response()
    if (response?.status !== 404) t.fail(`answer ${n}: ${response?.status}`)
  }
  t.pass('all 404')
  connection.destroy()
})

t.test('a socket that was dropped for not reading may not go on sending', async t => {
  const connection = await RawConnection.connect(server.url)
  connection.write(upgradeText(gatePath(await mint(server.url), 'lobby')))
  t.equal((await connection.response())?.status, 101)
  connection.socket.pause()
  // Pings of 125 bytes, masked with zeros, are each answered with as much; text would soon be more than the rate allows.
  const pings = Buffer.concat(
    Array(100_000).fill(Buffer.concat([Buffer.from([0x89, 0xfd, 0, 0, 0, 0]), Buffer.alloc(125)])),
  )
  const texts = Buffer.concat(Array(1_000_000).fill(Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x7b, 0x7d])))
  const admin = async (path: string) => request(server.admin, path, { headers: bearer(adminKey) })
  connection.write(pings)
  connection.write(texts)
  while (jsonOf(await admin('/connections')).connections !== 0);
  const { text } = await admin('/metrics')
  t.ok(
    Number(/^ticketgate_messages_received_total (\d+)$/m.exec(text)?.[1]) <= 201,
    'hardly a message of it counted',
  )
  t.match(text, /^ticketgate_connections_closed_total\{reason="slow_reader"\} 1$/m)
  connection.destroy()
})
