import t, { type Test } from 'tap'
import { connectTo } from '../support/gate-client.js'
import { bearer, type Json, jsonOf, postJson, type Reply, request, requestUpgrade } from '../support/http.js'
import { isProblem } from '../support/problem.js'
import { adminKey, type Environment, startServer, type TestServer } from '../support/server.js'
import { type Client, openSession, open as openSocket, socketUrl } from '../support/socket-client.js'
import { gatePath, mintWith, nextSecond, nowSeconds, tokenFor } from '../support/tokens.js'

const disconnect = (server: TestServer, members: Json): Promise<Reply> =>
  postJson(server.admin, '/disconnect', members, { headers: bearer(adminKey) })

const counts = async (server: TestServer, members: Json): Promise<Json> =>
  jsonOf(await disconnect(server, members))

const open = async (server: TestServer, token: string, channel: string): Promise<Client> =>
  (await openSession(socketUrl(server.url, gatePath((await mintWith(server.url, token)).ticket, channel))))
    .client

const ticketFor = (server: TestServer, token: string, channel: string): Promise<Reply> =>
  request(server.url, `/ws_ticket?channel=${channel}`, { headers: bearer(token) })

/** Sends a request and returns its reply, skipping other messages. */
const ask = (client: Client, message: Json & { readonly id: number }): Promise<Json> => {
  client.send(message)
  return client.nextWith({ id: message.id })
}

/** A token issued before a revocation that follows, and one issued after it. */
const earlierToken = (user: string, claims: Json = {}): string =>
  tokenFor(user, { iat: nowSeconds() - 1, ...claims })
const laterToken = async (user: string, claims: Json = {}): Promise<string> => {
  await nextSecond()
  return tokenFor(user, claims)
}

/** Checks that a channel is revoked from one user. */
async function revokesChannel(t: Test, env: Environment): Promise<void> {
  const server = await startServer(t, { env })
  const token = earlierToken('maggie')
  const [onChannel, subscriber] = [await open(server, token, 'news'), await open(server, token, 'lobby')]
  await ask(subscriber, { type: 'subscribe', channel: 'news', id: 1 })
  const other = await open(server, earlierToken('theo'), 'news')
  const { ticket } = await mintWith(server.url, token)
  const bound = await mintWith(server.url, token, 'news')

  t.strictSame(await counts(server, { user: 'maggie', channel: 'news', reason: 'not paid' }), {
    unsubscribed: 2,
  })
  for (const client of [onChannel, subscriber]) {
    t.strictSame(await client.next(), { type: 'unsubscribed', channel: 'news', reason: 'not paid' })
    t.match(
      await ask(client, { type: 'subscribe', channel: 'news', id: 2 }),
      { code: 'channel_forbidden', id: 2 },
      'it may not subscribe again',
    )
    t.match(await ask(client, { type: 'publish', channel: 'news', data: 1, id: 3 }), {
      code: 'channel_forbidden',
    })
    t.match(await ask(client, { type: 'publish', channel: 'lobby', data: 1, id: 4 }), { type: 'ok' })
  }
  t.match(await ask(other, { type: 'publish', channel: 'news', data: 1, id: 5 }), { type: 'ok' })
  for (const text of [ticket, bound.ticket])
    isProblem(
      t,
      await requestUpgrade(server.url, gatePath(text, 'news')),
      '403 channel_forbidden',
      'a ticket issued before',
    )
  t.strictSame(jsonOf(await postJson(server.url, '/ws_ticket/status', { ticket: bound.ticket })), {
    state: 'invalid',
    refused: 'channel_forbidden',
  })
  isProblem(t, await ticketFor(server, token, 'news'), '403 channel_forbidden', 'a token issued before')
  const renewal = await mintWith(server.url, token)
  t.match(await ask(subscriber, { type: 'renew', ticket: renewal.ticket, id: 6 }), { type: 'renewed' })
  t.match(await ask(subscriber, { type: 'subscribe', channel: 'news', id: 7 }), { code: 'channel_forbidden' })
  t.equal(
    (await requestUpgrade(server.url, gatePath(ticket, 'lobby'))).status,
    101,
    'another channel is still open',
  )
  await server.stop()

  const restarted = await startServer(t, { env, stateDir: server.stateDir })
  isProblem(t, await ticketFor(restarted, token, 'news'), '403 channel_forbidden', 'after a restart')
  t.equal((await ticketFor(restarted, token, 'lobby')).status, 200)
  t.equal(
    (await ticketFor(restarted, await laterToken('maggie'), 'news')).status,
    200,
    'a token issued after the revocation',
  )
}

