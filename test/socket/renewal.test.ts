import t from 'tap'
import { bearer, jsonOf, postJson, request } from '../support/http.js'
import { adminKey, allowedOrigin, startServer, type TestServer } from '../support/server.js'
import { type Client, openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, mintWith, nowSeconds, tokenFor } from '../support/tokens.js'

const server = await startServer(t, { env: { TICKETGATE_TICKET_TTL_SECONDS: '600' } })

interface Entered {
  readonly client: Client
  readonly endsAtSeconds: number
}

const enterAs = async (
  claims: Record<string, unknown> = {},
  channel = 'lobby',
  at = server,
): Promise<Entered> => {
  const ends = nowSeconds() + 300
  const { ticket } = await mintWith(at.url, tokenFor('maggie', { exp: ends, sid: 'first', ...claims }))
  const { client } = await openSession(socketUrl(at.url, gatePath(ticket, channel)), {
    origin: allowedOrigin,
  })
  return { client, endsAtSeconds: ends }
}

const fresh = async (
  claims: Record<string, unknown> = {},
  channel?: string,
  at: TestServer = server,
): Promise<string> =>
  (
    await mintWith(at.url, tokenFor('maggie', { sid: 'second', ...claims }), channel, {
      headers: { origin: allowedOrigin },
    })
  ).ticket

const status = async (ticket: string): Promise<unknown> =>
  jsonOf(await postJson(server.url, '/ws_ticket/status', { ticket })).state

const disconnect = async (subject: object): Promise<unknown> =>
  jsonOf(await postJson(server.admin, '/disconnect', subject, { headers: bearer(adminKey) })).disconnected

t.test('a fresh ticket moves the end of the session, and is spent', async t => {
  const { client, endsAtSeconds: ends } = await enterAs()
  const ticket = await fresh({ exp: ends + 100 })
  t.strictSame(await client.ask({ type: 'renew', ticket, id: 'r' }), {
    type: 'renewed',
    expires: ends + 100,
    id: 'r',
  })
  t.equal(await status(ticket), 'used')
  t.match(await client.ask({ type: 'renew', ticket, id: 2 }), { type: 'error', code: 'ticket_used', id: 2 })
  const another = await fresh({ exp: ends + 200 })
  t.strictSame(await client.ask({ type: 'renew', ticket: another }), { type: 'renewed', expires: ends + 200 })
  await client.close()
})

t.test('a refused ticket changes nothing, and is not spent', async t => {
  const { client } = await enterAs({ channels: { publish: ['*'], subscribe: ['*'] } })
  const others = await mintWith(server.url, tokenFor('theo'))
  const bound = await fresh({}, 'other')
  const cases = [
    ['no ticket', undefined, 'ticket_missing'],
    ['a number', 5, 'ticket_missing'],
    ['an empty ticket', '', 'ticket_missing'],
    ['garbage', 'AAAA', 'ticket_invalid'],
    ['a token', tokenFor('maggie'), 'token_in_url'],
    ['a ticket of another user', others.ticket, 'user_mismatch'],
    ['a ticket for another channel', bound, 'channel_forbidden'],
    [
      'a ticket without rights to the channel',
      await fresh({ channels: { publish: ['x'] } }),
      'channel_forbidden',
    ],
  ] as const
  for (const [name, ticket, code] of cases)
    t.match(await client.ask({ type: 'renew', ticket, id: 1 }), { type: 'error', code, id: 1 }, name)
  t.equal(await status(others.ticket), 'live')
  t.equal(await status(bound), 'live')
  t.match(
    await client.ask({ type: 'publish', channel: 'any', data: 1, id: 1 }),
    { type: 'ok' },
    'the rights are unchanged',
  )
  await client.close()
})

