import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Validator } from '@seriousme/openapi-schema-validator'
import t from 'tap'
import { refusalCodes } from '../../src/errors.js'
import { routes } from '../../src/protocol.js'
import { adminKey, jwtSecret, temporaryDirectory } from '../support/fixtures.js'
import { bearer, jsonOf, upgradeHeaders } from '../support/http.js'
import { createMinter } from '../support/minter.js'
import { describedReplies, OpenApiCheck, openApi, openApiFile } from '../support/openapi.js'
import { development, startServer } from '../support/server.js'
import { openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, mint, mintWith, nowSeconds, signText, tokenFor } from '../support/tokens.js'

const json = { 'content-type': 'application/json' }
const admin = { ...bearer(adminKey), ...json }
const form = { 'content-type': 'application/x-www-form-urlencoded' }

/** Replies that only other tests provoke, with a failing store or a gate at its limits. */
const provokedElsewhere = new Set([
  'GET /auth 429 rate_limited',
  'GET /auth 503 login_busy',
  'POST /auth 503 login_busy',
  'POST /disconnect 503 revocations_full',
  'POST /tickets 503 login_busy',
  'GET /events 429 too_many_connections',
  'POST /backchannel-logout 429 rate_limited',
  'POST /backchannel-logout 503 keys_unavailable',
  'POST /backchannel-logout 503 revocations_full',
  'GET /readyz 503 keys_unavailable',
  ...['GET /ws_ticket', 'POST /ws_ticket', 'POST /ws_ticket/renew'].map(
    route => `${route} 503 keys_unavailable`,
  ),
  ...['GET /ws_ticket', 'POST /ws_ticket', 'POST /tickets', 'POST /ws_ticket/status', 'GET /readyz'].map(
    route => `${route} 503 replay_cache_unavailable`,
  ),
  ...['GET /channel/{channel}', 'GET /verify'].flatMap(route =>
    ['replay_cache_full', 'replay_cache_unavailable'].map(code => `${route} 503 ${code}`),
  ),
])

const check = new OpenApiCheck(t)
const minter = createMinter(7)
const server = await startServer(t, {
  users: { maggie: 'password' },
  env: {
    TICKETGATE_VERIFY: 'on',
    TICKETGATE_NODE: 'gate-1',
    TICKETGATE_TICKET_KEYS: minter.key,
    TICKETGATE_PUBLIC_URL: 'https://gate.example.com',
    TICKETGATE_MAX_CONNECTIONS_PER_USER: '1',
    TICKETGATE_TUNNELS: '/tunnel/*=ws://127.0.0.1:9',
    TICKETGATE_DRAIN_SECONDS: '20',
  },
})
const { url, admin: adminUrl } = server

t.test('the document is valid', async t => {
  const validator = new Validator()
  const { valid, errors } = await validator.validate(fileURLToPath(openApiFile))
  t.ok(valid, JSON.stringify(errors))
  t.match(openApi.openapi, /^3\.1\./)
})

t.test('the document has every route and every code', async t => {
  const paths = Object.values(routes).map(path => (path === routes.channel ? `${path}{channel}` : path))
  t.strictSame(Object.keys(openApi.paths).sort(), paths.sort())
  t.match(openApi.components.schemas.Problem, { properties: { code: { enum: refusalCodes } } })
})

t.test('replies to logins are as described', async t => {
  const basic = (pair: string) => ({ authorization: `Basic ${Buffer.from(pair).toString('base64')}` })
  await check.ask('get', '/auth', url, { headers: basic('maggie:password') })
  await check.ask('get', '/auth', url, { headers: basic('maggie:wrong') })
  await check.ask('get', '/auth', url, { headers: basic('maggie') })
  for (const [headers, body] of [
    [json, '{"user":"maggie","pwd":"password"}'],
    [json, '{"user":"maggie","pwd":"wrong"}'],
    [json, '{"user":"maggie"}'],
    [form, 'user=maggie'],
    [json, ' '.repeat(10_000)],
  ] as const)
    await check.ask('post', '/auth', url, { headers, body })
  const slow = await startServer(t, {
    env: {
      TICKETGATE_LOGIN_RATE: '1/60',
      TICKETGATE_TICKET_RATE: '1/60',
      TICKETGATE_TUNNELS: '/tunnel/*=ws://127.0.0.1:9',
    },
  })
  const body = '{"user":"maggie","pwd":"wrong"}'
  for (let n = 0; n < 2; n++) await check.ask('post', '/auth', slow.url, { headers: json, body })
  for (const method of ['post', 'get', 'post'] as const) {
    await check.ask(method, '/ws_ticket', slow.url, { headers: bearer(tokenFor('maggie')) })
    await check.ask('post', '/ws_ticket/status', slow.url, { headers: json, body: '{"ticket":"x"}' })
  }
  await check.ask('post', '/ws_ticket/renew', slow.url, { headers: bearer(tokenFor('maggie')) })
})

