import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { freePort } from '../support/free-port.js'
import {
  bearer,
  type Json,
  jsonOf,
  metric,
  type Reply,
  type RequestOptions,
  request,
  requestUpgrade,
  upgradeHeaders,
} from '../support/http.js'
import { startNode, untilReady } from '../support/nodes.js'
import { isProblem } from '../support/problem.js'
import { needs } from '../support/programs.js'
import { startCaddy, startHaproxy, startNginx, writeConfig } from '../support/proxy.js'
import { startRedis } from '../support/redis.js'
import {
  allowedOrigin,
  type Environment,
  jwtSecret,
  startServer,
  type TestServer,
  temporaryDirectory,
} from '../support/server.js'
import { attempt, Client, type OpenOptions, open, socketUrl } from '../support/socket-client.js'
import { mint, mintWith, nowSeconds, signText, tokenFor, untilSecond } from '../support/tokens.js'
import { type Arrival, startUpstream } from './upstream.js'

const env = { TICKETGATE_VERIFY: 'on', TICKETGATE_TICKET_TTL_SECONDS: '60' }

/** Adds an issuer, with the same secret, whose claims are carried in tickets. */
const carrying = (t: Test): Environment => {
  const directory = temporaryDirectory(t)
  const put = (name: string, text: string): string => {
    writeFileSync(join(directory, name), text)
    return join(directory, name)
  }
  const secretFile = put('secret', jwtSecret)
  const ticketClaims = ['email', 'profile.org_id', 'https://a.test/roles', 'admin', 'level', 'note']
  return {
    TICKETGATE_LOGIN: 'on',
    TICKETGATE_ISSUERS_FILE: put(
      'issuers.json',
      JSON.stringify([{ issuer: 'shop', secretFile, ticketClaims }]),
    ),
    TICKETGATE_DEFAULT_SUBSCRIBE: '*',
  }
}

/** A ticket for a token of that issuer with these claims. */
const mintOf = async (server: TestServer, user: string, claims: Json): Promise<string> =>
  (await mintWith(server.url, tokenFor(user, { iss: 'shop', ...claims }))).ticket

type Headers = Readonly<Record<string, string | readonly string[]>>

const ask = (server: TestServer, path: string, headers: Headers = {}): Promise<Reply> =>
  request(server.url, `/verify${path}`, { headers })

const holder = ({ headers }: Reply) => ({
  subject: headers['x-ticket-subject'],
  channel: headers['x-ticket-channel'],
  session: headers['x-ticket-session'],
  expires: Number(headers['x-ticket-expires']) > nowSeconds(),
})

t.test('/verify does not exist unless it is enabled', async t => {
  const server = await startServer(t)
  const ticket = await mint(server.url)
  for (const path of ['', '/a']) isProblem(t, await ask(server, `${path}?ticket=${ticket}`), '404 not_found')
  t.equal(
    (await requestUpgrade(server.url, `/channel/?ticket=${ticket}`)).status,
    101,
    'the ticket is not spent',
  )
})

