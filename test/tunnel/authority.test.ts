import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { EventStream } from '../support/event-stream.js'
import { bearer, type Json, metric, postJson, request, requestUpgrade } from '../support/http.js'
import { isProblem } from '../support/problem.js'
import { adminKey, type Environment, type TestServer } from '../support/server.js'
import { openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, mintWith, nextSecond, nowSeconds, tokenFor } from '../support/tokens.js'
import { openThrough, startTunnels, type Through } from '../support/tunnel.js'
import { type Arrival, startUpstream } from '../support/upstream.js'

const path = '/a/b'

const start = async (t: Test, env: Environment = {}, settings = '') => {
  const upstream = await startUpstream(t)
  const gate = await startTunnels(t, `/a/*=ws://127.0.0.1:${upstream.port}${settings}`, env)
  return { upstream, gate }
}

const disconnect = async ({ admin }: TestServer, subject: object): Promise<unknown> => {
  const reply = await postJson(admin, '/disconnect', subject, { headers: bearer(adminKey) })
  return JSON.parse(reply.text)
}

const expectSameEnd = async (
  t: Test,
  client: Through,
  arrival: Arrival,
  code: number,
  reason: RegExp,
  name: string,
) => {
  const ended = await client.closed
  t.match(ended, { code, reason }, name)
  t.strictSame(await arrival.closed, ended, `${name}: the upstream server gets the same code and reason`)
}

t.test('a tunnel ends with its session', async t => {
  const { gate, upstream } = await start(t)
  const openFor = async (seconds: number): Promise<Through> => {
    const { ticket } = await mintWith(gate.url, tokenFor('maggie', { exp: nowSeconds() + seconds }))
    return openThrough(gate, path, { ticket })
  }
  let client: Through | undefined
  // On a busy machine, a session of two seconds can be over before it opens.
  for (let seconds = 2; client === undefined; seconds *= 2)
    client = await openFor(seconds).catch(() => undefined)
  await expectSameEnd(t, client, await upstream.next(), 4401, /^session_expired$/, 'expiry')
})

t.test('a revocation reaches tunnels, by user and by session, in every thread', async t => {
  const { gate, upstream } = await start(t, { TICKETGATE_THREADS: '2' })
  const open: Through[] = []
  for (let n = 0; n < 12; n++) {
    const { ticket } = await mintWith(gate.url, tokenFor(n % 2 === 0 ? 'maggie' : 'theo', { sid: `s${n}` }))
    open.push(await openThrough(gate, path, { ticket }))
  }
  const arrivals = new Map<unknown, Arrival>()
  for (const _ of open) {
    const arrival = await upstream.next()
    arrivals.set(arrival.request.headers['x-ticket-session'], arrival)
  }
  t.equal(arrivals.size, open.length)
  t.strictSame(await disconnect(gate, { session: 's1' }), { disconnected: 1 })
  t.strictSame(await disconnect(gate, { user: 'maggie' }), { disconnected: 6 })
  for (const n of [1, 0, 2, 4, 6, 8, 10]) {
    const client = open[n]
    const arrival = arrivals.get(`s${n}`)
    if (client === undefined || arrival === undefined) throw new Error(`socket ${n} did not arrive`)
    await expectSameEnd(t, client, arrival, 4403, /^revoked$/, `socket ${n}`)
  }
  t.equal(upstream.size, 5, 'the other sockets stay open')
  t.equal(await metric(gate, 'ticketgate_tunnel_connections{tunnel="/a/*"}'), 5)
  t.equal(await metric(gate, 'ticketgate_connections'), 5)
  for (const { socket } of open) socket.terminate()
})

t.test(
  'a tunnel can be disconnected by socket, by channel, and by user and channel, and carries nothing from the gate',
  async t => {
    const { gate, upstream } = await start(t)
    const listed = async (): Promise<Json[]> => {
      const { text } = await request(gate.admin, '/connections?user=maggie', { headers: bearer(adminKey) })
      return JSON.parse(text).connections
    }
    for (const name of ['by socket', 'by channel', 'by user and channel', 'unless renewed'] as const) {
      const client = await openThrough(gate, path)
      const arrival = await upstream.next()
      const [connection] = await listed()
      t.match(connection, { tunnel: '/a/*', channel: 'b', subscriptions: [] })
      const subject = {
        'by socket': { socket: connection?.id },
        'by channel': { channel: 'b' },
        'by user and channel': { user: 'maggie', channel: 'b' },
        'unless renewed': { all: true, reauthenticateWithinSeconds: 1 },
      }[name]
      const reply = await disconnect(gate, subject)
      if (name === 'unless renewed') {
        t.strictSame(reply, { renewRequired: 1 })
        arrival.socket.send('the first message')
        t.strictSame(await client.hears(1), ['text the first message'])
        await expectSameEnd(t, client, arrival, 4401, /^session_expired$/, name)
      } else {
        t.match(reply, { disconnected: 1 }, name)
        await expectSameEnd(t, client, arrival, 4403, /^revoked$/, name)
      }
      // Tokens dated in the second of a revocation are revoked as well.
      await nextSecond()
    }
  },
)

