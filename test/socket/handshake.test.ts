import t from 'tap'
import { jsonOf, request, requestUpgrade, upgradeHeaders } from '../support/http.js'
import { hasRetryAfter, isProblem } from '../support/problem.js'
import { RawConnection, serverHasRead, upgradeText } from '../support/raw.js'
import { adminKey, startServer } from '../support/server.js'
import { attempt, Client, openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, mint, mintWith, tokenFor, untilSecond } from '../support/tokens.js'

const server = await startServer(t)
const json = 'ticketgate.v1.json'
const offer = (...protocols: string[]) => ({ headers: { 'sec-websocket-protocol': protocols.join(', ') } })

t.test('a refusal never spends the ticket', async t => {
  const other = await mint(server.url)
  const cases: [
    name: string,
    expected: string,
    channel: string | undefined,
    path: (ticket: string) => string,
    options: (ticket: string) => object,
  ][] = [
    [
      'an origin not allowed',
      '403 origin_forbidden',
      undefined,
      gatePath,
      () => ({ headers: { origin: 'https://evil.test' } }),
    ],
    ['another channel', '403 channel_forbidden', 'red', ticket => gatePath(ticket, 'blue'), () => ({})],
    ['a longer channel', '403 channel_forbidden', 'red', ticket => gatePath(ticket, 'red2'), () => ({})],
    ['a shorter channel', '403 channel_forbidden', 'red', ticket => gatePath(ticket, 're'), () => ({})],
    [
      'a channel in another case',
      '403 channel_forbidden',
      'red',
      ticket => gatePath(ticket, 'Red'),
      () => ({}),
    ],
    ['no channel', '403 channel_forbidden', 'red', gatePath, () => ({})],
    [
      'a channel of 129 characters',
      '400 channel_invalid',
      undefined,
      ticket => gatePath(ticket, 'a'.repeat(129)),
      () => ({}),
    ],
    [
      'a channel with percent-encoding',
      '400 channel_invalid',
      undefined,
      ticket => gatePath(ticket, 'a%20b'),
      () => ({}),
    ],
    [
      'a letter of the channel percent-encoded',
      '400 channel_invalid',
      'red',
      ticket => gatePath(ticket, '%72ed'),
      () => ({}),
    ],
    [
      'a channel with a plus',
      '400 channel_invalid',
      undefined,
      ticket => gatePath(ticket, 'a+b'),
      () => ({}),
    ],
    [
      'itself twice in the query',
      '400 ticket_ambiguous',
      undefined,
      ticket => `${gatePath(ticket)}&ticket=${ticket}`,
      () => ({}),
    ],
    [
      'with another in the query',
      '400 ticket_ambiguous',
      undefined,
      ticket => `${gatePath(ticket)}&ticket=${other}`,
      () => ({}),
    ],
    [
      'with an empty one in the query',
      '400 ticket_ambiguous',
      undefined,
      ticket => `/channel/?ticket=&ticket=${ticket}`,
      () => ({}),
    ],
    [
      'in query and subprotocol',
      '400 ticket_ambiguous',
      undefined,
      gatePath,
      ticket => offer(json, `ticket.${ticket}`),
    ],
    [
      'twice in the subprotocols',
      '400 ticket_ambiguous',
      undefined,
      () => '/channel/',
      ticket => offer(json, `ticket.${ticket}`, `ticket.${other}`),
    ],
    [
      'in the query and in Authorization',
      '400 ticket_ambiguous',
      undefined,
      gatePath,
      ticket => ({ headers: { authorization: `Ticket ${ticket}` } }),
    ],
    [
      'in a subprotocol, and as Bearer',
      '400 ticket_ambiguous',
      undefined,
      () => '/channel/',
      ticket => ({
        headers: { 'sec-websocket-protocol': `${json}, ticket.${ticket}`, authorization: `Bearer ${other}` },
      }),
    ],
    [
      'in two lines of Authorization',
      '400 bad_request',
      undefined,
      () => '/channel/',
      ticket => ({ headers: { authorization: [`Ticket ${ticket}`, `Ticket ${other}`] } }),
    ],
    [
      'in Authorization, for another channel',
      '403 channel_forbidden',
      'red',
      () => '/channel/blue',
      ticket => ({ headers: { authorization: `Ticket ${ticket}` } }),
    ],
    [
      'in two lines of subprotocols',
      '400 ticket_ambiguous',
      undefined,
      () => '/channel/',
      ticket => ({
        headers: { 'sec-websocket-protocol': [`${json}, ticket.${ticket}`, `ticket.${other}`] },
      }),
    ],
    [
      'in the query and a second line of subprotocols',
      '400 ticket_ambiguous',
      undefined,
      gatePath,
      ticket => ({ headers: { 'sec-websocket-protocol': [json, `ticket.${ticket}`] } }),
    ],
    [
      'in the subprotocols alone',
      '400 subprotocol_missing',
      undefined,
      () => '/channel/',
      ticket => offer(`ticket.${ticket}`),
    ],
    [
      'in the subprotocols with a foreign one',
      '400 subprotocol_missing',
      undefined,
      () => '/channel/',
      ticket => offer('graphql-ws', `ticket.${ticket}`),
    ],
  ]
  for (const [name, expected, channel, path, options] of cases) {
    const ticket = await mint(server.url, 'maggie', channel)
    isProblem(t, await requestUpgrade(server.url, path(ticket), options(ticket)), expected, name)
    t.equal((await requestUpgrade(server.url, gatePath(ticket, channel))).status, 101, `${name}: not spent`)
  }
  t.equal((await requestUpgrade(server.url, gatePath(other))).status, 101, 'nor was the other')
})