t.test('a valid ticket is accepted once, wherever it is', async t => {
  const server = await startServer(t, { env })
  const forms: Record<string, (ticket: string) => Promise<Reply>> = {
    'in its own query': ticket => ask(server, `?ticket=${ticket}`),
    'in the query after a path, as from Envoy': ticket =>
      ask(server, `/socket?a=b&channel=x&ticket=${ticket}`),
    'in the URI of nginx': ticket => ask(server, '', { 'x-original-uri': `/socket?a=b&ticket=${ticket}` }),
    'in the URI of Traefik and Caddy': ticket =>
      ask(server, '', { 'x-forwarded-uri': `/socket?ticket=${ticket}` }),
    'among the subprotocols': ticket =>
      ask(server, '', { 'sec-websocket-protocol': `chat, ticket.${ticket}` }),
    'in two subprotocol fields': ticket =>
      ask(server, '', { 'sec-websocket-protocol': ['chat', `ticket.${ticket}`] }),
    'in Authorization': ticket => ask(server, '', { authorization: `Ticket ${ticket}` }),
    'as a bearer token': ticket =>
      ask(server, '', { authorization: `Bearer ${ticket}`, 'x-original-uri': '/a' }),
    'beside a JWT for the upstream server': ticket =>
      ask(server, '', {
        authorization: `Bearer ${tokenFor('maggie')}`,
        'x-original-uri': `/?ticket=${ticket}`,
      }),
    'in a URI that two proxies name': ticket =>
      ask(server, '', {
        'x-original-uri': `/b?ticket=${ticket}`,
        'x-forwarded-uri': `/a/b?ticket=${ticket}`,
      }),
    'beside an upgrade that was passed on': ticket =>
      ask(server, '', { ...upgradeHeaders(), 'x-original-uri': `/?ticket=${ticket}` }),
  }
  for (const [name, present] of Object.entries(forms)) {
    const ticket = await mint(server.url)
    const reply = await present(ticket)
    t.equal(reply.status, 204, `${name}: ${reply.text}`)
    t.strictSame(holder(reply), { subject: 'maggie', channel: '', session: '', expires: true }, name)
    t.equal(reply.headers['cache-control'], 'no-store')
    isProblem(t, await present(ticket), '401 ticket_used', name)
    isProblem(
      t,
      await requestUpgrade(server.url, `/channel/?ticket=${ticket}`),
      '401 ticket_used',
      `${name}: at the gate`,
    )
  }
  t.equal(await metric(server, 'ticketgate_tickets_verified_total'), Object.keys(forms).length)
})

t.test(
  'a ticket bound to a channel is valid for it alone, any other for all channels that it has rights on',
  async t => {
    const server = await startServer(t, { env })
    const red = await mint(server.url, 'maggie', 'red')
    isProblem(t, await ask(server, `?ticket=${red}`), '403 channel_forbidden', 'no channel')
    isProblem(t, await ask(server, `?channel=blue&ticket=${red}`), '403 channel_forbidden', 'another channel')
    isProblem(t, await ask(server, `?channel=Red&ticket=${red}`), '403 channel_forbidden', 'another case')
    isProblem(t, await ask(server, `?channel=re%64&ticket=${red}`), '400 channel_invalid', 'percent-encoding')
    isProblem(
      t,
      await ask(server, `?channel=red&channel=red&ticket=${red}`),
      '400 bad_request',
      'two channels',
    )
    isProblem(
      t,
      await ask(server, '', { 'x-original-uri': `/?channel=red&ticket=${red}` }),
      '403 channel_forbidden',
      'a channel from the client is ignored',
    )
    isProblem(
      t,
      await ask(server, `/?channel=red&ticket=${red}`),
      '403 channel_forbidden',
      'a channel from the client is ignored if its query is appended',
    )
    const passed = await ask(server, '?channel=red', { 'x-original-uri': `/?ticket=${red}` })
    t.equal(passed.status, 204)
    t.match(holder(passed), { channel: 'red' })

    const rights = { channels: { publish: ['chat.*'], subscribe: [] } }
    const some = (await mintWith(server.url, tokenFor('theo', rights))).ticket
    isProblem(
      t,
      await ask(server, `?channel=red&ticket=${some}`),
      '403 channel_forbidden',
      'no rights on the channel',
    )
    t.match(holder(await ask(server, `?channel=chat.1&ticket=${some}`)), {
      subject: 'theo',
      channel: 'chat.1',
    })
  },
)

/** Expects each request to be refused, and the tickets not to be spent by that. */
async function refuses(
  t: Test,
  server: TestServer,
  tickets: readonly string[],
  cases: readonly [name: string, path: string, headers: Headers, expected: string][],
): Promise<void> {
  for (const [name, path, headers, expected] of cases)
    isProblem(t, await ask(server, path, headers), expected, name)
  for (const ticket of tickets)
    t.equal((await ask(server, `?ticket=${ticket}`, { origin: allowedOrigin })).status, 204)
}

