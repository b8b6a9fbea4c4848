import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { type ConnectOptions, connect, GateError } from '../../src/client/index.js'
import { connectTo } from '../support/gate-client.js'
import { jsonOf, request } from '../support/http.js'
import { adminKey, startServer, type TestServer } from '../support/server.js'
import { openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, mint, nowSeconds, tokenFor } from '../support/tokens.js'

const server = await startServer(t)
const expired = { iat: nowSeconds() - 10, exp: nowSeconds() - 1 }

const peerOn = async (at: TestServer, channel: string, user = 'theo') =>
  (await openSession(socketUrl(at.url, gatePath(await mint(at.url, user), channel)))).client

const openSockets = async (at: TestServer): Promise<unknown> =>
  jsonOf(await request(at.admin, '/connections', { headers: { authorization: `Bearer ${adminKey}` } }))

t.test('opens, is welcomed, receives and publishes', async t => {
  const gate = connectTo(t, server.url, { channel: 'lobby' })
  t.equal(gate.state, 'connecting')
  const welcome = await gate.next('open')
  t.match(welcome, { user: 'maggie', channel: 'lobby' })
  t.equal(gate.state, 'open')
  const peer = await peerOn(server, 'lobby')
  peer.send({ type: 'publish', data: { text: 'hi' } })
  t.strictSame(await gate.next('message'), { channel: 'lobby', data: { text: 'hi' }, user: 'theo' })
  await gate.publish({ text: 'hello' })
  t.match(await peer.next(), { type: 'message', channel: 'lobby', data: { text: 'hello' }, user: 'maggie' })
  await peer.close()
})

t.test('carries the ticket in the subprotocols, never in a URL', async t => {
  const gate = connectTo(t, server.url, { channel: 'lobby' })
  await gate.opened()
  t.strictSame(gate.urls, [`${socketUrl(server.url, '/channel/lobby')}`])
  t.equal(gate.tickets.length, 1)
})

t.test('subscribes and unsubscribes, with a reply to each', async t => {
  const gate = connectTo(t, server.url, { channel: 'lobby' })
  // This works before it is open, too.
  await gate.subscribe('news')
  const peer = await peerOn(server, 'other')
  const say = (channel: string, data: string) => peer.ask({ type: 'publish', channel, data, id: 1 })
  await say('news', 'one')
  t.match(await gate.next('message'), { channel: 'news', data: 'one' })
  await gate.unsubscribe('news')
  await gate.unsubscribe('lobby')
  await say('news', 'unheard')
  await say('lobby', 'unheard')
  await gate.subscribe('lobby')
  await say('lobby', 'two')
  t.match(await gate.next('message'), { channel: 'lobby', data: 'two' })
  await gate.publish('three', 'other')
  t.match(await peer.next(), { channel: 'other', data: 'three' })
  await peer.close()
})

t.test('a request that the server refuses rejects with its code, and the connection stays open', async t => {
  const claims = { channels: { publish: [], subscribe: ['lobby'] } }
  const gate = connectTo(t, server.url, { channel: 'lobby', claims })
  await gate.opened()
  await t.rejects(gate.publish('no'), { name: 'GateError', code: 'channel_forbidden' })
  await t.rejects(gate.subscribe('admin'), { name: 'GateError', code: 'channel_forbidden' })
  await t.rejects(gate.subscribe('no such name!'), { code: 'channel_invalid' })
  t.equal(gate.state, 'open')
})

t.test('with channelOnly, the ticket opens that channel only', async t => {
  const gate = connectTo(t, server.url, { channel: 'lobby', channelOnly: true })
  await gate.opened()
  await t.rejects(gate.subscribe('news'), { code: 'channel_forbidden' })
})