const three = { TICKETGATE_THREADS: '3' }

t.test('a channel is revoked from a user', t => revokesChannel(t, {}))

t.test('a channel is revoked from a user, with several threads', t => revokesChannel(t, three))

t.test('a channel is closed for everybody admitted before', async t => {
  for (const env of [{}, three]) {
    const server = await startServer(t, { env })
    const token = earlierToken('maggie')
    const [onChannel, subscriber] = [await open(server, token, 'news'), await open(server, token, 'lobby')]
    await ask(subscriber, { type: 'subscribe', channel: 'news', id: 1 })
    t.strictSame(await counts(server, { channel: 'news' }), { disconnected: 1, unsubscribed: 1 })
    t.strictSame(await onChannel.closed, { code: 4403, reason: 'revoked' })
    t.strictSame(await subscriber.next(), { type: 'unsubscribed', channel: 'news' })
    isProblem(t, await ticketFor(server, token, 'news'), '403 channel_forbidden')
    isProblem(
      t,
      await ticketFor(server, earlierToken('theo'), 'news'),
      '403 channel_forbidden',
      'for every user',
    )
    t.equal((await ticketFor(server, token, 'lobby')).status, 200)
    t.equal((await ticketFor(server, await laterToken('theo'), 'news')).status, 200)
    await server.stop()
  }
})

t.test('all users are disconnected', async t => {
  const server = await startServer(t, { env: three })
  const clients = await Promise.all(
    ['maggie', 'theo', 'vera', 'bart'].map(user => open(server, earlierToken(user), 'lobby')),
  )
  t.strictSame(await counts(server, { all: true, reason: 'für heute zu' }), { disconnected: 4 })
  for (const { closed } of clients) t.strictSame(await closed, { code: 4403, reason: 'für heute zu' })
  const token = earlierToken('homer')
  isProblem(t, await ticketFor(server, token, 'lobby'), '401 token_revoked')
  await server.stop()
  const restarted = await startServer(t, { stateDir: server.stateDir })
  isProblem(t, await ticketFor(restarted, token, 'lobby'), '401 token_revoked', 'after a restart')
})

t.test('users required to renew stay connected if they do so in time with a fresh token', async t => {
  for (const env of [{}, three]) {
    const server = await startServer(t, { env })
    const [renews, waits] = [
      await open(server, earlierToken('maggie'), 'lobby'),
      await open(server, earlierToken('maggie'), 'lobby'),
    ]
    const old = earlierToken('maggie')
    const { ticket } = await mintWith(server.url, old)
    t.strictSame(await counts(server, { user: 'maggie', reauthenticateWithinSeconds: 10 }), {
      renewRequired: 2,
    })
    for (const client of [renews, waits])
      t.strictSame(await client.next(), { type: 'renew_required', withinSeconds: 10 })
    isProblem(
      t,
      await ticketFor(server, old, 'lobby'),
      '401 token_revoked',
      'the old token is refused at once',
    )
    t.match(await ask(renews, { type: 'renew', ticket, id: 1 }), { code: 'token_revoked' })
    const fresh = await mintWith(server.url, await laterToken('maggie'))
    t.match(await ask(renews, { type: 'renew', ticket: fresh.ticket, id: 2 }), { type: 'renewed' })
    t.strictSame(await waits.closed, { code: 4401, reason: 'session_expired' })
    t.match(await ask(renews, { type: 'ping', id: 3 }), { type: 'pong' })
    await server.stop()
  }
})