t.test('more than one ticket in a request is refused, and none is spent', async t => {
  const server = await startServer(t, { env })
  const [one, two] = [await mint(server.url), await mint(server.url)]
  await refuses(
    t,
    server,
    [one, two],
    [
      ['two in the query', `?ticket=${one}&ticket=${two}`, {}, '400 ticket_ambiguous'],
      [
        'the same one twice',
        `?ticket=${one}`,
        { 'x-original-uri': `/?ticket=${one}` },
        '400 ticket_ambiguous',
      ],
      ['two after a path', `/a?ticket=${one}&ticket=${two}`, {}, '400 ticket_ambiguous'],
      ['two in the URI', '', { 'x-original-uri': `/?ticket=${one}&ticket=${two}` }, '400 ticket_ambiguous'],
      [
        'query and subprotocol',
        '',
        { 'x-original-uri': `/?ticket=${one}`, 'sec-websocket-protocol': `ticket.${two}` },
        '400 ticket_ambiguous',
      ],
      [
        'query and Authorization',
        '',
        { 'x-original-uri': `/?ticket=${one}`, authorization: `Bearer ${two}` },
        '400 ticket_ambiguous',
      ],
      [
        'two subprotocol fields',
        '',
        { 'sec-websocket-protocol': [`ticket.${one}`, `ticket.${two}`] },
        '400 ticket_ambiguous',
      ],
      [
        'another ticket in a URI that the client claims',
        '',
        { 'x-original-uri': `/?ticket=${one}`, 'x-forwarded-uri': `/?ticket=${two}` },
        '400 ticket_ambiguous',
      ],
      [
        'a URI field twice',
        '',
        { 'x-forwarded-uri': [`/?ticket=${one}`, `/?ticket=${two}`] },
        '400 ticket_ambiguous',
      ],
    ],
  )
})

t.test('requests without a valid ticket, and foreign pages, are refused and spend none', async t => {
  const server = await startServer(t, { env })
  const one = await mint(server.url)
  for (const method of ['POST', 'HEAD', 'PUT'])
    t.equal((await request(server.url, `/verify?ticket=${one}`, { method })).status, 405, method)
  await refuses(
    t,
    server,
    [one],
    [
      ['nothing', '', {}, '401 ticket_missing'],
      ['an empty ticket', '?ticket=', {}, '401 ticket_missing'],
      ['an empty ticket in the URI', '', { 'x-original-uri': '/?ticket=' }, '401 ticket_missing'],
      ['a path that looks like a query', '', { 'x-original-uri': `/ticket=${one}` }, '401 ticket_missing'],
      ['a JWT in place of a ticket', '', { authorization: `Ticket ${tokenFor('lisa')}` }, '401 token_in_url'],
      [
        'a bearer token that is not a ticket',
        '',
        { authorization: `Bearer ${tokenFor('lisa')}` },
        '401 ticket_missing',
      ],
      ['a token', '', { 'x-original-uri': `/?ticket=${tokenFor('maggie')}` }, '401 token_in_url'],
      [
        'a token in the parameter token',
        '',
        { 'x-original-uri': `/?token=${tokenFor('maggie')}` },
        '401 token_in_url',
      ],
      ['a ticket without its last letter', `?ticket=${one.slice(0, -1)}`, {}, '401 ticket_invalid'],
      [
        'a letter in percent-encoding',
        `?ticket=%${one.charCodeAt(0).toString(16)}${one.slice(1)}`,
        {},
        '401 ticket_invalid',
      ],
      ['a foreign origin', `?ticket=${one}`, { origin: 'https://evil.test' }, '403 origin_forbidden'],
      ['the origin null', `?ticket=${one}`, { origin: 'null' }, '403 origin_forbidden'],
    ],
  )
})

t.test('user names are percent-encoded where necessary, and cannot add a header', async t => {
  const server = await startServer(t, { env })
  for (const name of ['maggie@example.com', 'Zoë 李', '100%', 'a,b', "o'hara+1", '😀', ' x ']) {
    const token = signText(
      '{"alg":"HS256","typ":"JWT"}',
      JSON.stringify({ sub: name, iat: nowSeconds(), exp: nowSeconds() + 60 }),
    )
    const reply = await ask(server, `?ticket=${(await mintWith(server.url, token)).ticket}`)
    const subject = String(reply.headers['x-ticket-subject'])
    t.match(subject, /^[!-~]+$/, subject)
    t.equal(decodeURIComponent(subject), name)
  }
})