t.test('without a ticket nothing opens', async t => {
  const cases = [
    ['no query', '/channel/', {}],
    ['another parameter', '/channel/?token=x', {}],
    ['a parameter in another case', `/channel/?Ticket=${await mint(server.url)}`, {}],
    ['a parameter that ends like it', `/channel/?xticket=${await mint(server.url)}`, {}],
    ['a parameter that begins like it', `/channel/?tickets=${await mint(server.url)}`, {}],
    ['no value', '/channel/?ticket', {}],
    ['an empty value', '/channel/?ticket=', {}],
    ['a subprotocol without one', '/channel/', offer(json)],
    ['an empty one in the subprotocols', '/channel/', offer(json, 'ticket.')],
    ['a ticket in a header', '/channel/', { headers: { ticket: await mint(server.url) } }],
    ['a ticket in a cookie', '/channel/', { headers: { cookie: `ticket=${await mint(server.url)}` } }],
  ] as const
  for (const [name, path, options] of cases)
    isProblem(t, await requestUpgrade(server.url, path, options), '401 ticket_missing', name)
})

t.test('a refusal closes its connection', async t => {
  const connection = await RawConnection.connect(server.url)
  connection.write(upgradeText('/channel/'))
  const reply = await connection.response()
  t.equal(reply?.status, 401)
  t.equal(reply?.headers.connection, 'close')
  await connection.closed
})

t.test('other parameters do no harm', async t => {
  for (const query of [
    'a=1&ticket=T',
    'ticket=T&a=1',
    'ticket=T&',
    '&ticket=T',
    'tickets=x&ticket=T',
    'a=ticket=x&ticket=T',
  ]) {
    const ticket = await mint(server.url)
    t.equal(
      (await requestUpgrade(server.url, `/channel/?${query.replace('=T', `=${ticket}`)}`)).status,
      101,
      query,
    )
  }
})

t.test('a native client sends the ticket as Authorization', async t => {
  const headersOf = {
    'as Ticket': (ticket: string) => ({ authorization: `Ticket ${ticket}` }),
    'as Bearer': (ticket: string) => ({ authorization: `Bearer ${ticket}` }),
  }
  for (const [name, headers] of Object.entries(headersOf)) {
    const ticket = await mint(server.url, 'maggie', 'lobby')
    const { client, welcome } = await openSession(socketUrl(server.url, '/channel/lobby'), {
      headers: headers(ticket),
    })
    t.match(welcome, { user: 'maggie', channel: 'lobby' }, name)
    client.socket.terminate()
    const again = await requestUpgrade(server.url, '/channel/lobby', { headers: headers(ticket) })
    isProblem(t, again, '401 ticket_used', name)
  }
  const headers = { authorization: `Bearer ${tokenFor('maggie')}` }
  const path = gatePath(await mint(server.url))
  t.equal(
    (await requestUpgrade(server.url, path, { headers })).status,
    101,
    'a JWT beside the ticket is none',
  )
  isProblem(t, await requestUpgrade(server.url, '/channel/', { headers }), '401 ticket_missing', 'nor alone')
})

t.test('a ticket under an encoded parameter name is not a ticket', async t => {
  const ticket = await mint(server.url)
  isProblem(t, await requestUpgrade(server.url, `/channel/?%74icket=${ticket}`), '401 ticket_missing')
})

t.test('an invalid upgrade does not spend the ticket', async t => {
  const cases = [
    ['no key', { 'sec-websocket-key': [] }],
    ['a short key', { 'sec-websocket-key': 'c2hvcnQ=' }],
    ['no Upgrade', { upgrade: [] }],
    ['another protocol', { upgrade: 'h2c' }],
    ['a connection that ends', { connection: 'close' }],
    ['a connection that goes on', { connection: 'keep-alive' }],
    ['a word that contains it', { connection: 'upgrades, x-upgrade' }],
  ] as const
  for (const [name, change] of cases) {
    const ticket = await mint(server.url)
    const reply = await request(server.url, gatePath(ticket), { headers: { ...upgradeHeaders(), ...change } })
    t.match(String(reply.status), /^4\d\d$/, name)
    t.equal((await requestUpgrade(server.url, gatePath(ticket))).status, 101, `${name}: not spent`)
  }
})