t.test('messages can be read by an async iterator, which ends with close()', async t => {
  const gate = connectTo(t, server.url, { channel: 'loop' })
  await gate.opened()
  const peer = await peerOn(server, 'loop')
  const read: unknown[] = []
  const reading = (async () => {
    for await (const { data } of gate) {
      read.push(data)
      if (read.length === 3) await gate.close()
    }
  })()
  for (const data of [1, 2, 3]) peer.send({ type: 'publish', data })
  await reading
  t.strictSame(read, [1, 2, 3])
  await peer.close()
})

t.test('leaving the loop leaves the connection open', async t => {
  const gate = connectTo(t, server.url, { channel: 'loop' })
  await gate.opened()
  const peer = await peerOn(server, 'loop')
  peer.send({ type: 'publish', data: 1 })
  for await (const { data } of gate) {
    t.equal(data, 1)
    break
  }
  t.equal(gate.state, 'open')
  await peer.close()
})

t.test('a slow reader gets an error, and takes no more memory than its limit', async t => {
  const gate = connectTo(t, server.url, { channel: 'slow' })
  const reader = gate.messages(2)
  await gate.opened()
  const peer = await peerOn(server, 'slow')
  for (const data of [1, 2, 3]) peer.send({ type: 'publish', data })
  for (const data of [1, 2, 3]) t.match(await gate.next('message'), { data })
  t.match(await reader.next(), { value: { data: 1 } })
  t.match(await reader.next(), { value: { data: 2 } })
  await t.rejects(reader.next(), { code: 'reader_too_slow' })
  t.strictSame(await reader.next(), { value: undefined, done: true })
  await peer.close()
})

t.test('data that JSON cannot hold is refused, and the connection stays open', async t => {
  const gate = connectTo(t, server.url, { channel: 'lobby' })
  await gate.opened()
  // A request that waits for a reply sets a time limit, after which the connection would end.
  const { setTimeout } = globalThis
  const timers = t.capture(globalThis, 'setTimeout', setTimeout)
  const refused = gate.publish(1n)
  const limits = timers().length
  timers.restore()
  await t.rejects(refused, TypeError)
  t.equal(limits, 0, 'it does not wait for a reply')
  await gate.publish('well')
  t.equal(gate.tickets.length, 1, 'the connection is the same')
})

t.test('a listener that throws does not affect others', async t => {
  const gate = connectTo(t, server.url)
  const thrown = new Promise(resolve => process.once('uncaughtException', resolve))
  gate.on('open', () => {
    throw new Error('thrown by the listener')
  })
  const second = new Promise(resolve => gate.on('open', resolve))
  await second
  t.match(await thrown, { message: 'thrown by the listener' })
  t.equal(gate.state, 'open')
})

t.test('a listener can be removed', async t => {
  const gate = connectTo(t, server.url)
  const off = gate.on('open', () => t.fail('a removed listener is not called'))
  off()
  await gate.next('open')
})

t.test('close() is clean and final', async t => {
  const alone = await startServer(t)
  const gate = connectTo(t, alone.url)
  await gate.opened()
  t.strictSame(await openSockets(alone), { connections: 1 })
  await gate.close()
  t.strictSame(await openSockets(alone), { connections: 0 })
  t.equal(gate.state, 'closed')
  t.match(await gate.next('close'), { code: 'closed' })
  await t.rejects(gate.publish(1), { code: 'not_open' })
  await t.rejects(gate.opened(), { code: 'closed' })
  await t.rejects(gate.subscribe('x'), { code: 'closed' })
  t.strictSame(await gate.messages().next(), { value: undefined, done: true })
  await gate.close()
  t.equal(gate.heard.filter(({ name }) => name === 'close').length, 1)
  t.equal(gate.tickets.length, 1)
})

t.test('close() before the socket is open opens nothing', async t => {
  const gate = connectTo(t, server.url)
  await gate.close()
  t.match(await gate.next('close'), { code: 'closed' })
  t.strictSame(gate.tickets, [])
})

