import t from 'tap'
import { adminKey } from '../support/fixtures.js'
import { openGate } from '../support/gate.js'
import {
  bearer,
  jsonOf,
  metric,
  outcomeOf,
  postJson,
  type Reply,
  request,
  requestUpgrade,
} from '../support/http.js'
import { openFresh, requestUpgradeUntilAnswered, startNode, untilReady } from '../support/nodes.js'
import { isProblem } from '../support/problem.js'
import { needs } from '../support/programs.js'
import { startRedis } from '../support/redis.js'
import { development, startServer, type TestServer } from '../support/server.js'
import { openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, type Minted, nowSeconds } from '../support/tokens.js'

const order = (server: Pick<TestServer, 'admin'>, body: unknown): Promise<Reply> =>
  postJson(server.admin, '/tickets', body, { headers: bearer(adminKey) })

const take = async (server: Pick<TestServer, 'admin'>, body: unknown): Promise<Minted> => {
  const reply = await order(server, body)
  if (reply.status !== 200) throw new Error(`no ticket: ${reply.status} ${reply.text}`)
  return jsonOf(reply) as unknown as Minted
}

const maggie = { user: 'maggie', sessionSeconds: 600 }

const notJson = 'The body must be a JSON object, or a list of them, without duplicate members.'

const server = await startServer(t, {
  env: { TICKETGATE_PUBLIC_URL: 'https://gate.example.com', TICKETGATE_TICKET_TTL_SECONDS: '60' },
})

t.test('a back end gets a ticket with one call, and the ticket opens one socket', async t => {
  const issuedBefore = await metric(server, 'ticketgate_tickets_issued_total')
  const now = nowSeconds()
  const { ticket, expires, url } = await take(server, {
    user: 'maggie',
    expires: now + 300,
    channel: 'lobby',
    session: 's-1',
  })
  t.ok(expires >= now + 60 && expires <= nowSeconds() + 61, 'it has the lifetime of all tickets')
  t.equal(url, `wss://gate.example.com/channel/lobby?ticket=${ticket}`)
  const { client, welcome } = await openSession(socketUrl(server.url, gatePath(ticket, 'lobby')))
  t.match(welcome, { user: 'maggie', channel: 'lobby', session: 's-1', expires: now + 300 })
  client.socket.terminate()
  t.equal(outcomeOf(await requestUpgrade(server.url, gatePath(ticket, 'lobby'))), '401 ticket_used')
  t.equal(await metric(server, 'ticketgate_tickets_issued_total'), issuedBefore + 1, 'the ticket is counted')
})

t.test('the ticket has the requested restrictions', async t => {
  const from = (headers: Record<string, string>, ticket: string, channel = '') =>
    requestUpgrade(server.url, gatePath(ticket, channel), { headers })
  const cases: readonly [string, object, string, string, Record<string, string>][] = [
    ['another channel', { channel: 'red' }, 'blue', '403 channel_forbidden', {}],
    ['its channel', { channel: 'red' }, 'red', '101', {}],
    ['a list without it', { publish: ['red.*'], subscribe: [] }, 'blue', '403 channel_forbidden', {}],
    ['a list with it', { publish: ['red.*'], subscribe: [] }, 'red.1', '101', {}],
    ['another origin', { origin: 'https://example.com' }, '', '403 origin_forbidden', {}],
    ['its origin', { origin: 'https://example.com' }, '', '101', { origin: 'https://example.com' }],
    ['another address', { address: '203.0.113.9' }, '', '403 address_mismatch', {}],
    ['another network', { address: '203.0.113.0/24' }, '', '403 address_mismatch', {}],
    ['its address', { address: '127.0.0.1' }, '', '101', {}],
    ['its network', { address: '127.0.0.0/8' }, '', '101', {}],
  ]
  for (const [name, members, channel, expected, headers] of cases) {
    const { ticket } = await take(server, { ...maggie, ...members })
    t.equal(outcomeOf(await from(headers, ticket, channel)), expected, name)
  }
})