t.test('users keep a revoked channel until their renewal is due', async t => {
  const server = await startServer(t)
  const [onChannel, elsewhere] = [
    await open(server, earlierToken('maggie'), 'news'),
    await open(server, earlierToken('theo'), 'lobby'),
  ]
  t.strictSame(await counts(server, { channel: 'news', reauthenticateWithinSeconds: 600 }), {
    renewRequired: 1,
  })
  t.match(await onChannel.next(), { type: 'renew_required' })
  t.match(await ask(onChannel, { type: 'publish', data: 1, id: 1 }), { type: 'ok' })
  t.match(
    await ask(elsewhere, { type: 'publish', channel: 'news', data: 1, id: 2 }),
    { code: 'channel_forbidden' },
    'no socket joins with a right granted before',
  )
  t.match(await ask(elsewhere, { type: 'subscribe', channel: 'news', id: 3 }), { code: 'channel_forbidden' })
})

t.test('users keep a channel until their renewal is due, unless they had lost it before', async t => {
  const server = await startServer(t)
  const lost = await open(server, earlierToken('maggie'), 'news')
  t.strictSame(await counts(server, { user: 'maggie', channel: 'news' }), { unsubscribed: 1 })
  const back = await open(server, await laterToken('maggie'), 'news')
  await counts(server, { user: 'maggie', channel: 'news', reauthenticateWithinSeconds: 600 })
  t.match(await back.next(), { type: 'renew_required' })
  t.match(await ask(back, { type: 'publish', data: 1, id: 1 }), { type: 'ok' })
  t.match(await ask(lost, { type: 'publish', data: 1, id: 1 }), { code: 'channel_forbidden' })
})

t.test('the client renews when told to, and learns which channel was revoked and why', async t => {
  const server = await startServer(t, { env: three })
  const gate = connectTo(t, server.url, {
    channel: 'lobby',
    getToken: ({ fresh }) => (fresh ? laterToken('maggie') : earlierToken('maggie')),
  })
  await gate.next('open')
  await gate.subscribe('news')
  t.strictSame(await counts(server, { user: 'maggie', reauthenticateWithinSeconds: 20 }), {
    renewRequired: 1,
  })
  await gate.next('renewed')
  t.strictSame(gate.asked, [false, true])
  t.equal(gate.urls.length, 1, 'on the same socket')
  t.strictSame(await counts(server, { user: 'maggie', channel: 'news' }), { unsubscribed: 1 })
  t.match(await gate.next('lost'), { channel: 'news', error: { code: 'unsubscribed' } })
  await gate.publish('still here')
  await counts(server, { user: 'maggie', reason: 'bye' })
  t.match(await gate.next('close'), { code: 'revoked', message: /bye/ })
})

t.test('the client learns which channels end with a renewal', async t => {
  const server = await startServer(t)
  const channels = { publish: ['*'], subscribe: ['lobby'] }
  const gate = connectTo(t, server.url, {
    channel: 'lobby',
    getToken: ({ fresh }) => (fresh ? laterToken('maggie', { channels }) : earlierToken('maggie')),
  })
  await gate.next('open')
  await gate.subscribe('news')
  await counts(server, { user: 'maggie', reauthenticateWithinSeconds: 20 })
  t.match(await gate.next('lost'), { channel: 'news', error: { code: 'unsubscribed' } })
  await gate.next('renewed')
  t.equal(gate.urls.length, 1, 'on the same socket')
  await gate.publish('still here', 'news')
})