t.test('carried claims become headers, and cannot add any other header', async t => {
  const server = await startServer(t, { env: { ...env, ...carrying(t) } })
  const claimsIn = ({ headers }: Reply): Json =>
    Object.fromEntries(
      Object.entries(headers)
        .filter(([name]) => name.startsWith('x-ticket-claim-'))
        .map(([name, value]) => [name.slice('x-ticket-claim-'.length), value]),
    )
  const claims = {
    email: 'maggie@example.com\r\nX-Ticket-Claim-Admin: true',
    profile: { org_id: 'Zoë 李, 100%' },
    'https://a.test/roles': ['a', 'b,c', 'd e'],
    admin: false,
    level: -1.5,
    note: null,
    other: 'stays',
  }
  const reply = await ask(server, `?ticket=${await mintOf(server, 'maggie', claims)}`)
  t.strictSame(claimsIn(reply), {
    email: 'maggie@example.com%0D%0AX-Ticket-Claim-Admin:%20true',
    'org-id': 'Zo%C3%AB%20%E6%9D%8E%2C%20100%25',
    roles: 'a,b%2Cc,d%20e',
    admin: 'false',
    level: '-1.5',
  })
  t.strictSame(claimsIn(await ask(server, `?ticket=${await mintOf(server, 'maggie', {})}`)), {})
  t.strictSame(
    claimsIn(await ask(server, `?ticket=${await mint(server.url)}`)),
    {},
    'a ticket for our own login has none',
  )
})

t.test('a ticket bound to an address is valid only from there, as reported by a trusted proxy', async t => {
  const server = await startServer(t, {
    env: { ...env, TICKETGATE_BIND: 'address', TICKETGATE_TRUSTED_PROXIES: '127.0.0.0/8' },
  })
  const from = (address: string) => ({ 'x-forwarded-for': address })
  const { ticket } = await mintWith(server.url, tokenFor('maggie'), undefined, {
    headers: from('203.0.113.5'),
  })
  isProblem(t, await ask(server, `?ticket=${ticket}`, from('203.0.113.6')), '403 address_mismatch')
  isProblem(t, await ask(server, `?ticket=${ticket}`), '403 address_mismatch')
  t.equal((await ask(server, `?ticket=${ticket}`, from('203.0.113.5'))).status, 204)
})

t.test(
  'with a store in Redis, one of many attempts on two gates succeeds',
  needs('redis-server'),
  async t => {
    const redis = await startRedis(t)
    const nodes = [await startNode(t, redis.port, env), await startNode(t, redis.port, env)] as const
    let statuses: number[]
    do {
      for (const node of nodes) await untilReady(node)
      const ticket = await mint(nodes[0].url)
      const replies = await Promise.all(
        Array.from({ length: 20 }, (_, n) => ask(nodes[n % 2 === 0 ? 0 : 1], `?ticket=${ticket}`)),
      )
      statuses = replies.map(({ status }) => status).sort()
      // On a busy machine the store may be too slow, and no attempt succeeds: tries another ticket.
    } while (statuses.includes(503) && statuses.filter(status => status === 204).length <= 1)
    t.strictSame(statuses, [204, ...Array(19).fill(401)])
    const kept = await mint(nodes[0].url)
    redis.signal('SIGSTOP')
    isProblem(t, await ask(nodes[0], `?ticket=${kept}`), '503 replay_cache_unavailable')
  },
)

const refusal = async (url: string, options: OpenOptions): Promise<Reply> => {
  const outcome = await attempt(url, options)
  if (outcome instanceof Client) throw new Error('the handshake was accepted')
  return outcome
}

/**
 * The headers about the ticket that a server could read, however loosely it compares names: CGI
 * and its descendants read `X_Ticket_Subject` as `X-Ticket-Subject`. An empty header counts as
 * absent.
 */
const ticketHeadersOf = ({ headers }: Arrival): string[] =>
  headers
    .filter(([name, value]) => /ticket/i.test(name) && value !== '')
    .map(([name, value]) => `${name.toLowerCase()}: ${value}`)
    .sort()

interface ProxyUnderTest {
  readonly needed: ReturnType<typeof needs>
  readonly start: (t: Test, replacements: Readonly<Record<string, string>>) => Promise<string>
  /** Asserts that the client gets what this proxy makes of a refusal by the gate. */
  readonly isRefusal: (t: Test, reply: Reply, expected: string, name: string) => boolean
  /** The status if the gate is down. */
  readonly gateDown: number
  /** The status of paths that are not under `/sockets/`. */
  readonly elsewhere: number
}

