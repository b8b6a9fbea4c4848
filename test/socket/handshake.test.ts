import t from 'tap'
import { jsonOf, request, requestUpgrade, upgradeHeaders } from '../support/http.js'
import { hasRetryAfter, isProblem } from '../support/problem.js'
import { RawConnection, serverHasRead, upgradeText } from '../support/raw.js'
import { adminKey, startServer } from '../support/server.js'
import { attempt, Client, openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, mint, mintWith, tokenFor, untilSecond } from '../support/tokens.js'

const server = await startServer(t)
const json = 'ticketgate.v1.json'

const bySubprotocols = (...protocols: string[]) => ({
  headers: { 'sec-websocket-protocol': protocols.join(', ') },
})
const byHeader = (authorization: string | string[]) => ({ headers: { authorization } })

/** A way to present a ticket that is refused. */
interface Refused {
  readonly name: string
  readonly expected: string
  /** The channel that the ticket is bound to. Default: none. */
  readonly bound?: string
  /** The channel that is opened. Default: the empty one. */
  readonly channel?: string
  /** Default: the ticket in the query. */
  readonly path?: (ticket: string) => string
  readonly options?: (ticket: string) => object
}

const another = await mint(server.url)
const withoutQuery = (): string => '/channel/'

const otherOrigins: readonly Refused[] = [
  {
    name: 'an origin not allowed',
    expected: '403 origin_forbidden',
    options: () => ({ headers: { origin: 'https://evil.test' } }),
  },
]

const otherChannels: readonly Refused[] = [
  ...(
    [
      ['another channel', 'blue'],
      ['a longer channel', 'red2'],
      ['a shorter channel', 're'],
      ['a channel in another case', 'Red'],
      ['no channel', ''],
    ] as const
  ).map(([name, channel]) => ({ name, expected: '403 channel_forbidden', bound: 'red', channel })),
  {
    name: 'in Authorization, for another channel',
    expected: '403 channel_forbidden',
    bound: 'red',
    path: () => '/channel/blue',
    options: ticket => byHeader(`Ticket ${ticket}`),
  },
]

const invalidChannels: readonly Refused[] = [
  { name: 'a channel of 129 characters', channel: 'a'.repeat(129), expected: '400 channel_invalid' },
  { name: 'a channel with percent-encoding', channel: 'a%20b', expected: '400 channel_invalid' },
  {
    name: 'a letter of the channel percent-encoded',
    expected: '400 channel_invalid',
    bound: 'red',
    channel: '%72ed',
  },
  { name: 'a channel with a plus', channel: 'a+b', expected: '400 channel_invalid' },
]

const ambiguous: readonly Refused[] = (
  [
    ['twice in the query', ticket => `${gatePath(ticket)}&ticket=${ticket}`, () => ({})],
    ['with another in the query', ticket => `${gatePath(ticket)}&ticket=${another}`, () => ({})],
    ['with an empty one in the query', ticket => `/channel/?ticket=&ticket=${ticket}`, () => ({})],
    ['in query and subprotocol', gatePath, ticket => bySubprotocols(json, `ticket.${ticket}`)],
    [
      'twice in the subprotocols',
      withoutQuery,
      ticket => bySubprotocols(json, `ticket.${ticket}`, `ticket.${another}`),
    ],
    ['in the query and in Authorization', gatePath, ticket => byHeader(`Ticket ${ticket}`)],
    [
      'in a subprotocol, and as Bearer',
      withoutQuery,
      ticket => ({
        headers: {
          'sec-websocket-protocol': `${json}, ticket.${ticket}`,
          authorization: `Bearer ${another}`,
        },
      }),
    ],
    [
      'in two lines of subprotocols',
      withoutQuery,
      ticket => ({
        headers: { 'sec-websocket-protocol': [`${json}, ticket.${ticket}`, `ticket.${another}`] },
      }),
    ],
    [
      'in the query and a second line of subprotocols',
      gatePath,
      ticket => ({ headers: { 'sec-websocket-protocol': [json, `ticket.${ticket}`] } }),
    ],
  ] satisfies [string, (ticket: string) => string, (ticket: string) => object][]
).map(([name, path, options]) => ({ name, path, options, expected: '400 ticket_ambiguous' }))

const otherPlaces: readonly Refused[] = [
  {
    name: 'in two lines of Authorization',
    expected: '400 bad_request',
    path: withoutQuery,
    options: ticket => byHeader([`Ticket ${ticket}`, `Ticket ${another}`]),
  },
  {
    name: 'in the subprotocols alone',
    expected: '400 subprotocol_missing',
    path: withoutQuery,
    options: ticket => bySubprotocols(`ticket.${ticket}`),
  },
  {
    name: 'in the subprotocols with a foreign one',
    expected: '400 subprotocol_missing',
    path: withoutQuery,
    options: ticket => bySubprotocols('graphql-ws', `ticket.${ticket}`),
  },
]

