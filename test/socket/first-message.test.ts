import t from 'tap'
import { bearer, type Json, jsonOf, metric, postJson, request, requestUpgrade } from '../support/http.js'
import { hasRetryAfter, isProblem } from '../support/problem.js'
import { adminKey, allowedOrigin, startServer } from '../support/server.js'
import { type Client, open, socketUrl } from '../support/socket-client.js'
import { gatePath, mint, nowSeconds, tokenFor } from '../support/tokens.js'

const on = { TICKETGATE_FIRST_MESSAGE_SECONDS: '30' }

const server = await startServer(t, { env: on })
const enter = (protocols: string[] = []): Promise<Client> =>
  open(socketUrl(server.url, '/channel/lobby'), { protocols, origin: allowedOrigin })

t.test('without the option, no socket opens without a ticket', async t => {
  const server = await startServer(t)
  isProblem(t, await requestUpgrade(server.url, '/channel/lobby'), '401 ticket_missing')
})

t.test('the first message authenticates', async t => {
  const channels = { publish: ['lobby'], subscribe: ['lobby'] }
  const exp = nowSeconds() + 300

  for (const protocols of [[], ['ticketgate.v1.msgpack']]) {
    const client = await enter(protocols)
    const welcome = await client.ask({
      type: 'auth',
      payload: tokenFor('maggie', { exp, sid: 's1', channels }),
    })
    t.strictSame(welcome, { type: 'welcome', session: 's1', user: 'maggie', channel: 'lobby', expires: exp })
    const other = await enter()
    await other.ask({ type: 'auth', payload: tokenFor('theo') })
    other.send({ type: 'publish', data: 'hi' })
    t.match(await client.next(), { type: 'message', data: 'hi', user: 'theo' })
    t.match(await client.ask({ type: 'subscribe', channel: 'x', id: 1 }), { code: 'channel_forbidden' })
    t.match(await client.ask({ type: 'auth', payload: tokenFor('theo'), id: 2 }), {
      code: 'bad_message',
      id: 2,
    })
    t.match(await client.ask({ type: 'renew', ticket: await mint(server.url) }), { type: 'renewed' })
    await Promise.all([client.close(), other.close()])
  }
})

t.test('any other first message closes the socket', async t => {
  const refusals = [
    ['another message', { type: 'ping' }, 4410, 'auth_required'],
    ['a publish', { type: 'publish', data: 1 }, 4410, 'auth_required'],
    ['text that is not JSON', 'hello', 4410, 'auth_required'],
    ['no payload', { type: 'auth' }, 4410, 'auth_required'],
    ['garbage', { type: 'auth', payload: 'hello' }, 4401, 'token_invalid'],
    ['a ticket', { type: 'auth', payload: await mint(server.url) }, 4401, 'token_invalid'],
    ['an expired token', { type: 'auth', payload: tokenFor('m', { iat: 1, exp: 2 }) }, 4401, 'token_expired'],
    [
      'a token without a right to the channel',
      { type: 'auth', payload: tokenFor('m', { channels: { publish: ['x'] } }) },
      4411,
      'channel_forbidden',
    ],
  ] as const
  for (const [name, message, code, reason] of refusals) {
    const client = await enter()
    client.send(message)
    t.strictSame(await client.closed, { code, reason }, name)
  }
})

t.test('a revoked token closes the socket', async t => {
  await postJson(server.admin, '/disconnect', { user: 'bart' }, { headers: bearer(adminKey) })
  const revoked = await enter()
  revoked.send({ type: 'auth', payload: tokenFor('bart', { iat: nowSeconds() - 10 }) })
  t.strictSame(await revoked.closed, { code: 4401, reason: 'token_revoked' })
})

t.test('the session ends with the token', async t => {
  let brief: Client
  let heard: Json | undefined
  let end: number
  // On a busy machine a token may expire before the server reads it: then try again.
  do {
    brief = await enter()
    end = nowSeconds() + 4
    heard = await brief.ask({ type: 'auth', payload: tokenFor('m', { exp: end }) }).catch(() => undefined)
  } while (heard === undefined)
  t.match(heard, { type: 'welcome', expires: end })
  t.strictSame(await brief.closed, { code: 4401, reason: 'session_expired' })
})

t.test('origin, channel and query are checked before the upgrade', async t => {
  isProblem(
    t,
    await requestUpgrade(server.url, '/channel/lobby', { headers: { origin: 'https://evil.example' } }),
    '403 origin_forbidden',
  )
  isProblem(
    t,
    await requestUpgrade(server.url, '/channel/lobby?ticket='),
    '401 ticket_missing',
    'an empty ticket counts as missing',
  )
  isProblem(t, await requestUpgrade(server.url, '/channel/a%20b'), '400 channel_invalid')
  isProblem(t, await requestUpgrade(server.url, `/channel/?token=${tokenFor('m')}`), '401 token_in_url')
})

t.test('a silent socket is closed', async t => {
  const server = await startServer(t, { env: { TICKETGATE_FIRST_MESSAGE_SECONDS: '1' } })
  const client = await open(socketUrl(server.url, '/channel/'))
  t.strictSame(await client.closed, { code: 4408, reason: 'auth_timeout' })
})

t.test('unauthenticated sockets are counted separately, receive nothing and crowd out nobody', async t => {
  const server = await startServer(t, {
    env: { ...on, TICKETGATE_MAX_CONNECTIONS: '3' },
  })
  const silent: Client[] = []
  for (let n = 0; n < 256; n++) silent.push(await open(socketUrl(server.url, '/channel/lobby')))
  const refused = await requestUpgrade(server.url, '/channel/lobby')
  isProblem(t, refused, '429 too_many_connections')
  hasRetryAfter(t, refused, 'the 257th socket')
  const ticketed: Client[] = []
  for (let n = 0; n < 3; n++)
    ticketed.push(await open(socketUrl(server.url, gatePath(await mint(server.url), 'lobby'))))
  await postJson(server.admin, '/publish', { channel: 'lobby', data: 1 }, { headers: bearer(adminKey) })
  for (const client of ticketed) {
    t.match(await client.next(), { type: 'welcome' })
    t.match(await client.next(), { data: 1 })
  }
  const [first, second, ...others] = silent
  first?.send({ type: 'auth', payload: tokenFor('maggie') })
  t.match(
    await first?.closed,
    { code: 4429, reason: /^retry_after_ms=\d+$/ },
    'the caps apply once a socket authenticates',
  )
  await ticketed[0]?.close()
  t.match(await second?.ask({ type: 'auth', payload: tokenFor('maggie') }), { type: 'welcome' })
  const two = await Promise.all([0, 1].map(() => open(socketUrl(server.url, '/channel/lobby'))))
  isProblem(
    t,
    await requestUpgrade(server.url, '/channel/lobby'),
    '429 too_many_connections',
    'only two more sockets fit',
  )
  t.equal(await metric(server, 'ticketgate_connections'), 259)
  await Promise.all([...others, ...two, ...ticketed.slice(1)].map(client => client.close()))
  t.strictSame(jsonOf(await request(server.admin, '/connections', { headers: bearer(adminKey) })), {
    connections: 1,
  })
  await second?.close()
})