const gateAddress = '127.0.0.1:8080'

const proxies: Readonly<Record<string, ProxyUnderTest>> = {
  nginx: {
    needed: needs('nginx', 'python3'),
    start: (t, replacements) => startNginx(t, 'nginx-verify.conf', replacements),
    // auth_request passes on only 401 and 403, and makes every other refusal a 500.
    isRefusal: (t, { status }, expected, name) =>
      t.equal(status, /^40[13] /.test(expected) ? Number(expected.slice(0, 3)) : 500, name),
    gateDown: 500,
    elsewhere: 404,
  },
  Caddy: {
    needed: needs('caddy', 'python3'),
    start: (t, replacements) => startCaddy(t, 'caddy-verify.caddyfile', replacements),
    isRefusal: isProblem,
    gateDown: 502,
    elsewhere: 200,
  },
  HAProxy: {
    needed: needs('haproxy', 'python3'),
    start: (t, { [gateAddress]: gate = '', ...others }) =>
      startHaproxy(t, 'haproxy-verify.cfg', {
        '/etc/haproxy/ticketgate.lua': writeConfig(t, 'haproxy-verify.lua', { [gateAddress]: gate }),
        ...others,
      }),
    isRefusal: isProblem,
    gateDown: 503,
    elsewhere: 404,
  },
}

/** A gate, a proxy that asks it, and a server behind the proxy. */
async function startSite(t: Test, start: ProxyUnderTest['start']) {
  const server = await startServer(t, {
    env: { ...env, ...carrying(t), TICKETGATE_TRUSTED_PROXIES: '127.0.0.1', TICKETGATE_BIND: 'address' },
  })
  const upstream = await startUpstream(t)
  /** Starts the proxy for a gate at this port. */
  const proxyFor = (gatePort: number): Promise<string> =>
    start(t, { [gateAddress]: `127.0.0.1:${gatePort}`, '127.0.0.1:9000': `127.0.0.1:${upstream.port}` })
  const proxy = await proxyFor(server.port)
  /** Expects a handshake to reach the upstream server, as the next request that does. */
  const enters = async (t: Test, target: string, headers: Headers, name: string): Promise<Arrival> => {
    const { status, text } = await requestUpgrade(proxy, target, { headers })
    if (status !== 101) throw new Error(`${name}: ${status} ${text}`)
    const arrival = await upstream.next()
    t.equal(arrival.path, target, name)
    return arrival
  }
  const ends = nowSeconds() + 500
  return {
    server,
    upstream,
    proxyFor,
    proxy,
    enters,
    ends,
    mintFor: async (user: string): Promise<string> =>
      (await mintWith(server.url, tokenFor(user, { exp: ends, sid: 's,1' }))).ticket,
    /** The headers of the gate for such a ticket. */
    headersFor: (user: string): string[] => [
      `x-ticket-expires: ${ends}`,
      'x-ticket-session: s,1',
      `x-ticket-subject: ${user}`,
    ],
  }
}

type Site = Awaited<ReturnType<typeof startSite>>

const path = (ticket?: string): string => `/sockets/1${ticket === undefined ? '' : `?ticket=${ticket}`}`

/** Client headers that must not reach the server as if they came from the gate. */
const forgeries: readonly [name: string, headers: Headers][] = [
  ['plain', {}],
  [
    'our names',
    {
      'X-Ticket-Subject': 'root',
      'x-ticket-channel': 'all',
      'X-TICKET-EXPIRES': '9999999999',
      'X-Ticket-Session': 'root',
    },
  ],
  ['our names twice', { 'X-Ticket-Subject': ['root', 'root'], 'X-Ticket-Channel': ['all', 'all'] }],
  [
    'names that some servers read as ours',
    {
      X_Ticket_Subject: 'root',
      'X-Ticket_Channel': 'all',
      X_Ticket_Session: 'root',
      'x_TICKET-Expires': '9',
      'X.Ticket.Subject': 'root',
    },
  ],
  [
    'names of claims, in any spelling, whether the proxy is configured for them or not',
    {
      'X-Ticket-Claim-Email': ['root@a.test', 'root@a.test'],
      X_Ticket_Claim_Email: 'root@a.test',
      'x-ticket-claim_email': 'root@a.test',
      'X.Ticket.Claim.Email': 'root@a.test',
      'X-TICKET-CLAIM-ADMIN': 'true',
      'X-Ticket-Claim-': 'true',
      'X-Ticket_Claim-Org_Id': '1',
    },
  ],
  [
    'our names in Connection, to have them removed on the way',
    { connection: 'Upgrade, X-Ticket-Subject, x-ticket-expires' },
  ],
  [
    'names that the gate reads in Connection',
    { connection: 'Upgrade, X-Forwarded-Uri, X-Original-Uri, X-Forwarded-For, Sec-WebSocket-Protocol' },
  ],
]

