import t, { type Test } from 'tap'
import { EventStream } from '../support/event-stream.js'
import { bearer, type Json, jsonOf, metric, postJson, request, requestUpgrade } from '../support/http.js'
import { isProblem } from '../support/problem.js'
import { RawConnection } from '../support/raw.js'
import { adminKey, type Environment, startServer, type TestServer } from '../support/server.js'
import { type Client, openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, mint, mintWith, nowSeconds, tokenFor } from '../support/tokens.js'

const disconnect = async (server: TestServer, members: Json): Promise<Json> =>
  jsonOf(await postJson(server.admin, '/disconnect', members, { headers: bearer(adminKey) }))

const enter = async (
  server: TestServer,
  user: string,
  channel = 'lobby',
  claims: Json = {},
): Promise<Client> => {
  const { ticket } = await mintWith(server.url, tokenFor(user, { iat: nowSeconds() - 1, ...claims }))
  return (await openSession(socketUrl(server.url, gatePath(ticket, channel)))).client
}

const ask = (client: Client, message: Json & { readonly id: number }): Promise<Json> => {
  client.send(message)
  return client.nextWith({ id: message.id })
}

const numberOf = (id: string): number => Number(id.slice(id.lastIndexOf('.') + 1))

/** Causes each kind of event and expects it. */
async function expectAllEvents(t: Test, env: Environment): Promise<void> {
  const password = 'password-of-maggie'
  const server = await startServer(t, {
    env: { ...env, TICKETGATE_DRAIN_SECONDS: '10' },
    users: { maggie: password },
  })
  const events = await EventStream.open(t, server.admin)
  const first = await events.expect(t, 'reset', { reason: 'start' })

  await postJson(server.url, '/auth', { user: 'maggie', pwd: password })
  await events.expect(t, 'login', { user: 'maggie' })
  await postJson(server.url, '/auth', { user: 'maggie', pwd: 'wrong' })
  await events.expect(t, 'login_refused', { reason: 'wrong_password', user: 'maggie' })
  await postJson(server.url, '/auth', { user: 'hunter2', pwd: 'wrong' })
  const unknown = await events.expect(t, 'login_refused', { reason: 'unknown_user' })
  t.notOk('user' in unknown.data, 'an unknown user name is left out: it may be a password')

  const client = await enter(server, 'maggie', 'lobby', { sid: 's1' })
  const opened = await events.expect(t, 'opened', {
    user: 'maggie',
    session: 's1',
    channel: 'lobby',
    subscribed: true,
    expires: Number,
    atMs: Number,
  })
  const { socket } = opened.data
  t.match(socket, /^[\w-]{8}\.1$/)
  for (const id of [1, 2]) await ask(client, { type: 'subscribe', channel: 'news', id })
  await events.expect(t, 'subscribed', { socket, user: 'maggie', channel: 'news' })
  for (const id of [3, 4]) await ask(client, { type: 'unsubscribe', channel: 'news', id })
  await events.expect(t, 'unsubscribed', { socket, user: 'maggie', channel: 'news' })
  await disconnect(server, { user: 'maggie', channel: 'lobby', reason: 'enough' })
  await events.expect(t, 'revoked', { user: 'maggie', channel: 'lobby', reason: 'enough' })
  await events.expect(t, 'unsubscribed', { socket, user: 'maggie', channel: 'lobby' })
  await disconnect(server, { socket: String(socket) })
  await events.expect(t, 'revoked', { session: 's1', socket })
  await events.expect(t, 'closed', {
    socket,
    user: 'maggie',
    session: 's1',
    channel: 'lobby',
    code: 4403,
    reason: 'revoked',
    by: 'revoked',
  })

  const { ticket } = await mintWith(server.url, tokenFor('theo'), 'blue')
  await requestUpgrade(server.url, gatePath(ticket, 'red'))
  await events.expect(t, 'refused', { code: 'channel_forbidden', user: 'theo', channel: 'red' })
  await requestUpgrade(server.url, gatePath(`${ticket.slice(0, -4)}AAAA`, 'red'))
  const forged = await events.expect(t, 'refused', { code: 'ticket_invalid' })
  t.strictSame(Object.keys(forged.data).sort(), ['atMs', 'code'])
  const other = await enter(server, 'theo')
  await events.expect(t, 'opened', { user: 'theo' })
  await other.close()
  await events.expect(t, 'closed', { user: 'theo', code: 1005, by: 'other' })

  const last = await enter(server, 'vera')
  await events.expect(t, 'opened', { user: 'vera' })
  const exited = server.stop()
  await events.expect(t, 'draining', { withinSeconds: 10 })
  const end = await events.expect(t, 'closed', { user: 'vera', code: 1012, by: 'draining' })
  await Promise.all([last.closed, events.ended, exited])
  t.equal(numberOf(end.id) - numberOf(first.id), 17, 'every event has a number, without gaps')
  t.equal(end.id.replace(/\d+$/, ''), first.id.replace(/\d+$/, ''))
}