t.test('the fields of a handshake may have any form that RFC 6455 allows', async t => {
  const cases = [
    ['Connection as Firefox sends it', { connection: 'keep-alive, Upgrade' }],
    ['Connection in other letters, first of several', { connection: 'UPGRADE,keep-alive' }],
    ['Upgrade in other letters', { upgrade: 'WebSocket' }],
  ] as const
  for (const [name, headers] of cases)
    t.equal(
      (await requestUpgrade(server.url, gatePath(await mint(server.url)), { headers })).status,
      101,
      name,
    )
  const lines = { 'sec-websocket-protocol': [json, `ticket.${await mint(server.url)}`] }
  const reply = await requestUpgrade(server.url, '/channel/', { headers: lines })
  t.equal(reply.status, 101, 'subprotocols in two lines')
  t.equal(reply.headers['sec-websocket-protocol'], json)
})

t.test('a ticket for any channel opens any, with names of minimum and maximum length', async t => {
  for (const channel of ['', 'red', 'a'.repeat(128), 'A-Za-z0-9._~:@-']) {
    const { client, welcome } = await openSession(
      socketUrl(server.url, gatePath(await mint(server.url), channel)),
    )
    t.equal(welcome.channel, channel, channel || 'the empty name')
    await client.close()
  }
})

t.test('a path below a channel is not a channel', async t => {
  const ticket = await mint(server.url)
  const reply = await requestUpgrade(server.url, gatePath(ticket, 'a/b'))
  t.match(reply.text, /"code":\s*"(channel_invalid|not_found)"/, String(reply.status))
  t.equal((await requestUpgrade(server.url, gatePath(ticket))).status, 101, 'not spent')
})

t.test('a ticket ends on time', async t => {
  const brief = await startServer(t, { env: { TICKETGATE_TICKET_TTL_SECONDS: '1' } })
  const { ticket, expires } = await mintWith(brief.url, tokenFor('maggie'))
  await untilSecond(expires + 1)
  isProblem(t, await requestUpgrade(brief.url, gatePath(ticket)), '401 ticket_expired')
})

t.test('caps on connections: per user, per address, in all; a refusal does not spend the ticket', async t => {
  const capped = await startServer(t, {
    env: {
      TICKETGATE_MAX_CONNECTIONS: '6',
      TICKETGATE_MAX_CONNECTIONS_PER_USER: '2',
      TICKETGATE_MAX_CONNECTIONS_PER_ADDRESS: '4',
      TICKETGATE_TRUSTED_PROXIES: '127.0.9.0/24',
      TICKETGATE_TICKET_TTL_SECONDS: '60',
    },
  })
  const ticketOf = (user: string) => mint(capped.url, user)
  const openAs = async (user: string, from: string, headers = {}) =>
    (await openSession(socketUrl(capped.url, gatePath(await ticketOf(user))), { from, headers })).client
  const isFull = async (user: string, from: string, name: string, headers = {}): Promise<string> => {
    const ticket = await ticketOf(user)
    const outcome = await attempt(socketUrl(capped.url, gatePath(ticket)), { from, headers })
    if (outcome instanceof Client) t.fail(`${name}: let in`)
    else {
      isProblem(t, outcome, '429 too_many_connections', name)
      hasRetryAfter(t, outcome, name, 3600)
    }
    return ticket
  }
  const first = await openAs('a', '127.0.0.2')
  const clients = [first, await openAs('a', '127.0.0.3')]
  const kept = await isFull('a', '127.0.0.4', 'the third of a user')
  await first.close()
  await serverHasRead(capped.url)
  const again = await attempt(socketUrl(capped.url, gatePath(kept)), { from: '127.0.0.4' })
  if (again instanceof Client) clients.push(again)
  t.ok(again instanceof Client, 'when one has gone, the very ticket is good')

  for (const user of ['b', 'c', 'd', 'e']) {
    const client = await openAs(user, '127.0.9.1', { 'x-forwarded-for': '203.0.113.5' })
    clients.push(client)
  }
  await isFull('f', '127.0.0.9', 'the seventh in all')
  clients[1]?.socket.close()
  await clients[1]?.closed
  await serverHasRead(capped.url)
  await isFull('f', '127.0.9.2', 'the fifth of a forwarded address', {
    'x-forwarded-for': '198.51.100.1, 203.0.113.5',
  })
  clients.push(await openAs('f', '127.0.9.2', { 'x-forwarded-for': '203.0.113.6' }))
  const counts = await request(capped.admin, '/connections', {
    headers: { authorization: `Bearer ${adminKey}` },
  })
  t.ok(JSON.stringify(jsonOf(counts)).includes('6'), counts.text)
  await Promise.all(clients.map(client => client.close()))
})