t.test('close() does not wait for a getToken that never returns', async t => {
  const gate = connectTo(t, server.url, { getToken: () => new Promise(() => {}) })
  await gate.close()
  t.equal(gate.state, 'closed')
})

t.test('close() in a retry listener ends the wait', async t => {
  const gate = connectTo(t, server.url, {
    getToken: () => Promise.reject(new Error('down')),
    minDelayMs: 3_600_000,
    maxDelayMs: 3_600_000,
  })
  const closed = new Promise<void>(resolve => gate.on('retry', () => resolve(gate.close())))
  await closed
  t.equal(gate.state, 'closed')
})

t.test('gives up if the platform refuses to create a socket', async t => {
  class Refusing {
    constructor() {
      throw new Error('SecurityError')
    }
  }
  const gate = connectTo(t, server.url, { WebSocket: Refusing as never })
  t.match(await gate.next('close'), { code: 'socket_unavailable' })
})

t.test('a server that never finishes its response is abandoned after the time limit', async t => {
  const stalling = createServer((_, response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).write('{"ticket":')
  }).listen(0, '127.0.0.1')
  await once(stalling, 'listening')
  t.teardown(() => stalling.closeAllConnections())
  t.teardown(() => stalling.close())
  const url = `http://127.0.0.1:${(stalling.address() as AddressInfo).port}`
  const gate = connectTo(t, url, { timeoutMs: 50 })
  let retry = await gate.next('retry')
  // On a busy machine the time limit may pass before the reply begins.
  while (retry.error.code === 'unreachable') retry = await gate.next('retry')
  t.match(retry, { error: { code: 'bad_reply' } })
})

t.test('a handshake refused for a reason other than the ticket is retried', async t => {
  const small = await startServer(t, { env: { TICKETGATE_MAX_CONNECTIONS: '1' } })
  const peer = await peerOn(small, 'only')
  const gate = connectTo(t, small.url)
  t.match(await gate.next('retry'), { error: { code: 'too_many_connections' } })
  await peer.close()
  await gate.opened()
})

t.test('gives up on a refusal that no retry can change, and says which', async t => {
  const nothing = { channels: { publish: [], subscribe: [] } }
  const cases = [
    [
      'a channel without a right to it',
      { channel: 'red', channelOnly: true, claims: nothing },
      'channel_forbidden',
      1,
    ],
    ['a path without a server', { url: `${server.url}/elsewhere` }, 'not_found', 1],
    ['an invalid token every time', { getToken: () => 'no.token.here' }, 'token_invalid', 8],
    ['no token', { getToken: () => '' }, 'token_invalid', 8],
    ['a token that has expired', { claims: expired }, 'token_expired', 8],
    [
      'getToken gives up',
      { getToken: () => Promise.reject(new GateError('signed_out', 'Nobody is here.')) },
      'signed_out',
      1,
    ],
  ] as const
  for (const [name, options, code, asked] of cases) {
    const gate = connectTo(t, server.url, options)
    const opened = t.rejects(gate.opened(), { code }, `${name}: opened() rejects`)
    t.match(await gate.next('close'), { code }, name)
    await opened
    t.equal(gate.asked.length, asked, `${name}: getToken is called ${asked} times`)
    t.strictSame(
      gate.asked,
      [false, ...Array(asked - 1).fill(true)],
      `${name}: after the first call, for a fresh token`,
    )
    t.strictSame(gate.tickets, [], `${name}: no socket is opened`)
    await t.rejects(gate.messages().next(), { code }, `${name}: a reader gets the error`)
  }
})

t.test('a refused token is requested once more, and the fresh one is used', async t => {
  const gate = connectTo(t, server.url, {
    getToken: ({ fresh }) => tokenFor('maggie', fresh ? {} : expired),
  })
  await gate.opened()
  t.strictSame(gate.asked, [false, true])
  t.match(await gate.next('retry'), { error: { code: 'token_expired' }, delayMs: 0 })
})