t.test('events arrive in order', t => expectAllEvents(t, {}))

t.test('events arrive in order with several threads', t => expectAllEvents(t, { TICKETGATE_THREADS: '3' }))

t.test('a reader that reconnects continues where it stopped', async t => {
  const server = await startServer(t, { env: { TICKETGATE_EVENT_BUFFER: '100' } })
  const before = await EventStream.open(t, server.admin)
  await before.expect(t, 'reset', { reason: 'start' })
  const client = await enter(server, 'maggie')
  const opened = await before.expect(t, 'opened', { user: 'maggie' })
  before.close()
  await ask(client, { type: 'subscribe', channel: 'news', id: 1 })
  const after = await EventStream.open(t, server.admin, opened.id)
  const subscribed = await after.expect(t, 'subscribed', { channel: 'news' })
  t.equal(numberOf(subscribed.id), numberOf(opened.id) + 1)
  const again = await EventStream.open(t, server.admin, subscribed.id)
  await ask(client, { type: 'unsubscribe', channel: 'news', id: 2 })
  await again.expect(t, 'unsubscribed', { channel: 'news' })

  for (let n = 0; n < 60; n++) {
    await ask(client, { type: 'subscribe', channel: 'news', id: n })
    await ask(client, { type: 'unsubscribe', channel: 'news', id: n })
  }
  const late = await EventStream.open(t, server.admin, opened.id)
  await late.expect(t, 'reset', { reason: 'gap' })
  for (const [name, id] of [
    ['an id from before a restart', `000000000000.${numberOf(opened.id)}`],
    ['an id from the future', `${opened.id}000`],
    ['an id without a number', opened.id.replace(/\d+$/, 'x')],
    ['not an id', 'x'],
    ['an id that is much too long', `${opened.id}${'0'.repeat(500)}`],
  ] as const) {
    const reader = await EventStream.open(t, server.admin, id)
    t.match(await reader.next(), { type: 'reset', data: { reason: 'gap' } }, name)
    reader.close()
  }
})

t.test('after a restart a reader is told that it has missed events', async t => {
  const one = await startServer(t, { env: { TICKETGATE_NODE: 'gate-1' } })
  const { id } = await (await EventStream.open(t, one.admin)).next()
  t.match(id, /^gate-1\.[0-9a-f]{12}\.\d+$/, 'the id contains the node')
  await one.stop()
  const two = await startServer(t, { stateDir: one.stateDir, env: { TICKETGATE_NODE: 'gate-1' } })
  await (await EventStream.open(t, two.admin, id)).expect(t, 'reset', { reason: 'gap' })
})

t.test('a slow reader delays no other, and is told that it has missed events', async t => {
  const server = await startServer(t, {
    env: { TICKETGATE_EVENT_BUFFER: '1000', TICKETGATE_MESSAGE_RATE: 'off' },
  })
  const user = 'maggie'.repeat(20)
  const [slow, quick] = [await EventStream.open(t, server.admin), await EventStream.open(t, server.admin)]
  await slow.expect(t, 'reset', { reason: 'start' })
  await quick.expect(t, 'reset', { reason: 'start' })
  slow.pause()
  const client = await enter(server, user)
  await quick.expect(t, 'opened', { user })
  const channel = 'c'.repeat(128)
  // More than the kernel buffers for a reader, sent before the server gives the reader up.
  const rounds = 10_000
  let heard = 0
  const all = (async () => {
    while (heard < 2 * rounds) {
      const { type } = await quick.next()
      if (type === 'reset') return
      heard++
    }
  })()
  for (let n = 0; n < rounds; n++) {
    client.send({ type: 'subscribe', channel })
    client.send({ type: 'unsubscribe', channel })
    if (n % 100 === 0) await ask(client, { type: 'ping', id: n })
  }
  await ask(client, { type: 'ping', id: -1 })
  await all
  slow.resume()
  const missed = await slow.upTo('reset')
  const reset = missed.at(-1)
  t.match(reset, { data: { reason: 'slow' } })
  t.comment(missed.length)
  t.ok(missed.length < 2 * rounds, `the slow reader misses events: it got ${missed.length} of ${2 * rounds}`)
  const numbers = missed.slice(0, -1).map(({ id }) => numberOf(id))
  t.ok(
    numbers.every((number, index) => index === 0 || number === Number(numbers[index - 1]) + 1),
    'there is no gap before the reset',
  )
  await client.close()
  const rest = await slow.upTo('closed')
  t.match(rest.at(-1), { data: { user } })
})