t.test('a refusal never spends the ticket', async t => {
  const cases = [...otherOrigins, ...otherChannels, ...invalidChannels, ...ambiguous, ...otherPlaces]
  for (const { name, expected, bound, channel = '', path, options } of cases) {
    const ticket = await mint(server.url, 'maggie', bound)
    const target = path?.(ticket) ?? gatePath(ticket, channel)
    isProblem(t, await requestUpgrade(server.url, target, options?.(ticket) ?? {}), expected, name)
    const reply = await requestUpgrade(server.url, gatePath(ticket, bound))
    t.equal(reply.status, 101, `${name}: the ticket is not spent`)
  }
  const reply = await requestUpgrade(server.url, gatePath(another))
  t.equal(reply.status, 101, 'the other ticket is not spent')
})

t.test('without a ticket, no socket opens', async t => {
  const cases = [
    ['no query', '/channel/', {}],
    ['another parameter', '/channel/?token=x', {}],
    ['a parameter in another case', `/channel/?Ticket=${await mint(server.url)}`, {}],
    ['a parameter that ends in ticket', `/channel/?xticket=${await mint(server.url)}`, {}],
    ['a parameter that begins with ticket', `/channel/?tickets=${await mint(server.url)}`, {}],
    ['no value', '/channel/?ticket', {}],
    ['an empty value', '/channel/?ticket=', {}],
    ['a subprotocol without a ticket', '/channel/', bySubprotocols(json)],
    ['an empty ticket in the subprotocols', '/channel/', bySubprotocols(json, 'ticket.')],
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

t.test('other parameters are ignored', async t => {
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

t.test('a native client can send the ticket in Authorization', async t => {
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
    'a JWT beside the ticket is ignored',
  )
  isProblem(
    t,
    await requestUpgrade(server.url, '/channel/', { headers }),
    '401 ticket_missing',
    'a JWT alone is not a ticket',
  )
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
    ['Connection: close', { connection: 'close' }],
    ['Connection: keep-alive', { connection: 'keep-alive' }],
    ['Connection with words that contain upgrade', { connection: 'upgrades, x-upgrade' }],
  ] as const
  for (const [name, change] of cases) {
    const ticket = await mint(server.url)
    const reply = await request(server.url, gatePath(ticket), { headers: { ...upgradeHeaders(), ...change } })
    t.match(String(reply.status), /^4\d\d$/, name)
    t.equal(
      (await requestUpgrade(server.url, gatePath(ticket))).status,
      101,
      `${name}: the ticket is not spent`,
    )
  }
})

t.test('handshake headers may have any form that RFC 6455 allows', async t => {
  const cases = [
    ['Connection as Firefox sends it', { connection: 'keep-alive, Upgrade' }],
    ['Connection in capitals, with another value', { connection: 'UPGRADE,keep-alive' }],
    ['Upgrade in mixed case', { upgrade: 'WebSocket' }],
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

t.test('an unbound ticket opens any channel, with a name of any allowed length', async t => {
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
  t.equal((await requestUpgrade(server.url, gatePath(ticket))).status, 101, 'the ticket is not spent')
})

t.test('a ticket expires on time', async t => {
  const brief = await startServer(t, { env: { TICKETGATE_TICKET_TTL_SECONDS: '1' } })
  const { ticket, expires } = await mintWith(brief.url, tokenFor('maggie'))
  await untilSecond(expires + 1)
  isProblem(t, await requestUpgrade(brief.url, gatePath(ticket)), '401 ticket_expired')
})

t.test(
  'connections are capped per user, per address and in total, and a refusal does not spend the ticket',
  async t => {
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
      if (outcome instanceof Client) t.fail(`${name}: is refused`)
      else {
        isProblem(t, outcome, '429 too_many_connections', name)
        hasRetryAfter(t, outcome, name, 3600)
      }
      return ticket
    }
    const first = await openAs('a', '127.0.0.2')
    const clients = [first, await openAs('a', '127.0.0.3')]
    const kept = await isFull('a', '127.0.0.4', 'the third connection of a user')
    await first.close()
    await serverHasRead(capped.url)
    const again = await attempt(socketUrl(capped.url, gatePath(kept)), { from: '127.0.0.4' })
    if (again instanceof Client) clients.push(again)
    t.ok(again instanceof Client, 'the refused ticket works once a connection has closed')

    for (const user of ['b', 'c', 'd', 'e']) {
      const client = await openAs(user, '127.0.9.1', { 'x-forwarded-for': '203.0.113.5' })
      clients.push(client)
    }
    await isFull('f', '127.0.0.9', 'the seventh connection in total')
    clients[1]?.socket.close()
    await clients[1]?.closed
    await serverHasRead(capped.url)
    await isFull('f', '127.0.9.2', 'the fifth connection of a forwarded address', {
      'x-forwarded-for': '198.51.100.1, 203.0.113.5',
    })
    clients.push(await openAs('f', '127.0.9.2', { 'x-forwarded-for': '203.0.113.6' }))
    const counts = await request(capped.admin, '/connections', {
      headers: { authorization: `Bearer ${adminKey}` },
    })
    t.ok(JSON.stringify(jsonOf(counts)).includes('6'), counts.text)
    await Promise.all(clients.map(client => client.close()))
  },
)