t.test('a ticket can have a shorter lifetime', async t => {
  const { expires } = await take(server, { ...maggie, ttlSeconds: 1 })
  t.ok(expires <= nowSeconds() + 2)
  const { expires: end } = await take(server, { user: 'maggie', sessionSeconds: 2 })
  t.ok(end <= nowSeconds() + 3, 'it does not outlive the session')
})

t.test('a list of tickets is issued in order', async t => {
  const users = Array.from({ length: 100 }, (_, n) => `user-${n}`)
  const reply = await order(
    server,
    users.map(user => ({ user, sessionSeconds: 60 })),
  )
  const tickets = JSON.parse(reply.text) as Minted[]
  t.equal(new Set(tickets.map(({ ticket }) => ticket)).size, 100)
  for (const at of [0, 99]) {
    const { client, welcome } = await openSession(socketUrl(server.url, gatePath(tickets[at]?.ticket ?? '')))
    t.equal(welcome.user, users[at])
    client.socket.terminate()
  }
})

t.test('refused orders name the member', async t => {
  const past = nowSeconds() - 1
  const cases: readonly [string, unknown, string][] = [
    ['no user', { sessionSeconds: 1 }, 'user must be'],
    ['a user that is not text', { ...maggie, user: 7 }, 'user must be'],
    ['a user with a control character', { ...maggie, user: 'a\nb' }, 'user must be'],
    ['no end', { user: 'maggie' }, 'exactly one of expires and sessionSeconds is required'],
    ['two ends', { ...maggie, expires: past + 600 }, 'exactly one of expires and sessionSeconds is required'],
    ['an end in the past', { user: 'maggie', expires: past }, 'expires must be'],
    ['an end in milliseconds', { user: 'maggie', expires: Date.now() }, 'expires must be'],
    ['an end as text', { user: 'maggie', expires: String(past + 600) }, 'expires must be'],
    ['a session of 0 seconds', { user: 'maggie', sessionSeconds: 0 }, 'sessionSeconds must be'],
    [
      'a session with a fraction of a second',
      { user: 'maggie', sessionSeconds: 1.5 },
      'sessionSeconds must be',
    ],
    ['an invalid channel', { ...maggie, channel: 'a/b' }, 'channel must be'],
    ['a channel that is null', { ...maggie, channel: null }, 'channel must be'],
    ['a name in place of a list', { ...maggie, publish: 'red' }, 'publish must be'],
    ['an invalid pattern', { ...maggie, subscribe: ['*.red'] }, 'subscribe must be'],
    ['a session with a space', { ...maggie, session: 'a b' }, 'session must be'],
    ['an origin with a path', { ...maggie, origin: 'https://example.com/' }, 'origin must be'],
    ['a host name as an address', { ...maggie, address: 'localhost' }, 'address must be'],
    ['a network that is too large', { ...maggie, address: '2001:db8::/32' }, 'address must be'],
    [
      'a ticket lifetime above the maximum',
      { ...maggie, ttlSeconds: 61 },
      'ttlSeconds must be a whole number from 1 to 60',
    ],
    ['a ticket lifetime of 0', { ...maggie, ttlSeconds: 0 }, 'ttlSeconds must be'],
    ['a misspelt member', { ...maggie, chanel: 'red' }, 'chanel does not exist: there are user, '],
    ['a member that only the gate sets', { ...maggie, issued: past }, 'issued does not exist'],
    [
      'claims that do not fit',
      { ...maggie, publish: ['x'.repeat(128)].concat(Array(4).fill('y'.repeat(128))) },
      'the claims must take at most 512 bytes',
    ],
    ['claims that are objects', { ...maggie, claims: { org: { id: 1 } } }, 'claims must be'],
    ['claims that are not an object', { ...maggie, claims: ['a'] }, 'claims must be'],
    ['claims that are too large', { ...maggie, claims: { a: 'x'.repeat(260) } }, 'claims must be'],
    ['an empty list', [], 'A list has 1 to 100'],
    ['a list that is too long', Array(101).fill(maggie), 'A list has 1 to 100'],
    ['a text', '"maggie"', notJson],
    ['a list with another type', [maggie, 7], notJson],
    ['not JSON', '{', notJson],
    ['a member twice', '{"user":"maggie","user":"theo","sessionSeconds":60}', notJson],
    ['a member twice in a list', '[{"user":"maggie","sessionSeconds":60,"sessionSeconds":61}]', notJson],
    ['an invalid channel in a list', [maggie, { ...maggie, channel: 'a b' }], '[1].channel must be'],
    ['a misspelt member in a list', [{ ...maggie, chanel: 'a' }], '[0].chanel does not exist'],
  ]
  for (const [name, body, detail] of cases) {
    const reply = await order(server, body)
    isProblem(t, reply, '400 bad_request', name)
    t.equal(String(jsonOf(reply).detail).slice(0, detail.length), detail, `${name}: the detail`)
  }
})