async function validTicketsEnter(
  t: Test,
  { server, enters, ends, mintFor, headersFor }: Site,
): Promise<void> {
  for (const [name, headers] of forgeries)
    t.strictSame(
      ticketHeadersOf(await enters(t, path(await mintFor('maggie')), headers, name)),
      headersFor('maggie'),
      name,
    )
  const carried = await mintOf(server, 'maggie', { exp: ends, sid: 's,1', email: 'a@b.test' })
  t.strictSame(
    ticketHeadersOf(
      await enters(t, path(carried), { 'X-Ticket-Claim-Email': 'root', X_Ticket_Claim_Admin: '1' }, 'claims'),
    ),
    ['x-ticket-claim-email: a@b.test', ...headersFor('maggie')],
  )
  const odd = 'Zoë {http.request.method} $host'
  const received = ticketHeadersOf(await enters(t, path(await mintFor(odd)), {}, odd))
  t.strictSame(received.map(decodeURIComponent), headersFor(odd))
}

async function subprotocolTicketEnters(
  t: Test,
  { upstream, proxy, mintFor, headersFor }: Site,
  { isRefusal }: ProxyUnderTest,
): Promise<void> {
  const protocols = ['chat', `ticket.${await mintFor('maggie')}`]
  const client = await open(socketUrl(proxy, path()), { protocols })
  t.equal(client.socket.protocol, 'chat')
  t.strictSame(await client.ask({ hello: 'there' }), { hello: 'there' }, 'messages pass in both directions')
  await client.close()
  t.strictSame(ticketHeadersOf(await upstream.next()), headersFor('maggie'))
  isRefusal(t, await refusal(socketUrl(proxy, path()), { protocols }), '401 ticket_used', 'the second time')
}

async function requestedUriCounts(
  t: Test,
  { proxy, enters, mintFor, headersFor }: Site,
  { isRefusal }: ProxyUnderTest,
): Promise<void> {
  for (const name of ['X-Original-URI', 'x-original-uri', 'X-Forwarded-Uri', 'X-FORWARDED-URI']) {
    const [own, other] = [await mintFor('maggie'), await mintFor('theo')]
    const claim = { [name]: [`/sockets/1?ticket=${other}`, `/?ticket=${other}`] }
    isRefusal(
      t,
      await requestUpgrade(proxy, path(), { headers: claim }),
      '401 ticket_missing',
      `${name} alone`,
    )
    t.strictSame(ticketHeadersOf(await enters(t, path(own), claim, name)), headersFor('maggie'), name)
    isRefusal(
      t,
      await requestUpgrade(proxy, path(own), { headers: claim }),
      '401 ticket_used',
      `${name}, spent`,
    )
    t.strictSame(
      ticketHeadersOf(await enters(t, path(other), {}, name)),
      headersFor('theo'),
      `${name}: the claimed ticket is not spent`,
    )
  }
}