t.test('a renewed session has the rights of the new ticket', async t => {
  const { client } = await enterAs({}, 'lobby')
  await client.ask({ type: 'subscribe', channel: 'news', id: 1 })
  await client.ask({ type: 'subscribe', channel: 'chat', id: 1 })
  const speaker = (await enterAs({ sub: 'theo' }, 'lobby')).client
  const channels = { publish: ['lobby'], subscribe: ['chat'] }
  client.send({ type: 'renew', ticket: await fresh({ channels }), id: 'r' })
  t.same(
    new Set([await client.next(), await client.next()]),
    new Set(['lobby', 'news'].map(channel => ({ type: 'unsubscribed', channel }))),
    'it is told which channels it has lost',
  )
  t.match(await client.next(), { type: 'renewed', id: 'r' }, 'before the reply')
  for (const channel of ['lobby', 'news', 'chat'])
    await speaker.ask({ type: 'publish', channel, data: channel, id: 1 })
  t.strictSame(await client.next(), { type: 'message', channel: 'chat', data: 'chat', user: 'theo' })
  t.ok(await client.hearsNothing(), 'it receives nothing from channels without a right')
  t.match(await client.ask({ type: 'subscribe', channel: 'news', id: 2 }), { code: 'channel_forbidden' })
  t.match(await client.ask({ type: 'publish', channel: 'news', data: 1, id: 3 }), {
    code: 'channel_forbidden',
  })
  t.match(await client.ask({ type: 'renew', ticket: await fresh() }), { type: 'renewed' })
  t.match(
    await client.ask({ type: 'subscribe', channel: 'news', id: 4 }),
    { type: 'ok' },
    'a further renewal restores the right',
  )
  await Promise.all([client.close(), speaker.close()])
})

t.test('a renewed session belongs to the new login', async t => {
  const { client } = await enterAs()
  await client.ask({ type: 'renew', ticket: await fresh() })
  t.equal(await disconnect({ session: 'first' }), 0)
  t.ok(await client.hearsNothing())
  t.equal(await disconnect({ session: 'second' }), 1)
  t.strictSame(await client.closed, { code: 4403, reason: 'revoked' })
})

t.test('disconnecting a socket renewed without a session id revokes all tokens of its user', async t => {
  const { client } = await enterAs({ sub: 'vera', sid: 'third' })
  const token = tokenFor('vera')
  const { ticket } = await mintWith(server.url, token, undefined, { headers: { origin: allowedOrigin } })
  t.match(await client.ask({ type: 'renew', ticket }), { type: 'renewed' })
  const list = await request(server.admin, '/connections?user=vera', { headers: bearer(adminKey) })
  const [{ id, session }] = jsonOf(list).connections as [{ id: string; session: string }]
  t.equal(session, 'third', 'it keeps its session id')
  t.equal(await disconnect({ socket: id }), 1)
  t.equal((await client.closed).code, 4403)
  await t.rejects(
    mintWith(server.url, token),
    /token_revoked/,
    'the token of the renewal opens no other socket',
  )
})

t.test('the bindings of the new ticket are checked against the socket', async t => {
  const bindings = await startServer(t, {
    env: { TICKETGATE_BIND: 'origin,address', TICKETGATE_TRUSTED_PROXIES: '127.0.0.0/8' },
  })
  const mintFrom = async (address: string, origin: string): Promise<string> =>
    (
      await mintWith(bindings.url, tokenFor('maggie'), undefined, {
        headers: { 'x-forwarded-for': address, origin },
      })
    ).ticket
  const open = async (address: string): Promise<Client> =>
    (
      await openSession(socketUrl(bindings.url, gatePath(await mintFrom(address, allowedOrigin))), {
        origin: allowedOrigin,
        headers: { 'x-forwarded-for': address },
      })
    ).client
  for (const [home, away] of [
    ['203.0.113.7', '203.0.113.8'],
    ['2001:db8:1:2::3', '2001:db8:1:3::3'],
  ] as const) {
    const client = await open(home)
    const renew = async (ticket: string) => client.ask({ type: 'renew', ticket })
    t.match(await renew(await mintFrom(away, allowedOrigin)), { code: 'address_mismatch' })
    t.match(await renew(await mintFrom(home, 'https://app.example.com:8443')), { code: 'origin_forbidden' })
    t.match(await renew(await mintFrom(home, allowedOrigin)), { type: 'renewed' })
    await client.close()
  }
})

t.test('a full cache refuses a renewal, and the session continues', async t => {
  const full = await startServer(t, {
    env: { TICKETGATE_REPLAY_CAPACITY: '100', TICKETGATE_TICKET_TTL_SECONDS: '600' },
  })
  const clients: Client[] = []
  for (let n = 0; n < 100; n++) clients.push((await enterAs({}, 'lobby', full)).client)
  const [first] = clients
  t.match(await first?.ask({ type: 'renew', ticket: await fresh({}, undefined, full) }), {
    code: 'replay_cache_full',
  })
  t.ok(await first?.hearsNothing())
  await Promise.all(clients.map(client => client.close()))
})