t.test('a flood of refusals is sampled and counted', async t => {
  const server = await startServer(t)
  const events = await EventStream.open(t, server.admin)
  await events.expect(t, 'reset', { reason: 'start' })
  const attempts = 400
  for (let n = 0; n < attempts; n += 40)
    await Promise.all(Array.from({ length: 40 }, () => requestUpgrade(server.url, gatePath('AAAA'))))
  await enter(server, 'maggie')
  const told = (await events.upTo('opened')).slice(0, -1)
  t.ok(told.every(({ type }) => type === 'refused'))
  const omitted = told.reduce((sum, { data }) => sum + Number(data.omitted ?? 0), 0)
  t.ok(told.length + omitted <= attempts)
  t.ok(told.length >= 100)
})

t.test('reading requires the key, and the number of readers is limited', async t => {
  const server = await startServer(t)
  isProblem(t, await request(server.admin, '/events'), '401 admin_key_invalid')
  isProblem(t, await request(server.admin, '/events?a=1', { headers: bearer(adminKey) }), '400 bad_request')
  isProblem(
    t,
    await request(server.admin, '/events', { method: 'POST', headers: bearer(adminKey) }),
    '405 method_not_allowed',
  )
  const readers: EventStream[] = []
  for (let n = 0; n < 8; n++) readers.push(await EventStream.open(t, server.admin))
  const refused = await request(server.admin, '/events', { headers: bearer(adminKey) })
  isProblem(t, refused, '429 too_many_connections')
  t.match(refused.headers['retry-after'], /^\d+$/)
  readers[0]?.close()
  let outcome = 429
  while (outcome === 429) {
    const reader = await EventStream.open(t, server.admin).catch(() => undefined)
    if (reader !== undefined) outcome = 200
  }
  t.equal(outcome, 200, 'there is room once a reader leaves')
  t.equal(await metric(server, 'ticketgate_connections'), 0)
})

t.test('events contain no tickets or tokens', async t => {
  const server = await startServer(t)
  const events = await EventStream.open(t, server.admin)
  await events.expect(t, 'reset', { reason: 'start' })
  const secret = tokenFor('maggie')
  const ticket = await mint(server.url, 'maggie')
  for (const path of [
    `/channel/${ticket.slice(0, 100)}`,
    `/channel/?ticket=${secret}`,
    `/channel/?token=${secret}`,
    `/channel/${secret.slice(0, 60)}?ticket=${ticket.slice(0, -2)}`,
    gatePath(ticket, 'lobby'),
  ])
    await requestUpgrade(server.url, path)
  const told = JSON.stringify(await events.upTo('closed'))
  for (const part of [secret.slice(0, 40), ticket.slice(0, 40)]) t.notOk(told.includes(part))
})

t.test('another request on the connection of an event stream ends that stream only', async t => {
  const server = await startServer(t)
  const events = await EventStream.open(t, server.admin)
  await events.expect(t, 'reset', { reason: 'start' })
  const text = `GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ${adminKey}\r\n\r\n`
  for (const requests of [text.repeat(2), `${text}GET /metrics HTTP/1.1\r\n\r\n`, `${text}x`.repeat(5)]) {
    const connection = await RawConnection.connect(server.admin)
    connection.write(requests)
    await connection.closed
  }
  const late = await RawConnection.connect(server.admin)
  late.write(text)
  t.match(await late.response(), { status: 200 })
  late.write(text)
  await late.closed
  await enter(server, 'maggie')
  await events.expect(t, 'opened', { user: 'maggie' })
})