async function othersAreRefused(
  t: Test,
  { server, proxy, enters }: Site,
  { isRefusal }: ProxyUnderTest,
): Promise<void> {
  const spent = await mint(server.url)
  await enters(t, path(spent), {}, 'the first time')
  let soon: number
  let taken: Reply
  // Repeated until a ticket was obtained in time.
  do {
    soon = nowSeconds() + 3
    taken = await request(server.url, '/ws_ticket', {
      headers: bearer(tokenFor('maggie', { exp: soon })),
    })
  } while (taken.status !== 200)
  const short = String(jsonOf(taken).ticket)
  await untilSecond(soon + 1)
  const elsewhereAddress = { headers: { 'x-forwarded-for': '203.0.113.5' } }
  const foreign = (await mintWith(server.url, tokenFor('maggie'), undefined, elsewhereAddress)).ticket
  const red = await mint(server.url, 'maggie', 'red')
  const other = await mint(server.url)
  const cases: [name: string, target: string, options: RequestOptions, expected: string][] = [
    ['a spent ticket', path(spent), {}, '401 ticket_used'],
    ['no ticket', path(), {}, '401 ticket_missing'],
    ['an expired ticket', path(short), {}, '401 ticket_expired'],
    ['garbage', path('AAAA'), {}, '401 ticket_invalid'],
    ['a token', path(tokenFor('maggie')), {}, '401 token_in_url'],
    ['a foreign page', path(other), { headers: { origin: 'https://evil.test' } }, '403 origin_forbidden'],
    ['two tickets', `${path(other)}&ticket=${other}`, {}, '400 ticket_ambiguous'],
    [
      'in the URI and among the subprotocols',
      path(other),
      { headers: { 'sec-websocket-protocol': `chat, ticket.${other}` } },
      '400 ticket_ambiguous',
    ],
    ['a ticket for one channel', path(red), {}, '403 channel_forbidden'],
    [
      "a ticket for one channel, which the client's own query names",
      `${path(red)}&channel=red`,
      {},
      '403 channel_forbidden',
    ],
    ['a ticket from another address', path(other), { from: '127.0.0.2' }, '403 address_mismatch'],
    [
      'a ticket for an address that the client claims',
      path(foreign),
      elsewhereAddress,
      '403 address_mismatch',
    ],
    [
      'a request that is not a handshake',
      path(spent),
      { headers: { connection: 'close', upgrade: '' } },
      '401 ticket_used',
    ],
  ]
  for (const [name, target, options, expected] of cases)
    isRefusal(t, await requestUpgrade(proxy, target, options), expected, name)
  await enters(t, path(other), { origin: allowedOrigin }, 'the first to reach the server after all these')
}

async function gateIsShielded(
  t: Test,
  { server, proxyFor, proxy, enters }: Site,
  { gateDown, elsewhere }: ProxyUnderTest,
): Promise<void> {
  const other = await mint(server.url)
  const headless = await proxyFor(await freePort())
  t.equal(
    (await requestUpgrade(headless, path(other))).status,
    gateDown,
    'a gate that is down lets nobody in',
  )
  for (const asked of ['/verify', '/ticketgate-verify']) {
    const { status, headers } = await requestUpgrade(proxy, `${asked}?ticket=${other}`)
    t.equal(status, elsewhere, `${asked} cannot be reached from outside`)
    t.notOk('x-ticket-subject' in headers, `${asked} reveals nothing`)
  }
  await enters(t, path(other), {}, 'the first to reach the server after these')
}

async function oneOfManyEnters(t: Test, { server, upstream, proxy, enters }: Site): Promise<void> {
  const ticket = await mint(server.url)
  const replies = await Promise.all(Array.from({ length: 10 }, () => requestUpgrade(proxy, path(ticket))))
  t.strictSame(replies.map(({ status }) => status).sort(), [101, ...Array(9).fill(401)])
  t.equal((await upstream.next()).path, path(ticket))
  await enters(t, path(await mint(server.url)), {}, 'the next to reach the server')
}

for (const [name, proxyUnderTest] of Object.entries(proxies))
  t.test(`${name} in front of a server that knows nothing about tickets`, proxyUnderTest.needed, async t => {
    const site = await startSite(t, proxyUnderTest.start)
    await t.test('valid tickets get in, with the headers of the gate and no forged ones', t =>
      validTicketsEnter(t, site),
    )
    await t.test('a ticket can be a subprotocol; the upstream server chooses another one', t =>
      subprotocolTicketEnters(t, site, proxyUnderTest),
    )
    await t.test('the URI that counts is the requested one, whatever the client says', t =>
      requestedUriCounts(t, site, proxyUnderTest),
    )
    await t.test('no client without a valid ticket reaches the server', t =>
      othersAreRefused(t, site, proxyUnderTest),
    )
    await t.test('a gate that is down lets nobody in, and /verify cannot be reached from outside', t =>
      gateIsShielded(t, site, proxyUnderTest),
    )
    await t.test('of many attempts at once, one succeeds', t => oneOfManyEnters(t, site))
  })
