import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { bearer, knock, type Reply, request, upgradeHeaders } from '../support/http.js'
import { startNode } from '../support/nodes.js'
import { isProblem } from '../support/problem.js'
import { startNginx } from '../support/proxy.js'
import { startProgram, startRedis } from '../support/redis.js'
import { adminKey, allowedOrigin, startServer, type TestServer } from '../support/server.js'
import { attempt, Client, open, socketUrl } from '../support/tclient.js'
import { mint, mintWith, nowSeconds, signText, tokenFor } from '../support/tokens.js'

const env = { TICKETGATE_VERIFY: 'on', TICKETGATE_TICKET_TTL_SECONDS: '60' }

type Headers = Readonly<Record<string, string | readonly string[]>>

const ask = (server: TestServer, path: string, headers: Headers = {}): Promise<Reply> =>
  request(server.url, `/verify${path}`, { headers })

const holder = ({ headers }: Reply) => ({
  subject: headers['x-ticket-subject'],
  channel: headers['x-ticket-channel'],
  expires: Number(headers['x-ticket-expires']) > nowSeconds(),
})

t.test('it is not there unless it is asked for', async t => {
  const server = await startServer(t)
  const ticket = await mint(server.url)
  isProblem(t, await ask(server, `?ticket=${ticket}`), '404 not_found')
  t.equal((await knock(server.url, `/channel/?ticket=${ticket}`)).status, 101, 'nothing was spent')
})

t.test('a good ticket, wherever it is, once', async t => {
  const server = await startServer(t, { env })
  const forms: Record<string, (ticket: string) => Promise<Reply>> = {
    'in its own query': ticket => ask(server, `?ticket=${ticket}`),
    'in the URI of nginx': ticket => ask(server, '', { 'x-original-uri': `/socket?a=b&ticket=${ticket}` }),
    'in the URI of Traefik and Caddy': ticket =>
      ask(server, '', { 'x-forwarded-uri': `/socket?ticket=${ticket}` }),
    'among the subprotocols': ticket =>
      ask(server, '', { 'sec-websocket-protocol': `chat, ticket.${ticket}` }),
    'in two subprotocol fields': ticket =>
      ask(server, '', { 'sec-websocket-protocol': ['chat', `ticket.${ticket}`] }),
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
    t.strictSame(holder(reply), { subject: 'maggie', channel: '', expires: true }, name)
    t.equal(reply.headers['cache-control'], 'no-store')
    isProblem(t, await present(ticket), '401 ticket_used', name)
    isProblem(
      t,
      await knock(server.url, `/channel/?ticket=${ticket}`),
      '401 ticket_used',
      `${name}: at the gate`,
    )
  }
  const metrics = await request(server.admin, '/metrics', { headers: bearer(adminKey) })
  t.match(metrics.text, /^ticketgate_tickets_verified_total 7$/m)
})