t.test('events report tunnels like other sockets', async t => {
  const { gate, upstream } = await start(t)
  const events = await EventStream.open(t, gate.admin)
  const client = await openThrough(gate, path)
  const arrival = await upstream.next()
  arrival.socket.close(4000, 'enough')
  await client.closed
  await events.upTo('opened').then(all => {
    t.match(all.at(-1)?.data, { user: 'maggie', channel: 'b', subscribed: false })
  })
  await events.expect(t, 'closed', { user: 'maggie', code: 4000, reason: 'enough', by: 'upstream_closed' })
})

t.test('draining closes both sides, and the gate exits', async t => {
  const { gate, upstream } = await start(t, { TICKETGATE_DRAIN_SECONDS: '20' })
  const clients = await Promise.all(Array.from({ length: 20 }, () => openThrough(gate, path)))
  const arrivals = await Promise.all(clients.map(() => upstream.next()))
  gate.signal('SIGTERM')
  for (const { closed } of clients) t.match(await closed, { code: 1012, reason: /^retry_after_ms=\d+$/ })
  for (const { closed } of arrivals)
    t.match(await closed, { code: 1012, reason: /^retry_after_ms=\d+$/ }, 'the upstream server')
  t.strictSame(await gate.exited, { code: 0, signal: null })
})

t.test('caps count tunnels and channel sockets alike', async t => {
  const { gate, upstream } = await start(t, { TICKETGATE_MAX_CONNECTIONS_PER_USER: '2' })
  const first = await openThrough(gate, path)
  await upstream.next()
  const { ticket } = await mintWith(gate.url, tokenFor('maggie'))
  const { client } = await openSession(socketUrl(gate.url, gatePath(ticket)))
  const third = await mintWith(gate.url, tokenFor('maggie'))
  const refused = await requestUpgrade(gate.url, `${path}?ticket=${third.ticket}`)
  isProblem(t, refused, '429 too_many_connections')
  await client.close()
  const again = await openThrough(gate, path, { ticket: third.ticket })
  await upstream.next()
  first.socket.terminate()
  again.socket.terminate()
})

t.test('a tunnel can have its own message rate', async t => {
  const { gate, upstream } = await start(t, { TICKETGATE_MESSAGE_RATE: 'off' }, ';message-rate=5/60')
  const client = await openThrough(gate, path)
  const arrival = await upstream.next()
  for (let n = 0; n < 11; n++) client.socket.send(String(n))
  await expectSameEnd(t, client, arrival, 4429, /^retry_after_ms=\d+$/, 'the burst is twice the count')
  const heard: string[] = []
  for (let n = 0; n < 10; n++) heard.push(String((await arrival.frames.next()).data))
  t.strictSame(heard, ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'], 'messages within the rate arrive')
})

t.test('metrics are counted per tunnel', async t => {
  const upstream = await startUpstream(t)
  const base = `ws://127.0.0.1:${upstream.port}`
  const gate = await startTunnels(t, `/a/*=${base},/b=${base};channel=b`)
  const [one, two] = [await openThrough(gate, path), await openThrough(gate, '/b')]
  const [first, second] = [await upstream.next(), await upstream.next()]
  one.socket.send('x')
  await first.frames.next()
  for (let n = 0; n < 2; n++) second.socket.send('y')
  await two.hears(2)
  const of = (name: string, tunnel: string) => metric(gate, `ticketgate_tunnel_${name}{tunnel="${tunnel}"}`)
  t.equal(await of('connections', '/a/*'), 1)
  t.equal(await of('messages_from_clients_total', '/a/*'), 1)
  t.equal(await of('messages_to_clients_total', '/a/*'), 0)
  t.equal(await of('messages_from_clients_total', '/b'), 0)
  t.equal(await of('messages_to_clients_total', '/b'), 2)
  first.socket.close()
  await one.closed
  while ((await of('connections', '/a/*')) > 0) await delay(10)
  t.equal(await of('connections_total', '/a/*'), 1)
  t.equal(await of('connections', '/b'), 1)
  t.equal(await metric(gate, 'ticketgate_connections_closed_total{reason="upstream_closed"}'), 1)
  two.socket.terminate()
})