t.test('orders with other faults are refused', async t => {
  const secret = 'p4ssw0rd! canary'
  t.notMatch(
    (await order(server, { ...maggie, [secret]: 1 })).text,
    secret,
    'a name that may be a secret is not quoted',
  )
  const asParameter = await postJson(server.admin, '/tickets?user=maggie', maggie, {
    headers: bearer(adminKey),
  })
  isProblem(t, asParameter, '400 bad_request')
  t.match(jsonOf(asParameter).detail, 'Unknown parameter "user": this route takes none.')
  isProblem(t, await postJson(server.admin, '/tickets', maggie), '401 admin_key_invalid')
  const form = await postJson(server.admin, '/tickets', 'user=maggie', {
    headers: { ...bearer(adminKey), 'content-type': 'application/x-www-form-urlencoded' },
  })
  isProblem(t, form, '415 unsupported_media_type')
  isProblem(t, await postJson(server.url, '/tickets', maggie), '404 not_found', 'not on the public port')
})

t.test('a revocation covers earlier tickets only', async t => {
  const { ticket } = await take(server, { ...maggie, user: 'bart' })
  await postJson(server.admin, '/disconnect', { user: 'bart' }, { headers: bearer(adminKey) })
  const after = await take(server, { ...maggie, user: 'bart' })
  t.equal(outcomeOf(await requestUpgrade(server.url, gatePath(ticket))), '401 token_revoked')
  t.equal(outcomeOf(await requestUpgrade(server.url, gatePath(after.ticket))), '101')

  const lobby = { ...maggie, user: 'marge', channel: 'lobby' }
  const { ticket: taken } = await take(server, lobby)
  await postJson(
    server.admin,
    '/disconnect',
    { user: 'marge', channel: 'lobby' },
    { headers: bearer(adminKey) },
  )
  const { ticket: given } = await take(server, lobby)
  t.equal(outcomeOf(await requestUpgrade(server.url, gatePath(taken, 'lobby'))), '403 channel_forbidden')
  t.equal(
    outcomeOf(await requestUpgrade(server.url, gatePath(given, 'lobby'))),
    '101',
    'a later ticket is valid',
  )

  // With other nodes, the revocation covers the next second too, because their clocks differ.
  const named = await startServer(t, { env: { TICKETGATE_NODE: 'gate-1' } })
  for (let n = 0; n < 3; n++) {
    await postJson(named.admin, '/disconnect', { user: 'bart' }, { headers: bearer(adminKey) })
    const { ticket: next } = await take(named, { ...maggie, user: 'bart' })
    t.equal(
      outcomeOf(await requestUpgrade(named.url, gatePath(next))),
      '101',
      'a later ticket of a named gate is valid',
    )
  }

  const { ticket: first } = await take(server, { ...maggie, session: 's-2' })
  const { client } = await openSession(
    socketUrl(server.url, gatePath((await take(server, { ...maggie, session: 's-2' })).ticket)),
  )
  await postJson(server.admin, '/disconnect', { session: 's-2' }, { headers: bearer(adminKey) })
  t.match(await client.closed, { code: 4403 }, 'an open socket of the session is closed')
  t.equal(outcomeOf(await requestUpgrade(server.url, gatePath(first))), '401 token_revoked')
})