t.test(
  'a channel: a bound ticket passes with the same one only, one that is not with any it has rights on',
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
    ['two in the URI', '', { 'x-original-uri': `/?ticket=${one}&ticket=${two}` }, '400 ticket_ambiguous'],
    [
      'query and subprotocol',
      '',
      { 'x-original-uri': `/?ticket=${one}`, 'sec-websocket-protocol': `ticket.${two}` },
      '400 ticket_ambiguous',
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

t.test('names that are no header text come percent-encoded, and can not add a header', async t => {
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

t.test('a ticket bound to an address is good from there, as a trusted proxy tells it', async t => {
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

t.test('with a store that is elsewhere', async t => {
  const redis = await startRedis(t)
  const nodes = [await startNode(t, redis.port, env), await startNode(t, redis.port, env)] as const
  const ticket = await mint(nodes[0].url)
  const replies = await Promise.all(
    Array.from({ length: 20 }, (_, n) => ask(nodes[n % 2 === 0 ? 0 : 1], `?ticket=${ticket}`)),
  )
  t.strictSame(replies.map(({ status }) => status).sort(), [204, ...Array(19).fill(401)])
  const kept = await mint(nodes[0].url)
  redis.signal('SIGSTOP')
  isProblem(t, await ask(nodes[0], `?ticket=${kept}`), '503 replay_cache_unavailable')
})

/** A WebSocket server that we did not write. */
const startUpstream = async (t: Test): Promise<{ port: number; requests(): number }> => {
  const child = await startProgram(t, '/usr/bin/python3', [
    new URL('./websocket_server.py', import.meta.url).pathname,
  ])
  if (child.stdout === null) throw new Error('no output')
  const lines = createInterface({ input: child.stdout })
  const [first] = await once(lines, 'line')
  let requests = 0
  lines.on('line', () => requests++)
  return { port: JSON.parse(first).port, requests: () => requests }
}

t.test('nginx in front of a server that knows nothing of tickets', async t => {
  const server = await startServer(t, { env: { ...env, TICKETGATE_TRUSTED_PROXIES: '127.0.0.1' } })
  const upstream = await startUpstream(t)
  const proxy = await startNginx(t, 'nginx-verify.conf', {
    '127.0.0.1:8080': `127.0.0.1:${server.port}`,
    '127.0.0.1:9000': `127.0.0.1:${upstream.port}`,
  })
  const url = (ticket?: string): string =>
    socketUrl(proxy, `/sockets/1${ticket === undefined ? '' : `?ticket=${ticket}`}`)
  const forged = {
    'X-Ticket-Subject': 'root',
    'x-ticket-channel': 'all',
    'X-TICKET-EXPIRES': '9999999999',
    X_Ticket_Subject: 'root',
  }
  const greeting = async (client: Client) => {
    const { headers, protocol } = (await client.next()) as {
      headers: Record<string, string>
      protocol: unknown
    }
    await client.close()
    const { 'x-ticket-subject': subject, 'x-ticket-expires': expires } = headers
    const others = Object.keys(headers)
      .filter(name => /x[-_]ticket/.test(name))
      .sort()
    return { subject, expires: Number(expires) < 9_999_999_999, others, protocol }
  }
  const told = ['x-ticket-expires', 'x-ticket-subject']

  await t.test('good tickets get in, with our headers and no forged ones', async t => {
    const plain = await open(url(await mint(server.url)))
    t.strictSame(await greeting(plain), { subject: 'maggie', expires: true, others: told, protocol: null })
    const liar = await open(url(await mint(server.url)), { headers: forged })
    t.strictSame(await greeting(liar), { subject: 'maggie', expires: true, others: told, protocol: null })
    const carried = await open(url(), {
      protocols: ['chat', `ticket.${await mint(server.url)}`],
      headers: forged,
    })
    t.strictSame(await greeting(carried), {
      subject: 'maggie',
      expires: true,
      others: told,
      protocol: 'chat',
    })
  })

  await t.test('nobody else reaches it', async t => {
    const spent = await mint(server.url)
    await (await open(url(spent))).close()
    const ends = nowSeconds() + 3
    const short = (await mintWith(server.url, tokenFor('maggie', { exp: ends }))).ticket
    while (nowSeconds() <= ends) await delay(50)
    const before = upstream.requests()
    const other = await mint(server.url)
    const cases: [name: string, url: string, options: Parameters<typeof attempt>[1], status: number][] = [
      ['replayed', url(spent), {}, 401],
      ['replayed among the subprotocols', url(), { protocols: ['chat', `ticket.${spent}`] }, 401],
      ['none', url(), {}, 401],
      ['expired', url(short), {}, 401],
      ['garbage', url('AAAA'), {}, 401],
      ['a token', url(tokenFor('maggie')), {}, 401],
      ['a foreign page', url(other), { origin: 'https://evil.test' }, 403],
      ["a URI of the client's own", url(), { headers: { 'X-Original-URI': `/?ticket=${other}` } }, 401],
      ['two', `${url(other)}&ticket=${other}`, {}, 500],
      ['for one channel', url(await mint(server.url, 'maggie', 'red')), {}, 403],
    ]
    for (const [name, target, options, status] of cases) {
      const outcome = await attempt(target, options)
      t.equal(outcome instanceof Client ? 101 : outcome.status, status, name)
    }
    t.equal(
      (await knock(proxy, '/ticketgate-verify')).status,
      404,
      'the question can not be asked from outside',
    )
    t.equal(upstream.requests(), before, 'not one handshake')
    await (await open(url(other), { origin: allowedOrigin })).close()
    t.equal(upstream.requests(), before + 1)
  })
})
