import t from 'tap'
import WebSocket from 'ws'
import { connect } from '../../src/client/index.js'
import { bearer, jsonOf, postJson, type Reply, request, requestUpgrade } from '../support/http.js'
import { hasRetryAfter, isProblem } from '../support/problem.js'
import { adminKey, allowedOrigin, startServer, type TestServer } from '../support/server.js'
import { openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, mint, mintWith, tokenFor } from '../support/tokens.js'

const ask = (server: TestServer, ticket: unknown, from?: string): Promise<Reply> =>
  postJson(server.url, '/ws_ticket/status', { ticket }, from === undefined ? {} : { from })

const stateOf = async (server: TestServer, ticket: string): Promise<unknown> => {
  const reply = await ask(server, ticket)
  return reply.status === 200 ? jsonOf(reply) : `${reply.status} ${reply.text}`
}

for (const replay of ['memory', 'shared'])
  t.test(`the status of a ticket is live, used or invalid, with ${replay}`, async t => {
    const server = await startServer(t, {
      env: { TICKETGATE_REPLAY: replay, TICKETGATE_TICKET_TTL_SECONDS: '600' },
    })
    const ticket = await mint(server.url)
    t.strictSame(await stateOf(server, ticket), { state: 'live' })
    t.strictSame(await stateOf(server, ticket), { state: 'live' }, 'a status request does not spend it')
    t.equal((await requestUpgrade(server.url, gatePath(ticket))).status, 101)
    t.strictSame(await stateOf(server, ticket), { state: 'used' })
    for (const [name, text] of [
      ['empty', ''],
      ['garbage', 'hello'],
      ['a token', tokenFor('maggie')],
      [
        'one character changed',
        `${ticket.slice(0, -8)}${ticket.at(-8) === 'A' ? 'B' : 'A'}${ticket.slice(-7)}`,
      ],
      ['of another gate', `other.${ticket}`],
    ] as const)
      t.strictSame(await stateOf(server, text), { state: 'invalid' }, name)
  })

for (const replay of ['memory', 'shared'])
  t.test(`a ticket past its end is expired, used or not, with ${replay}`, async t => {
    const server = await startServer(t, {
      env: { TICKETGATE_REPLAY: replay, TICKETGATE_TICKET_TTL_SECONDS: '1' },
    })
    const unused = await mint(server.url)
    let used: string
    // Repeats until one is used in time.
    do used = await mint(server.url)
    while ((await requestUpgrade(server.url, gatePath(used))).status !== 101)
    for (const ticket of [unused, used]) {
      let state: unknown
      do state = await stateOf(server, ticket)
      while (/live|used/.test(JSON.stringify(state)))
      t.strictSame(state, { state: 'expired' })
    }
  })

for (const [mode, env] of [
  ['one thread', {}],
  ['two threads', { TICKETGATE_THREADS: '2' }],
] as const)
  t.test(`the status says why an unspent ticket was refused, ${mode}`, async t => {
    const server = await startServer(t, {
      env: {
        ...env,
        TICKETGATE_TICKET_TTL_SECONDS: '600',
        TICKETGATE_BIND: 'address',
        TICKETGATE_MAX_CONNECTIONS_PER_USER: '1',
        TICKETGATE_VERIFY: 'on',
      },
    })
    const take = (user = 'maggie') => mint(server.url, user, 'lobby')
    const isRefused = async (name: string, ticket: string, code: string, present: () => Promise<Reply>) => {
      isProblem(t, await present(), code, name)
      const [, refused] = code.split(' ')
      // Each request uses a new connection, to any thread.
      for (let n = 0; n < 4; n++)
        t.strictSame(
          await stateOf(server, ticket),
          { state: 'live', refused },
          `${name}: the status has the reason`,
        )
    }
    const upgrade =
      (ticket: string, channel = 'lobby', options = {}) =>
      () =>
        requestUpgrade(server.url, gatePath(ticket, channel), options)

    const ticket = await take()
    const foreign = { headers: { origin: 'https://evil.example' } }
    await isRefused('another channel', ticket, '403 channel_forbidden', upgrade(ticket, 'news'))
    await isRefused('another origin', ticket, '403 origin_forbidden', upgrade(ticket, 'lobby', foreign))
    await isRefused(
      'another address',
      ticket,
      '403 address_mismatch',
      upgrade(ticket, 'lobby', { from: '127.8.0.1' }),
    )
    await isRefused('an invalid channel', ticket, '400 channel_invalid', upgrade(ticket, 'a%20b'))
    await isRefused('in Authorization', ticket, '403 channel_forbidden', () =>
      requestUpgrade(server.url, '/channel/news', { headers: { authorization: `Ticket ${ticket}` } }),
    )
    await isRefused('at /verify', ticket, '403 channel_forbidden', () =>
      request(server.url, `/verify?ticket=${ticket}&channel=red`),
    )
    const { client } = await openSession(socketUrl(server.url, gatePath(ticket, 'lobby')))
    t.strictSame(await stateOf(server, ticket), { state: 'used' }, 'a spent ticket has no reason')
    const second = await take()
    t.strictSame(await stateOf(server, second), { state: 'live' }, 'another ticket has no reason')
    await isRefused('too many sockets', second, '429 too_many_connections', upgrade(second))
    client.socket.terminate()

    const revoked = await take('lisa')
    const body = JSON.stringify({ user: 'lisa' })
    await request(server.admin, '/disconnect', { method: 'POST', headers: bearer(adminKey), body })
    t.strictSame(await stateOf(server, revoked), { state: 'invalid', refused: 'token_revoked' })
    const forged = `${second.slice(0, -8)}${second.at(-8) === 'A' ? 'B' : 'A'}${second.slice(-7)}`
    await requestUpgrade(server.url, gatePath(forged, 'news'))
    t.strictSame(await stateOf(server, forged), { state: 'invalid' }, 'nor has a forged one')
  })