t.test('with several threads, a ticket is valid on any of them, once', async t => {
  const threads = await startServer(t, {
    env: { ...development, TICKETGATE_THREADS: '2', TICKETGATE_ADMIN_KEY: adminKey },
  })
  const tickets = JSON.parse((await order(threads, Array(20).fill(maggie))).text) as Minted[]
  for (const { ticket, url } of tickets) {
    t.equal(
      url,
      `${socketUrl(threads.url, '/channel/')}?ticket=${ticket}`,
      'in development the reply has the URL',
    )
    t.equal(outcomeOf(await requestUpgrade(threads.url, gatePath(ticket))), '101')
    t.equal(outcomeOf(await requestUpgrade(threads.url, gatePath(ticket))), '401 ticket_used')
  }
})

t.test('a ticket is valid only at the gate that it names', async t => {
  const named = await startServer(t, { env: { TICKETGATE_NODE: 'gate-7' } })
  const { ticket, url } = await take(named, maggie)
  t.match(ticket, /^gate-7\./)
  t.equal(url, undefined, 'in production without a public URL the reply has none')
  t.equal(outcomeOf(await requestUpgrade(named.url, gatePath(ticket))), '101')
  t.equal(
    outcomeOf(await requestUpgrade(server.url, gatePath((await take(named, maggie)).ticket))),
    '421 wrong_node',
  )
})

t.test('a draining gate issues no tickets', async t => {
  const gate = await startServer(t, { env: { TICKETGATE_DRAIN_SECONDS: '60' } })
  const { client } = await openSession(socketUrl(gate.url, gatePath((await take(gate, maggie)).ticket)))
  gate.signal('SIGTERM')
  client.socket.pause()
  while ((await request(gate.url, '/readyz')).status !== 503);
  const reply = await order(gate, maggie)
  isProblem(t, reply, '503 draining')
  t.match(reply.headers['retry-after'], /^\d+$/)
  client.socket.terminate()
  await gate.exited
})

t.test('a ticket is valid at all gates that share a store, once', needs('redis-server'), async t => {
  const redis = await startRedis(t)
  const [one, other] = [await startNode(t, redis.port), await startNode(t, redis.port)]
  const { ticket, client } = await openFresh(other.url, async () => {
    await untilReady(one)
    return (await take(one, maggie)).ticket
  })
  await client.close()
  t.equal(outcomeOf(await requestUpgradeUntilAnswered(one.url, gatePath(ticket))), '401 ticket_used')
  await redis.kill()
  while ((await request(one.url, '/readyz')).status !== 503);
  isProblem(
    t,
    await order(one, maggie),
    '503 replay_cache_unavailable',
    'without the store, no tickets are issued',
  )
})

t.test('claims are passed on by /verify', async t => {
  const server = await startServer(t, { env: { TICKETGATE_VERIFY: 'on' } })
  const claims = { email: 'maggie@example.com', roles: ['a', 'b'], age: 1 }
  const { ticket } = await take(server, { ...maggie, claims })
  const { headers } = await request(server.url, `/verify?ticket=${ticket}`)
  t.match(headers, {
    'x-ticket-claim-email': 'maggie@example.com',
    'x-ticket-claim-roles': 'a,b',
    'x-ticket-claim-age': '1',
  })
})

t.test('embedding applications issue tickets with a method', async t => {
  const gate = await openGate(t, { publicUrl: 'http://localhost:9' })
  const { url } = await gate.listen()
  const { ticket, url: own } = await gate.issueTicket({ user: 'lisa', sessionSeconds: 60, channel: 'lobby' })
  t.equal(own, `ws://localhost:9/channel/lobby?ticket=${ticket}`)
  const { client, welcome } = await openSession(socketUrl(url, gatePath(ticket, 'lobby')))
  t.equal(welcome.user, 'lisa')
  client.socket.terminate()
  const wrong = { user: 'lisa', sessionSeconds: 60, chanel: 'lobby' }
  await t.rejects(gate.issueTicket(wrong), { name: 'TypeError', message: /^chanel does not exist/ })
  await t.rejects(gate.issueTicket({ user: 'lisa' }), { name: 'TypeError' })
  await gate.close()
  await t.rejects(gate.issueTicket({ user: 'lisa', sessionSeconds: 60 }), { code: 'draining' })
})
