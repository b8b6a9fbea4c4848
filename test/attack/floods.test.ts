import { once } from 'node:events'
import t from 'tap'
import { bearer, jsonOf, request } from '../support/http.js'
import { RawConnection, serverHasRead, upgradeText } from '../support/raw.js'
import { adminKey, startServer, type TestServer } from '../support/server.js'
import { gatePath, mint } from '../support/tokens.js'

const server = await startServer(t)
const one = 'GET /x HTTP/1.1\r\nHost: a\r\n\r\n'
const mebibyte = 1024 * 1024

/**
 * Writes until the server closes the connection or `maxBytes` are sent. Returns whether the server
 * has closed it.
 */
const isCutOff = async (
  connection: RawConnection,
  chunk: string | Buffer,
  maxBytes: number,
): Promise<boolean> => {
  for (let sent = 0; sent < maxBytes && connection.isOpen; sent += chunk.length)
    if (!connection.socket.write(chunk))
      await Promise.race([once(connection.socket, 'drain').catch(() => {}), connection.closed])
  return !connection.isOpen
}

t.test('endless requests on one connection are cut off, and others are served', async t => {
  for (const [name, isRead] of [
    ['a client that reads', true],
    ['a client that does not read', false],
  ] as const) {
    const connection = await RawConnection.connect(server.url)
    if (isRead) connection.socket.removeAllListeners('data').resume()
    else connection.socket.pause()
    const flood = isCutOff(connection, one.repeat(20_000), 100 * mebibyte)
    t.equal((await request(server.url, '/healthz')).status, 200, `${name}: others are served`)
    t.ok(await flood, `${name}: the connection is closed`)
    connection.destroy()
  }
})

t.test('a client that never reads is cut off, however slowly it sends', async t => {
  for (const line of ['GET /x', 'GET /healthz', 'OPTIONS /auth', 'HEAD /auth', 'POST /x']) {
    const connection = await RawConnection.connect(server.url)
    connection.socket.pause()
    let rounds = 0
    // Hundreds of responses per round; the kernel buffers some megabytes of them for the client.
    for (; rounds < 500 && connection.isOpen; rounds++) {
      connection.write(`${line} HTTP/1.1\r\nHost: a\r\n\r\n`.repeat(500))
      await request(server.url, '/healthz')
    }
    t.ok(rounds < 500, `${line}: cut off after ${rounds} rounds`)
    connection.destroy()
  }
})

t.test('after a response that closes the connection, nothing more is read from it', async t => {
  const connection = await RawConnection.connect(server.url)
  // uWS does not close the connection if it already has another request.
  connection.write(upgradeText('/channel/') + one)
  t.equal((await connection.response())?.status, 401)
  t.equal((await connection.response())?.status, 404, 'a request that arrived in the same packet is answered')
  connection.write(one)
  t.equal(await connection.response(), undefined, 'a later one is not')
})

t.test('unanswered HEAD requests are cut off as well', async t => {
  // A server without other requests, so that its counts are exact.
  const fresh = await startServer(t)
  const head = 'HEAD /auth HTTP/1.1\r\nHost: a\r\n\r\n'
  const connection = await RawConnection.connect(fresh.url)
  const counts = [10, ...Array<number>(50).fill(32)]
  for (const count of counts) {
    if (!connection.isOpen) break
    connection.write(head.repeat(count))
    await serverHasRead(fresh.url)
  }
  await connection.closed
  const answered = connection.rest.split('HTTP/1.1 405').length - 1
  t.ok(answered < counts.reduce((sum, count) => sum + count), 'the connection closes before all are answered')
})

t.test('unread responses never crash the process, wherever the buffer fills up', async t => {
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

t.test('a client that sends a thousand requests at once and reads gets all responses', async t => {
  const connection = await RawConnection.connect(server.url)
  connection.write(one.repeat(1000))
  for (let n = 0; n < 1000; n++) {
    const response = await connection.response()
    if (response?.status !== 404) t.fail(`answer ${n}: ${response?.status}`)
  }
  t.pass('all responses are 404')
  connection.destroy()
})

t.test('a socket that is closed for not reading cannot continue sending', async t => {
  const connection = await RawConnection.connect(server.url)
  connection.write(upgradeText(gatePath(await mint(server.url), 'lobby')))
  t.equal((await connection.response())?.status, 101)
  connection.socket.pause()
  // Pings of 125 bytes, masked with zeros, are each answered with as many bytes. Text messages would
  // soon exceed the rate.
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
    'hardly any of its messages are counted',
  )
  t.match(text, /^ticketgate_connections_closed_total\{reason="(slow_reader|rate_limited)"\} 1$/m)
  connection.destroy()
})

const upgrade = async (at: TestServer): Promise<RawConnection> => {
  const connection = await RawConnection.connect(at.url)
  connection.write(upgradeText(gatePath(await mint(at.url), 'lobby')))
  if ((await connection.response())?.status !== 101) throw new Error('the upgrade was refused')
  connection.socket.removeAllListeners('data').resume()
  return connection
}

const frames = (head: number): Buffer =>
  Buffer.concat(Array(50_000).fill(Buffer.from([head, 0x80, 0, 0, 0, 0])))

t.test('endless frames are cut off, with and without a message rate', async t => {
  const rateless = await startServer(t, { env: { TICKETGATE_MESSAGE_RATE: 'off' } })
  for (const [name, head] of [
    ['messages', 0x81],
    ['pings', 0x89],
    ['pongs', 0x8a],
  ] as const)
    for (const at of [server, rateless]) {
      const connection = await upgrade(at)
      const flood = isCutOff(connection, frames(head), 100 * mebibyte)
      t.equal((await request(at.url, '/healthz')).status, 200, `${name}: others are served`)
      await flood
      // Everything may have been sent before this side notices that the connection is closed.
      await connection.closed
      t.pass(`${name}: the connection is closed`)
    }
})

t.test('the body of a refused request is not read endlessly', async t => {
  for (const [base, line] of [
    [server.url, 'POST /nothing'],
    [server.url, 'OPTIONS /auth'],
    [server.url, 'HEAD /auth'],
    [server.admin, 'POST /publish'],
  ] as const) {
    const connection = await RawConnection.connect(base)
    connection.write(`${line} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n`)
    t.ok(await isCutOff(connection, '1\r\na\r\n'.repeat(20_000), 100 * mebibyte), line)
  }
})

t.test('unread copies of a page do not accumulate', async t => {
  const page = await startServer(t, { env: { TICKETGATE_CONSOLE: 'on' } })
  const connection = await RawConnection.connect(page.url)
  connection.socket.pause()
  let asked = 0
  for (; asked < 2000 && connection.isOpen; asked += 10) {
    connection.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(10))
    await request(page.url, '/healthz')
  }
  t.ok(asked < 2000, `cut off after ${asked} requests`)
  const reader = await RawConnection.connect(page.url)
  for (let n = 0; n < 20; n++) {
    reader.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    t.match((await reader.response())?.text, /<\/html>\s*$/, 'a client that reads gets all of it')
  }
  reader.destroy()
})