t.test('replies to renewals are as described', async () => {
  const renew = (headers: Readonly<Record<string, string>>, body?: string) =>
    check.ask('post', '/ws_ticket/renew', url, body === undefined ? { headers } : { headers, body })
  await renew(bearer(tokenFor('maggie', { sid: 's1' })))
  await renew({ ...bearer(tokenFor('maggie')), ...json }, '{"session":"s1"}')
  await renew(bearer(tokenFor('maggie')))
  await renew({})
  await renew(bearer(signText('{}', '{}', jwtSecret)))
  await renew(bearer(tokenFor('maggie', { iat: nowSeconds() - 700, exp: nowSeconds() - 600 })))
  await check.ask('post', '/disconnect', adminUrl, { headers: admin, body: '{"session":"s9"}' })
  await renew(bearer(tokenFor('maggie', { sid: 's9', iat: nowSeconds() - 10 })))
  await renew(bearer('x'.repeat(17_000)))
  await renew(form, 'token=x')
  await renew(json, ' '.repeat(40_000))
})

t.test('replies to ticket requests are as described', async () => {
  const token = tokenFor('maggie')
  await check.ask('post', '/disconnect', adminUrl, { headers: admin, body: '{"user":"revoked"}' })
  const revoked = tokenFor('revoked', { iat: nowSeconds() - 10 })
  for (const method of ['get', 'post'] as const) {
    const ask = (authorization: object, query = '') =>
      check.ask(method, '/ws_ticket', url, { headers: { ...authorization }, query })
    await ask(bearer(token), '?channel=lobby')
    await ask(bearer(token), '?chanel=lobby')
    await ask(bearer(token), '?channel=a%2Fb')
    await ask({})
    await ask(bearer(signText('{}', '{}', jwtSecret)))
    await ask(bearer(tokenFor('maggie', { iat: nowSeconds() - 700, exp: nowSeconds() - 600 })))
    await ask(bearer(revoked))
    await ask(bearer(tokenFor('maggie', { channels: { publish: [], subscribe: ['red'] } })), '?channel=blue')
    await ask(bearer('x'.repeat(17_000)))
  }
  for (const [headers, body] of [
    [json, JSON.stringify({ token, channel: 'lobby' })],
    [form, 'token=x'],
    [json, ' '.repeat(40_000)],
  ] as const)
    await check.ask('post', '/ws_ticket', url, { headers, body })
  for (const [headers, body] of [
    [json, JSON.stringify({ ticket: await mint(url) })],
    [json, '{}'],
    [form, 'ticket=x'],
    [json, ' '.repeat(10_000)],
  ] as const)
    await check.ask('post', '/ws_ticket/status', url, { headers, body })
})

/** Presents tickets in all ways that are refused, and in one that is accepted. */
const present = async (
  path: '/channel/{channel}' | '/verify',
  pathOf: (channel: string, query: string) => string,
  headers: () => Record<string, string>,
): Promise<void> => {
  const ask = (channel: string, query: string, further: object = {}) =>
    check.ask('get', path, url, {
      path: pathOf(channel, query),
      headers: { ...headers(), ...further },
    })
  const order = async (members: object) => {
    const body = JSON.stringify({ user: 'bart', sessionSeconds: 60, ...members })
    return jsonOf(await check.ask('post', '/tickets', adminUrl, { headers: admin, body })).ticket
  }
  const query = `ticket=${await mint(url, 'maggie', 'lobby')}`
  await ask('news', query)
  await ask('a%20b', query)
  await ask('lobby', `${query}&${query}`)
  await ask('lobby', '')
  await ask('lobby', 'ticket=gate-1.x')
  await ask('lobby', 'ticket=gate-2.AQAB')
  await ask('lobby', `ticket=${tokenFor('maggie')}`)
  await ask('lobby', query, { origin: 'https://evil.example' })
  const old = { issuedAtMs: Date.now() - 60_000 }
  await ask('lobby', `ticket=${minter.mint('gate-1', old)}`)
  await ask('lobby', `ticket=${minter.mint('gate-1', { ...old, ttlSeconds: 1 })}`)
  await ask('lobby', `ticket=${await order({ address: '203.0.113.9' })}`)
  const revoked = await order({})
  await check.ask('post', '/disconnect', adminUrl, { headers: admin, body: '{"user":"bart"}' })
  await ask('lobby', `ticket=${revoked}`)
  await ask('lobby', query)
  await ask('lobby', query)
}

t.test('replies to handshakes are as described', async () => {
  await present('/channel/{channel}', (channel, query) => `/channel/${channel}?${query}`, upgradeHeaders)
  const ask = (headers: Record<string, string>, query = '') =>
    check.ask('get', '/channel/{channel}', url, { path: `/channel/lobby?${query}`, headers })
  await ask({})
  await ask({ ...upgradeHeaders(), 'sec-websocket-key': 'short' })
  await ask({ ...upgradeHeaders(), 'sec-websocket-protocol': 'chat' }, `ticket=${await mint(url)}`)
  const { client } = await openSession(socketUrl(url, gatePath(await mint(url, 'lisa'))))
  await ask(upgradeHeaders(), `ticket=${await mint(url, 'lisa')}`)
  await client.close()
})