t.test('the client gives up on permanent refusals and retries after others', async t => {
  const server = await startServer(t, { env: { TICKETGATE_MAX_CONNECTIONS_PER_USER: '1' } })
  const getToken = () => tokenFor('maggie')
  const options = { channel: 'lobby', WebSocket, minDelayMs: 1 }
  // The ticket is for another channel, and only the gate refuses it.
  const getTicket = () => mintWith(server.url, tokenFor('maggie'), 'news').then(({ ticket }) => ticket)
  const forbidden = connect({ url: server.url, getTicket, ...options })
  await t.rejects(forbidden.opened(), { code: 'channel_forbidden', remedy: 'nothing' })

  const first = connect({ url: server.url, getToken, ...options })
  t.teardown(() => first.close())
  await first.opened()
  const second = connect({ url: server.url, getToken, ...options })
  t.teardown(() => second.close())
  const retry = new Promise(resolve => second.on('retry', resolve))
  t.match(await retry, { error: { code: 'too_many_connections', remedy: 'time' } })
  await first.close()
  await second.opened()
})

t.test('malformed status requests are refused', async t => {
  const server = await startServer(t)
  for (const [body, code] of [
    ['{}', '400 bad_request'],
    ['{"ticket":5}', '400 bad_request'],
    ['{"ticket":"a","tickets":"b"}', '400 bad_request'],
    ['', '400 bad_request'],
    ['[]', '400 bad_request'],
  ] as const)
    isProblem(t, await postJson(server.url, '/ws_ticket/status', body), code, body)
  isProblem(t, await request(server.url, '/ws_ticket/status'), '405 method_not_allowed')
  const preflight = await request(server.url, '/ws_ticket/status', {
    method: 'OPTIONS',
    headers: { origin: allowedOrigin, 'access-control-request-method': 'POST' },
  })
  t.equal(preflight.status, 204)
  t.equal(preflight.headers['access-control-allow-origin'], allowedOrigin)
})

t.test('status requests are limited per address', async t => {
  const server = await startServer(t, { env: { TICKETGATE_TICKET_RATE: '5/3600' } })
  const { ticket } = await mintWith(server.url, tokenFor('127.0.0.1'))
  for (let n = 0; n < 5; n++) t.equal((await ask(server, ticket, '127.0.0.2')).status, 200)
  const reply = await ask(server, ticket, '127.0.0.2')
  isProblem(t, reply, '429 rate_limited')
  hasRetryAfter(t, reply, 'after the fifth', 720)
  t.equal((await ask(server, ticket, '127.0.0.3')).status, 200, 'another address')
  t.equal(
    typeof (await mintWith(server.url, tokenFor('maggie'))).ticket,
    'string',
    'ticket requests are counted separately',
  )
})
