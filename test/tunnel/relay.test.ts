import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { createConnection, createServer, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { metric } from '../support/http.js'
import { Queue } from '../support/queue.js'
import { RawConnection, upgradeText } from '../support/raw.js'
import type { TestServer } from '../support/server.js'
import { mint } from '../support/tokens.js'
import { openThrough, startTunnels, type Through, textOf } from '../support/tunnel.js'
import { type Arrival, startUpstream } from '../support/upstream.js'

const maxBytes = 1_000_000
const upstream = await startUpstream(t)
const path = '/a/b'
const gate = await startTunnels(t, `/a/*=ws://127.0.0.1:${upstream.port}`, {
  TICKETGATE_MESSAGE_RATE: 'off',
  TICKETGATE_MAX_MESSAGE_BYTES: String(maxBytes),
  TICKETGATE_MAX_BACKPRESSURE_BYTES: '1000000',
})

interface Pair {
  readonly client: Through
  readonly arrival: Arrival
}

const openPair = async (server: Pick<TestServer, 'url'> = gate, at = upstream): Promise<Pair> => {
  const client = await openThrough(server, path)
  return { client, arrival: await at.next() }
}

const end = async ({ client, arrival }: Pair): Promise<void> => {
  client.socket.close()
  await arrival.closed
}

const hears = async ({ frames }: Arrival, count: number): Promise<string[]> => {
  const heard: string[] = []
  while (heard.length < count) heard.push(textOf(await frames.next()))
  return heard
}

t.test('text stays text, binary stays binary, and messages are neither split nor joined', async t => {
  const pair = await openPair()
  const { client, arrival } = pair
  const messages = ['', 'a', 'Zoë 🙂', '{"a":1}', Buffer.alloc(0), Buffer.from([0, 255, 128]), 'last']
  const expected = ['text ', 'text a', 'text Zoë 🙂', 'text {"a":1}', 'binary ', 'binary 00ff80', 'text last']
  for (const message of messages) client.socket.send(message)
  for (const message of messages) arrival.socket.send(message)
  t.strictSame(await hears(arrival, messages.length), expected)
  t.strictSame(await client.hears(messages.length), expected)
  await end(pair)
})

t.test('a fragmented message arrives as one, even with control frames between its fragments', async t => {
  const pair = await openPair()
  const { client, arrival } = pair
  for (const [from, hear] of [
    [client.socket, () => hears(arrival, 2)],
    [arrival.socket, () => client.hears(2)],
  ] as const) {
    const pongs = new Queue<string>()
    from.on('pong', data => pongs.push(String(data)))
    // One character, cut in two.
    from.send(Buffer.from([0xc3]), { fin: false, binary: false })
    from.ping('between')
    from.send(Buffer.from([0xab]), { fin: false, binary: false })
    from.ping('again')
    from.send('!', { fin: true, binary: false })
    for (let byte = 0; byte < 4; byte++) from.send(Buffer.from([byte]), { fin: byte === 3, binary: true })
    t.strictSame(await hear(), ['text ë!', 'binary 00010203'])
    t.strictSame([await pongs.next(), await pongs.next()], ['between', 'again'], 'the gate answers pings')
  }
  await end(pair)
})

t.test('messages up to the limit pass both ways, and a larger one closes with 1009', async t => {
  const pair = await openPair()
  const { client, arrival } = pair
  const large = randomBytes(maxBytes)
  client.socket.send(large)
  t.ok((await arrival.frames.next()).data.equals(large))
  arrival.socket.send(large)
  t.ok((await client.frames.next()).data.equals(large))
  client.socket.send(randomBytes(maxBytes + 1))
  t.strictSame(await client.closed, { code: 1009, reason: `at most ${maxBytes} bytes` })
  t.equal((await arrival.closed).code, 1009)

  const other = await openPair()
  other.arrival.socket.send(randomBytes(1_048_577))
  t.match(
    await other.client.closed,
    { code: 1014, reason: /^retry_after_ms=\d+$/ },
    'from the upstream server',
  )
  t.equal((await other.arrival.closed).code, 1009)
})

t.test('close codes and reasons pass both ways', async t => {
  const reason = 'why not: Zoë'
  for (const code of [1000, 1001, 1003, 1008, 1011, 4000, 4321]) {
    const one = await openPair()
    one.client.socket.close(code, reason)
    t.strictSame(await one.arrival.closed, { code, reason }, `${code} from the client`)
    const two = await openPair()
    two.arrival.socket.close(code, reason)
    t.strictSame(await two.client.closed, { code, reason }, `${code} from the upstream server`)
  }
  for (const code of [1012, 1013, 3000, 3999]) {
    const { client, arrival } = await openPair()
    arrival.socket.close(code, reason)
    t.strictSame(await client.closed, { code, reason }, `${code} from the upstream server`)
  }
  const one = await openPair()
  one.client.socket.close()
  t.strictSame(await one.arrival.closed, { code: 1005, reason: '' }, 'no code from the client')
  const two = await openPair()
  two.arrival.socket.close()
  t.strictSame(await two.client.closed, { code: 1005, reason: '' }, 'no code from the upstream server')
})

t.test('both ends can close at the same time', async t => {
  for (let round = 0; round < 20; round++) {
    const { client, arrival } = await openPair()
    client.socket.close(4001, 'client')
    arrival.socket.close(4002, 'upstream')
    const [ended, endedUpstream] = await Promise.all([client.closed, arrival.closed])
    t.ok([4001, 4002].includes(ended.code), `the client sees ${ended.code}`)
    t.ok([4001, 4002, 1006].includes(endedUpstream.code), `the upstream server sees ${endedUpstream.code}`)
  }
})

t.test('early messages are kept until the upstream server responds, within a limit', async t => {
  const held: Socket[] = []
  let onConnection = (): void => {}
  const slow = createServer(socket => {
    held.push(socket)
    socket.on('error', () => {})
    onConnection()
  })
  await once(slow.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => {
    for (const socket of held) socket.destroy()
    slow.close()
  })
  const address = slow.address()
  const port = typeof address === 'object' ? address?.port : 0
  const target = await startUpstream(t)
  const server = await startTunnels(t, `/a/*=ws://127.0.0.1:${port}`, {
    TICKETGATE_MAX_MESSAGE_BYTES: '1024',
    TICKETGATE_MAX_BACKPRESSURE_BYTES: '8192',
  })
  /** Connects the oldest held connection to the upstream server. */
  const letThrough = async (): Promise<void> => {
    if (held.length === 0)
      await new Promise<void>(resolve => {
        onConnection = resolve
      })
    const socket = held.shift()
    const onward = createConnection(target.port, '127.0.0.1')
    onward.on('error', () => {})
    socket?.pipe(onward).pipe(socket)
  }

  const early = await openThrough(server, path)
  for (const message of ['one', Buffer.from([1]), 'two']) early.socket.send(message)
  await letThrough()
  const arrival = await target.next()
  t.strictSame(await hears(arrival, 3), ['text one', 'binary 01', 'text two'], 'in order')
  arrival.socket.send('answer')
  t.strictSame(await early.hears(1), ['text answer'])
  early.socket.close()
  await arrival.closed

  const gone = await openThrough(server, path)
  gone.socket.send('my last words')
  gone.socket.close(4000, 'gone')
  await gone.closed
  await letThrough()
  const late = await target.next()
  t.strictSame(await hears(late, 1), ['text my last words'], 'a client that has already left')
  t.strictSame(await late.closed, { code: 4000, reason: 'gone' })

  const flood = await openThrough(server, path)
  for (let n = 0; n < 100; n++) flood.socket.send('x'.repeat(1000))
  t.match(await flood.closed, { code: 1013, reason: /^retry_after_ms=\d+$/ })
})

t.test('a slow client pauses the upstream server and loses nothing', async t => {
  const server = await startTunnels(t, `/a/*=ws://127.0.0.1:${upstream.port}`)
  const pair = await openPair(server)
  const { client, arrival } = pair
  client.socket.pause()
  const message = randomBytes(60_000)
  const count = 1000
  for (let n = 0; n < count; n++) arrival.socket.send(message)
  while ((await metric(server, 'ticketgate_tunnel_pauses_total{tunnel="/a/*"}')) === 0) await delay(20)
  const passed = await metric(server, 'ticketgate_tunnel_messages_to_clients_total{tunnel="/a/*"}')
  t.ok(passed < count, `the gate holds messages back: ${passed} of ${count} have passed`)
  t.ok(arrival.socket.bufferedAmount > 0, 'the others wait at the upstream server')
  client.socket.resume()
  for (let n = 0; n < count; n++)
    if (!(await client.frames.next()).data.equals(message))
      t.fail(`message ${n} is not the one that was sent`)
  await end(pair)
})

t.test('an upstream server that does not read is disconnected', async t => {
  const server = await startTunnels(t, `/a/*=ws://127.0.0.1:${upstream.port}`, {
    TICKETGATE_MESSAGE_RATE: 'off',
  })
  const { client, arrival } = await openPair(server)
  arrival.socket.pause()
  const flood = setInterval(() => {
    for (let n = 0; n < 100; n++) client.socket.send(Buffer.alloc(16_000))
  }, 5)
  t.match(await client.closed, { code: 1013, reason: /^retry_after_ms=\d+$/ })
  clearInterval(flood)
  t.equal(await metric(server, 'ticketgate_connections_closed_total{reason="upstream_slow"}'), 1)
  arrival.socket.resume()
  t.equal((await arrival.closed).code, 1006)
})

/** A frame as a client sends it, masked with zeros. */
const maskedFrame = (first: number, payload: Buffer): Buffer =>
  Buffer.concat([Buffer.from([first, 0x80 | payload.length, 0, 0, 0, 0]), payload])

/** A client whose bytes are all written by the test. */
const openRaw = async (): Promise<{ connection: RawConnection; arrival: Arrival }> => {
  const connection = await RawConnection.connect(gate.url)
  connection.write(upgradeText(`${path}?ticket=${await mint(gate.url)}`))
  return { connection, arrival: await upstream.next() }
}

t.test('protocol errors end both sides', async t => {
  for (const [name, bytes] of [
    ['text that is not UTF-8', maskedFrame(0x81, Buffer.from([0xc3, 0x28]))],
    ['half a character', maskedFrame(0x81, Buffer.from([0xc3]))],
    ['a reserved bit', maskedFrame(0xc1, Buffer.from('a'))],
    ['an unknown opcode', maskedFrame(0x83, Buffer.from('a'))],
    ['a continuation without a first frame', maskedFrame(0x80, Buffer.from('a'))],
    ['a fragmented ping', maskedFrame(0x09, Buffer.from('a'))],
  ] as const) {
    const { connection, arrival } = await openRaw()
    connection.write(bytes)
    t.equal((await arrival.closed).code, 1006, `${name}, from a client`)
    await connection.closed
  }
  for (const [name, bytes] of [
    ['text that is not UTF-8', [0x81, 2, 0xc3, 0x28]],
    ['a masked frame', [0x81, 0x81, 0, 0, 0, 0, 0x61]],
    ['a continuation without a first frame', [0x80, 1, 0x61]],
  ] as const) {
    const { client, arrival } = await openPair()
    const { _socket: raw } = arrival.socket as unknown as { readonly _socket: Socket }
    raw.write(Buffer.from(bytes))
    t.match(
      await client.closed,
      { code: 1014, reason: /^retry_after_ms=\d+$/ },
      `${name}, from the upstream server`,
    )
    await arrival.closed
  }
})

t.test('either end can disappear in the middle of a message', async t => {
  const { connection, arrival } = await openRaw()
  connection.write(maskedFrame(0x01, Buffer.from('half of it')))
  connection.reset()
  t.strictSame(await arrival.closed, { code: 1006, reason: '' })

  const pair = await openPair()
  pair.arrival.socket.send('half of it', { fin: false })
  pair.arrival.socket.terminate()
  t.match(await pair.client.closed, { code: 1014, reason: /^retry_after_ms=\d+$/ })
  t.equal(await metric(gate, 'ticketgate_tunnel_connections{tunnel="/a/*"}'), 0)
})

/** Opens `count` sockets, `width` at a time, and closes them from either end. */
const churn = async (t: Test, name: string, count: number, width: number): Promise<void> => {
  let left = count
  const one = async (): Promise<void> => {
    for (let n = left--; n > 0; n = left--) {
      const client = await openThrough(gate, `/a/${name}-${n}`)
      const arrival = await upstream.nextAt(`/${name}-${n}`)
      if (n % 4 === 0) arrival.socket.close()
      else if (n % 4 === 1) arrival.socket.terminate()
      else if (n % 4 === 2) client.socket.close()
      else client.socket.terminate()
      await Promise.all([client.closed, arrival.closed])
    }
  }
  await Promise.all(Array.from({ length: width }, one))
  t.equal(upstream.size, 0)
}

t.test('opening and closing many tunnels leaks no file descriptors', async t => {
  const descriptors = (): number => readdirSync(`/proc/${gate.pid}/fd`).length
  await churn(t, 'first', 50, 10)
  const before = descriptors()
  await churn(t, 'then', 2000, 20)
  while (descriptors() > before) await delay(20)
  t.ok(descriptors() <= before, 'no more file descriptors are open than before')
  t.equal(await metric(gate, 'ticketgate_tunnel_connections{tunnel="/a/*"}'), 0)
  t.equal(await metric(gate, 'ticketgate_connections'), 0)
})