t.test('contradictory requests are refused', async t => {
  const server = await startServer(t)
  const refused = async (members: Json): Promise<string> => {
    const reply = await disconnect(server, members)
    isProblem(t, reply, '400 bad_request', JSON.stringify(members))
    return String(jsonOf(reply).detail)
  }
  t.match(await refused({}), /user, session, socket, channel, all/)
  for (const [path, body] of [
    ['/disconnect?user=theo', '{"user":"maggie"}'],
    ['/disconnect', '{"user":"maggie","user":"theo"}'],
  ] as const) {
    const headers = { ...bearer(adminKey), 'content-type': 'application/json' }
    isProblem(
      t,
      await request(server.admin, path, { method: 'POST', headers, body }),
      '400 bad_request',
      path,
    )
  }
  t.match(await refused({ reason: 'x' }), /user, session, socket, channel, all/)
  t.match(await refused({ usr: 'x' }), /"usr"/)
  t.match(await refused({ user: 'a', session: 'b' }), /user and session/)
  t.match(await refused({ session: 'a', channel: 'b' }), /session and channel/)
  t.match(await refused({ user: 'a', all: true }), /user and all/)
  t.match(await refused({ user: 'a', session: 'b', channel: 'c' }), /user and session and channel/)
  for (const [name, value] of [
    ['user', ''],
    ['user', null],
    ['session', 'a b'],
    ['socket', 'x'],
    ['channel', 'a b'],
    ['all', false],
    ['reauthenticateWithinSeconds', 0],
    ['reauthenticateWithinSeconds', '5'],
    ['reauthenticateWithinSeconds', 1e6],
    ['reason', ''],
    ['reason', `${'ü'.repeat(50)}!`],
    ['reason', 'a\u0000b'],
    ['reason', '\ud800'],
  ] as const)
    t.match(await refused({ user: 'maggie', [name]: value }), new RegExp(`^${name} must be `), name)
  t.equal((await disconnect(server, { user: 'maggie', reason: 'ü'.repeat(50) })).status, 200)
  t.strictSame(await counts(server, { socket: 'AAAAAAAA.1' }), { disconnected: 0 })
})

t.test('disconnecting a socket by its id revokes its session, but leaves other sockets open', async t => {
  const server = await startServer(t, {
    env: { ...three, TICKETGATE_FIRST_MESSAGE_SECONDS: '30' },
  })
  const named = earlierToken('maggie', { sid: 's1' })
  const unnamed = earlierToken('theo')
  const clients = [
    await open(server, named, 'lobby'),
    await open(server, named, 'lobby'),
    await open(server, unnamed, 'lobby'),
    await open(server, unnamed, 'lobby'),
    await openSocket(socketUrl(server.url, '/channel/lobby')),
  ] as const
  const idsOf = async (query: string): Promise<string[]> => {
    const reply = await request(server.admin, `/connections?${query}`, { headers: bearer(adminKey) })
    return (jsonOf(reply).connections as { id: string; user?: string }[])
      .filter(({ user }) => query.startsWith('user') || user === undefined)
      .map(({ id }) => id)
  }
  for (const [user, token] of [
    ['maggie', named],
    ['theo', unnamed],
  ] as const) {
    const [id] = await idsOf(`user=${user}`)
    t.strictSame(await counts(server, { socket: id }), { disconnected: 1 }, user)
    t.equal((await idsOf(`user=${user}`)).length, 1, `${user}: the other socket stays open`)
    isProblem(t, await ticketFor(server, token, 'lobby'), '401 token_revoked', user)
  }
  const closed = await Promise.all([
    Promise.race([clients[0].closed, clients[1].closed]),
    Promise.race([clients[2].closed, clients[3].closed]),
  ])
  for (const end of closed) t.strictSame(end, { code: 4403, reason: 'revoked' })

  const [silent] = await idsOf('limit=100')
  t.match(silent, /^[\w-]{8}\.\d+$/)
  t.strictSame(
    await counts(server, { socket: silent }),
    { disconnected: 0 },
    'a socket whose user is not known yet is not disconnected',
  )
  await server.stop()
  await startServer(t, { stateDir: server.stateDir })
})