t.test('transient failures are retried', async t => {
  let times = 0
  const gate = connectTo(t, server.url, {
    async getToken() {
      if (++times < 3) throw new Error('the login server is unreachable')
      return tokenFor('maggie')
    },
  })
  await gate.opened()
  for (const failures of [1, 2]) {
    const retry = await gate.next('retry')
    t.match(retry, { failures, error: { code: 'token_unavailable' } })
    t.ok(retry.delayMs <= 20 * 2 ** (failures - 1), 'the wait is within the bounds of the backoff')
  }
})

t.test('Retry-After is honoured', async t => {
  const limited = await startServer(t, { env: { TICKETGATE_TICKET_RATE: '1/2' } })
  let statedMs: number | undefined
  const gate = connectTo(t, limited.url, {
    // Other requests of this user use up the rate, until the client is refused.
    async fetch(url, options) {
      let reply = await fetch(url, options)
      while (statedMs === undefined && reply.ok) reply = await fetch(url, options)
      statedMs ??= Number(reply.headers.get('retry-after')) * 1000
      return reply
    },
  })
  const { error, delayMs } = await gate.next('retry')
  t.match(error, { code: 'rate_limited', retryAfterMs: statedMs })
  t.ok(statedMs === 1000 || statedMs === 2000, `Retry-After is ${statedMs} ms`)
  t.ok(
    delayMs >= Number(statedMs) && delayMs <= Number(statedMs) + 20,
    `it waits that long plus a little jitter: ${delayMs}`,
  )
  await gate.opened()
  t.equal(gate.asked.length, 2, 'it does not return too early')
})

t.test('a socket closed for flooding returns when the server says so', async t => {
  const strict = await startServer(t, { env: { TICKETGATE_MESSAGE_RATE: '2/1' } })
  const gate = connectTo(t, strict.url)
  await gate.opened()
  // So many that even a busy machine, which reads them slowly, cannot accept them all.
  const sent = await Promise.allSettled(Array.from({ length: 100 }, (_, index) => gate.publish(index)))
  const rejected = sent.flatMap(each => (each.status === 'rejected' ? [each.reason as GateError] : []))
  t.ok(rejected.length >= 4, 'requests that get no reply are rejected')
  t.ok(rejected.every(({ code }) => code === 'connection_lost'))
  const { error, delayMs } = await gate.next('retry')
  t.equal(error.code, 'rate_limited')
  t.ok(error.retryAfterMs !== undefined && error.retryAfterMs >= 1000, `${error.retryAfterMs}`)
  t.ok(delayMs >= (error.retryAfterMs ?? 0))
  await gate.opened()
})

t.test('a session that ends without renewal is followed by one with a fresh token', async t => {
  let isOver = false
  const gate = connectTo(t, server.url, {
    getToken({ fresh }) {
      if (!fresh) return tokenFor('maggie', { exp: nowSeconds() + 10 })
      // Another user's ticket renews nothing.
      return tokenFor(isOver ? 'maggie' : 'theo')
    },
  })
  gate.on('retry', () => {
    isOver = true
  })
  const { expires } = await gate.next('open')
  t.match(await gate.next('retry'), { error: { code: 'session_expired' }, delayMs: 0 })
  t.ok((await gate.next('open')).expires > expires + 500)
  t.strictSame([...new Set(gate.asked)], [false, true])
  t.ok(gate.asked.length > 2, 'it tried to renew')
})

t.test('options that cannot work are refused at once', async t => {
  const getToken = (): string => ''
  const cases: [ConnectOptions, RegExp][] = [
    [{ url: 'nowhere', getToken }, /^url: /],
    [{ url: 'ftp://example.com', getToken }, /^url: /],
    [{ url: server.url, channel: 'a b', getToken }, /^channel: /],
  ]
  for (const [options, message] of cases)
    t.throws(() => connect({ WebSocket: class {} as never, ...options }), { name: 'TypeError', message })
})
