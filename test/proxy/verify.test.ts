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

/** In addition to our own logins, an issuer with our secret whose claims tickets carry. */
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

/** A ticket for which that issuer says this. */
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

t.test('it is absent unless enabled', async t => {
  const server = await startServer(t)
  const ticket = await mint(server.url)
  for (const path of ['', '/a']) isProblem(t, await ask(server, `${path}?ticket=${ticket}`), '404 not_found')
  t.equal((await requestUpgrade(server.url, `/channel/?ticket=${ticket}`)).status, 101, 'nothing was spent')
})

t.test('a valid ticket, in each place, once', async t => {
  const server = await startServer(t, { env })
  const forms: Record<string, (ticket: string) => Promise<Reply>> = {
    'in its own query': ticket => ask(server, `?ticket=${ticket}`),
    'behind the path, as Envoy asks': ticket => ask(server, `/socket?a=b&channel=x&ticket=${ticket}`),
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
  'a channel: a ticket bound to one passes with that one only, any other with all that it has rights on',
  async t => {
    const server = await startServer(t, { env })
    const red = await mint(server.url, 'maggie', 'red')
    isProblem(t, await ask(server, `?ticket=${red}`), '403 channel_forbidden', 'none')
    isProblem(t, await ask(server, `?channel=blue&ticket=${red}`), '403 channel_forbidden', 'another')
    isProblem(t, await ask(server, `?channel=Red&ticket=${red}`), '403 channel_forbidden', 'another case')
    isProblem(t, await ask(server, `?channel=re%64&ticket=${red}`), '400 channel_invalid', 'percent-encoding')
    isProblem(t, await ask(server, `?channel=red&channel=red&ticket=${red}`), '400 bad_request', 'two')
    isProblem(
      t,
      await ask(server, '', { 'x-original-uri': `/?channel=red&ticket=${red}` }),
      '403 channel_forbidden',
      'the client does not choose it',
    )
    isProblem(
      t,
      await ask(server, `/?channel=red&ticket=${red}`),
      '403 channel_forbidden',
      'nor where its query is appended',
    )
    const passed = await ask(server, '?channel=red', { 'x-original-uri': `/?ticket=${red}` })
    t.equal(passed.status, 204)
    t.match(holder(passed), { channel: 'red' })

    const rights = { channels: { publish: ['chat.*'], subscribe: [] } }
    const some = (await mintWith(server.url, tokenFor('theo', rights))).ticket
    isProblem(t, await ask(server, `?channel=red&ticket=${some}`), '403 channel_forbidden', 'no right there')
    t.match(holder(await ask(server, `?channel=chat.1&ticket=${some}`)), {
      subject: 'theo',
      channel: 'chat.1',
    })
  },
)

t.test('refusals, none of which spends', async t => {
  const server = await startServer(t, { env })
  const [one, two] = [await mint(server.url), await mint(server.url)]
  const cases: [name: string, path: string, headers: Headers, expected: string][] = [
    ['nothing', '', {}, '401 ticket_missing'],
    ['an empty one', '?ticket=', {}, '401 ticket_missing'],
    ['an empty one in the URI', '', { 'x-original-uri': '/?ticket=' }, '401 ticket_missing'],
    ['a path that looks like a query', '', { 'x-original-uri': `/ticket=${one}` }, '401 ticket_missing'],
    ['two in the query', `?ticket=${one}&ticket=${two}`, {}, '400 ticket_ambiguous'],
    ['the same one twice', `?ticket=${one}`, { 'x-original-uri': `/?ticket=${one}` }, '400 ticket_ambiguous'],
    ['two behind the path', `/a?ticket=${one}&ticket=${two}`, {}, '400 ticket_ambiguous'],
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
      'a JWT in the place of a ticket',
      '',
      { authorization: `Ticket ${tokenFor('lisa')}` },
      '401 token_in_url',
    ],
    [
      'a bearer token that is no ticket',
      '',
      { authorization: `Bearer ${tokenFor('lisa')}` },
      '401 ticket_missing',
    ],
    [
      'two subprotocol fields',
      '',
      { 'sec-websocket-protocol': [`ticket.${one}`, `ticket.${two}`] },
      '400 ticket_ambiguous',
    ],
    [
      'one in a URI that the client claims',
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
    ['a token', '', { 'x-original-uri': `/?ticket=${tokenFor('maggie')}` }, '401 token_in_url'],
    [
      'a token under its own name',
      '',
      { 'x-original-uri': `/?token=${tokenFor('maggie')}` },
      '401 token_in_url',
    ],
    ['one with its end cut off', `?ticket=${one.slice(0, -1)}`, {}, '401 ticket_invalid'],
    [
      'a letter in percent-encoding',
      `?ticket=%${one.charCodeAt(0).toString(16)}${one.slice(1)}`,
      {},
      '401 ticket_invalid',
    ],
    ['a foreign origin', `?ticket=${one}`, { origin: 'https://evil.test' }, '403 origin_forbidden'],
    ['the origin null', `?ticket=${one}`, { origin: 'null' }, '403 origin_forbidden'],
  ]
  for (const [name, path, headers, expected] of cases)
    isProblem(t, await ask(server, path, headers), expected, name)
  for (const method of ['POST', 'HEAD', 'PUT'])
    t.equal((await request(server.url, `/verify?ticket=${one}`, { method })).status, 405, method)
  for (const ticket of [one, two])
    t.equal((await ask(server, `?ticket=${ticket}`, { origin: allowedOrigin })).status, 204)
})

t.test('names that are not header text are percent-encoded, and cannot add a header', async t => {
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

t.test('carried claims become headers, and cannot add others', async t => {
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
  t.strictSame(claimsIn(await ask(server, `?ticket=${await mint(server.url)}`)), {}, 'a login of ours')
})

t.test('a ticket bound to an address is valid from there, as a trusted proxy reports it', async t => {
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

t.test('with a remote store', needs('redis-server'), async t => {
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
    // If a busy machine delays the store, no ticket may be accepted: then another one shows the
    // winner.
  } while (statuses.includes(503) && statuses.filter(status => status === 204).length <= 1)
  t.strictSame(statuses, [204, ...Array(19).fill(401)])
  const kept = await mint(nodes[0].url)
  redis.signal('SIGSTOP')
  isProblem(t, await ask(nodes[0], `?ticket=${kept}`), '503 replay_cache_unavailable')
})

const refusal = async (url: string, options: OpenOptions): Promise<Reply> => {
  const outcome = await attempt(url, options)
  if (outcome instanceof Client) throw new Error('it was let in')
  return outcome
}

/**
 * What a request claims about its ticket, for a server that reads names as loosely as any does: CGI
 * and its descendants read `X_Ticket_Subject` as `X-Ticket-Subject`. An empty header counts as
 * absent.
 */
const toldOf = ({ headers }: Arrival): string[] =>
  headers
    .filter(([name, value]) => /ticket/i.test(name) && value !== '')
    .map(([name, value]) => `${name.toLowerCase()}: ${value}`)
    .sort()

interface ProxyUnderTest {
  readonly needed: ReturnType<typeof needs>
  readonly start: (t: Test, replacements: Readonly<Record<string, string>>) => Promise<string>
  /** What the client gets for a refusal by the gate. */
  readonly isRefusal: (t: Test, reply: Reply, expected: string, name: string) => boolean
  /** The status if the gate does not reply. */
  readonly gateAway: number
  /** The status of paths that are not under `/sockets/`. */
  readonly elsewhere: number
}

const gateAddress = '127.0.0.1:8080'

const proxies: Readonly<Record<string, ProxyUnderTest>> = {
  nginx: {
    needed: needs('nginx', 'python3'),
    start: (t, replacements) => startNginx(t, 'nginx-verify.conf', replacements),
    // auth_request knows 401 and 403, and has its own responses for them.
    isRefusal: (t, { status }, expected, name) =>
      t.equal(status, /^40[13] /.test(expected) ? Number(expected.slice(0, 3)) : 500, name),
    gateAway: 500,
    elsewhere: 404,
  },
  Caddy: {
    needed: needs('caddy', 'python3'),
    start: (t, replacements) => startCaddy(t, 'caddy-verify.caddyfile', replacements),
    isRefusal: isProblem,
    gateAway: 502,
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
    gateAway: 503,
    elsewhere: 404,
  },
}

for (const [proxyName, { needed, start, isRefusal, gateAway, elsewhere }] of Object.entries(proxies))
  t.test(`${proxyName} in front of a server that knows nothing of tickets`, needed, async t => {
    const server = await startServer(t, {
      env: { ...env, ...carrying(t), TICKETGATE_TRUSTED_PROXIES: '127.0.0.1', TICKETGATE_BIND: 'address' },
    })
    const upstream = await startUpstream(t)
    const behind = (gatePort: number): Promise<string> =>
      start(t, { [gateAddress]: `127.0.0.1:${gatePort}`, '127.0.0.1:9000': `127.0.0.1:${upstream.port}` })
    const proxy = await behind(server.port)
    const path = (ticket?: string): string => `/sockets/1${ticket === undefined ? '' : `?ticket=${ticket}`}`
    const enters = async (t: Test, target: string, headers: Headers, name: string): Promise<Arrival> => {
      const { status, text } = await requestUpgrade(proxy, target, { headers })
      if (status !== 101) throw new Error(`${name}: ${status} ${text}`)
      const arrival = await upstream.next()
      t.equal(arrival.path, target, name)
      return arrival
    }

    const ends = nowSeconds() + 500
    const holds = (user: string): string[] => [
      `x-ticket-expires: ${ends}`,
      'x-ticket-session: s,1',
      `x-ticket-subject: ${user}`,
    ]
    const mintFor = async (user: string): Promise<string> =>
      (await mintWith(server.url, tokenFor(user, { exp: ends, sid: 's,1' }))).ticket

    await t.test('valid tickets get in, with our headers and no forged ones', async t => {
      const cases: [name: string, headers: Headers][] = [
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
          'names that some servers take for ours',
          {
            X_Ticket_Subject: 'root',
            'X-Ticket_Channel': 'all',
            X_Ticket_Session: 'root',
            'x_TICKET-Expires': '9',
            'X.Ticket.Subject': 'root',
          },
        ],
        [
          'names of claims, in any spelling, whether the recipe knows them or not',
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
          'our names among those to be removed on the way',
          { connection: 'Upgrade, X-Ticket-Subject, x-ticket-expires' },
        ],
        [
          'names that the gate reads among those',
          { connection: 'Upgrade, X-Forwarded-Uri, X-Original-Uri, X-Forwarded-For, Sec-WebSocket-Protocol' },
        ],
      ]
      for (const [name, headers] of cases)
        t.strictSame(
          toldOf(await enters(t, path(await mintFor('maggie')), headers, name)),
          holds('maggie'),
          name,
        )
      const carried = await mintOf(server, 'maggie', { exp: ends, sid: 's,1', email: 'a@b.test' })
      t.strictSame(
        toldOf(
          await enters(
            t,
            path(carried),
            { 'X-Ticket-Claim-Email': 'root', X_Ticket_Claim_Admin: '1' },
            'claims',
          ),
        ),
        ['x-ticket-claim-email: a@b.test', ...holds('maggie')],
      )
      const odd = 'Zoë {http.request.method} $host'
      const told = toldOf(await enters(t, path(await mintFor(odd)), {}, odd))
      t.strictSame(told.map(decodeURIComponent), holds(odd))
    })

    await t.test('a ticket among the subprotocols; the upstream server chooses another one', async t => {
      const protocols = ['chat', `ticket.${await mintFor('maggie')}`]
      const client = await open(socketUrl(proxy, path()), { protocols })
      t.equal(client.socket.protocol, 'chat')
      t.strictSame(
        await client.ask({ hello: 'there' }),
        { hello: 'there' },
        'messages pass in both directions',
      )
      await client.close()
      t.strictSame(toldOf(await upstream.next()), holds('maggie'))
      isRefusal(
        t,
        await refusal(socketUrl(proxy, path()), { protocols }),
        '401 ticket_used',
        'the second time',
      )
    })

    await t.test('the URI is the requested one, whatever the client says', async t => {
      for (const name of ['X-Original-URI', 'x-original-uri', 'X-Forwarded-Uri', 'X-FORWARDED-URI']) {
        const [own, other] = [await mintFor('maggie'), await mintFor('theo')]
        const claim = { [name]: [`/sockets/1?ticket=${other}`, `/?ticket=${other}`] }
        isRefusal(
          t,
          await requestUpgrade(proxy, path(), { headers: claim }),
          '401 ticket_missing',
          `${name} alone`,
        )
        t.strictSame(toldOf(await enters(t, path(own), claim, name)), holds('maggie'), name)
        isRefusal(
          t,
          await requestUpgrade(proxy, path(own), { headers: claim }),
          '401 ticket_used',
          `${name}, spent`,
        )
        t.strictSame(
          toldOf(await enters(t, path(other), {}, name)),
          holds('theo'),
          `${name}: it was not spent`,
        )
      }
    })

    await t.test('other clients cannot reach it', async t => {
      const spent = await mint(server.url)
      await enters(t, path(spent), {}, 'the first time')
      let soon: number
      let taken: Reply
      // Until one was taken in time.
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
        ['replayed', path(spent), {}, '401 ticket_used'],
        ['none', path(), {}, '401 ticket_missing'],
        ['expired', path(short), {}, '401 ticket_expired'],
        ['garbage', path('AAAA'), {}, '401 ticket_invalid'],
        ['a token', path(tokenFor('maggie')), {}, '401 token_in_url'],
        ['a foreign page', path(other), { headers: { origin: 'https://evil.test' } }, '403 origin_forbidden'],
        ['two', `${path(other)}&ticket=${other}`, {}, '400 ticket_ambiguous'],
        [
          'in the URI and among the subprotocols',
          path(other),
          { headers: { 'sec-websocket-protocol': `chat, ticket.${other}` } },
          '400 ticket_ambiguous',
        ],
        ['for one channel', path(red), {}, '403 channel_forbidden'],
        [
          "for one channel, which the client's own query names",
          `${path(red)}&channel=red`,
          {},
          '403 channel_forbidden',
        ],
        ['from another address', path(other), { from: '127.0.0.2' }, '403 address_mismatch'],
        ['of an address that the client claims', path(foreign), elsewhereAddress, '403 address_mismatch'],
        ['no handshake', path(spent), { headers: { connection: 'close', upgrade: '' } }, '401 ticket_used'],
      ]
      for (const [name, target, options, expected] of cases)
        isRefusal(t, await requestUpgrade(proxy, target, options), expected, name)
      const headless = await behind(await freePort())
      t.equal(
        (await requestUpgrade(headless, path(other))).status,
        gateAway,
        'a gate that is away lets nobody in',
      )
      for (const asked of ['/verify', '/ticketgate-verify']) {
        const { status, headers } = await requestUpgrade(proxy, `${asked}?ticket=${other}`)
        t.equal(status, elsewhere, `${asked} can not be asked from outside`)
        t.notOk('x-ticket-subject' in headers, `${asked} tells nothing`)
      }
      await enters(t, path(other), { origin: allowedOrigin }, 'the first to reach it after all these')
    })

    await t.test('of many at once, one is accepted', async t => {
      const ticket = await mint(server.url)
      const replies = await Promise.all(Array.from({ length: 10 }, () => requestUpgrade(proxy, path(ticket))))
      t.strictSame(replies.map(({ status }) => status).sort(), [101, ...Array(9).fill(401)])
      t.equal((await upstream.next()).path, path(ticket))
      await enters(t, path(await mint(server.url)), {}, 'the next to reach it')
    })
  })