t.test('replies to /verify are as described', async () => {
  await present(
    '/verify',
    (channel, query) => `/verify?channel=${channel}&${query}`,
    () => ({}),
  )
  await check.ask('get', '/verify', url, { query: '?channel=a&channel=b' })
})

t.test('replies to logouts are as described', async t => {
  const issuer = 'https://id.example.com'
  const directory = temporaryDirectory(t)
  writeFileSync(join(directory, 'secret'), jwtSecret)
  const entry = {
    issuer,
    secretFile: join(directory, 'secret'),
    audiences: 'gate',
    backchannelLogout: true,
  }
  writeFileSync(join(directory, 'issuers.json'), JSON.stringify([entry]))
  const gate = await startServer(t, {
    env: { TICKETGATE_ISSUERS_FILE: join(directory, 'issuers.json'), TICKETGATE_JWT_SECRET: undefined },
  })
  const event = 'http://schemas.openid.net/event/backchannel-logout'
  const claims = { iss: issuer, aud: 'gate', jti: '1', events: { [event]: {} } }
  const body = `logout_token=${tokenFor('maggie', claims, { typ: 'logout+jwt' })}`
  for (const [base, headers, text] of [
    [gate.url, form, body],
    [gate.url, form, body],
    [gate.url, form, 'x=y'],
    [gate.url, json, '{}'],
    [gate.url, form, ' '.repeat(40_000)],
    [url, form, body],
  ] as const)
    await check.ask('post', '/backchannel-logout', base, { headers, body: text })
})

t.test('replies of the admin listener are as described', async () => {
  await check.ask('get', '/healthz', url)
  await check.ask('get', '/readyz', url)
  const { ticket } = await mintWith(url, tokenFor('homer', { sid: 's-1' }))
  const { client } = await openSession(socketUrl(url, gatePath(ticket, 'lobby')))
  const get = (path: string, query = '') => check.ask('get', path, adminUrl, { headers: admin, query })
  await get('/metrics')
  await get('/connections')
  await get('/connections', '?user=homer&session=s-1&channel=lobby&limit=1')
  await get('/connections', '?limit=0')
  await get('/channels')
  await get('/channels', '?prefix=a*')
  const listed = jsonOf(await get('/connections', '?limit=1')).connections as readonly { id: string }[]
  await check.ask('get', '/events', adminUrl, { headers: { ...admin, 'last-event-id': 'x' } })
  const posts: readonly (readonly [path: string, ...bodies: readonly string[]])[] = [
    ['/tickets', '[{"user":"a","sessionSeconds":1,"claims":{"b":["c"]}}]', '{"user":"a"}'],
    [
      '/publish',
      '[{"channel":"lobby","data":1}]',
      '{"channel":"lobby","data":1}',
      '{}',
      '{"channel":"a b","data":1}',
    ],
    [
      '/disconnect',
      '{"channel":"news"}',
      '{"user":"homer","channel":"news"}',
      '{"user":"homer","reauthenticateWithinSeconds":60,"reason":"rights"}',
      JSON.stringify({ socket: listed[0]?.id }),
      '{}',
    ],
  ]
  const post = (path: string, headers: Record<string, string>, body: string) =>
    check.ask('post', path, adminUrl, { headers, body })
  for (const [path, ...bodies] of posts) {
    for (const body of bodies) await post(path, admin, body)
    await post(path, { ...admin, ...form }, 'a=b')
    await post(path, admin, ' '.repeat(1_100_000))
    await post(path, json, '{}')
  }
  for (const path of ['/metrics', '/connections', '/channels', '/events'])
    await check.ask('get', path, adminUrl)
  t.equal((await client.closed).code, 4403)
})

t.test('replies of an admin listener without a key are as described', async t => {
  const open = await startServer(t, { env: development })
  const headers = { ...json, origin: 'https://evil.example' }
  for (const path of ['/metrics', '/connections', '/channels', '/events'])
    await check.ask('get', path, open.admin, { headers })
  for (const path of ['/tickets', '/publish', '/disconnect'])
    await check.ask('post', path, open.admin, { headers, body: '{}' })
})

t.test('replies while draining are as described', async () => {
  const { client } = await openSession(socketUrl(url, gatePath(await mint(url, 'marge'))))
  client.socket.pause()
  server.signal('SIGTERM')
  while ((await check.ask('get', '/readyz', url)).status !== 503);
  const headers = bearer(tokenFor('maggie'))
  await check.ask('get', '/ws_ticket', url, { headers })
  await check.ask('post', '/ws_ticket', url, { headers })
  await check.ask('get', '/channel/{channel}', url, { path: '/channel/', headers: upgradeHeaders() })
  await check.ask('get', '/verify', url)
  await check.ask('post', '/tickets', adminUrl, { headers: admin, body: '{"user":"a","sessionSeconds":1}' })
  client.socket.terminate()
  await server.exited
})

t.test('every described reply occurs', async t => {
  const missing = describedReplies.filter(name => !check.seen.has(name) && !provokedElsewhere.has(name))
  t.strictSame(missing, [], 'no described reply is missing')
})
