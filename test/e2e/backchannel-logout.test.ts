import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { bearer, type Json, metric, type Reply, request, requestUpgrade } from '../support/http.js'
import { keysFetched, openFresh, storeEnv, untilReady } from '../support/nodes.js'
import { clientId, type OpenIdProvider, resource, startOpenIdProvider } from '../support/openid-provider.js'
import { hasRetryAfter, isProblem } from '../support/problem.js'
import { needs } from '../support/programs.js'
import { jwks, newKey, signedBy, startProvider } from '../support/provider.js'
import { startRedis } from '../support/redis.js'
import { type Environment, startServer, type TestServer, temporaryDirectory } from '../support/server.js'
import type { Client } from '../support/socket-client.js'
import { base64url, gatePath, mintWith, nowSeconds } from '../support/tokens.js'

interface Setting {
  readonly provider: OpenIdProvider
  readonly server: TestServer
}

/** Starts a gate and its provider. */
async function start(t: Test, entry: object, env: Environment = {}): Promise<Setting> {
  let gate = ''
  const provider = await startOpenIdProvider(t, () => gate)
  const server = await startGate(t, provider, entry, env)
  gate = server.url
  return { provider, server }
}

const startGate = async (
  t: Test,
  { issuer }: OpenIdProvider,
  entry: object,
  env: Environment,
  file = join(temporaryDirectory(t), 'issuers.json'),
): Promise<TestServer> => {
  writeFileSync(file, JSON.stringify([{ issuer, discover: true, audiences: resource, ...entry }]))
  const server = await startServer(t, {
    env: {
      TICKETGATE_ISSUERS_FILE: file,
      TICKETGATE_JWT_SECRET: undefined,
      TICKETGATE_DEFAULT_SUBSCRIBE: '*',
      ...env,
    },
  })
  await keysFetched(server, Number(env.TICKETGATE_THREADS ?? 1))
  return server
}

const enabled = { backchannelLogout: true, logoutAudiences: clientId }

const ticketOf = async (at: TestServer, token: string): Promise<string> =>
  (await mintWith(at.url, token)).ticket

const enter = async (at: TestServer, token: string): Promise<Client> =>
  (await openFresh(at.url, () => ticketOf(at, token))).client

const send = (at: TestServer, body: string, type = 'application/x-www-form-urlencoded'): Promise<Reply> =>
  request(at.url, '/backchannel-logout', { method: 'POST', headers: { 'content-type': type }, body })

const isRevoked = async (t: Test, at: TestServer, token: string, ticket: string): Promise<void> => {
  isProblem(t, await request(at.url, '/ws_ticket', { headers: bearer(token) }), '401 token_revoked')
  isProblem(t, await requestUpgrade(at.url, gatePath(ticket)), '401 token_revoked')
}

for (const threads of ['1', '3'])
  t.test(`a logout at the provider ends the session at the gate, with ${threads} threads`, async t => {
    const { provider, server } = await start(t, enabled, { TICKETGATE_THREADS: threads })
    const maggie = await provider.logIn('maggie')
    const otherSession = await provider.logIn('maggie')
    const sockets: Client[] = []
    for (let n = 0; n < 5; n++) sockets.push(await enter(server, maggie.accessToken))
    const other = await enter(server, otherSession.accessToken)
    const ticket = await ticketOf(server, maggie.accessToken)

    await maggie.logOut()
    t.equal(provider.sent[0]?.status, 200)
    await isRevoked(t, server, maggie.accessToken, ticket)
    for (const { closed } of sockets) t.strictSame(await closed, { code: 4403, reason: 'revoked' })
    t.ok(await other.hearsNothing(), 'the session in the other browser continues')
    t.equal((await ticketOf(server, otherSession.accessToken)).length > 0, true)

    const token = provider.sent[0]?.token ?? ''
    const again = await send(server, `logout_token=${token}`)
    isProblem(t, again, '400 logout_token_invalid', 'a logout token is accepted once')
    t.equal(again.headers['cache-control'], 'no-store')
    isProblem(
      t,
      await send(server, `logout_token=${maggie.idToken}`),
      '400 logout_token_invalid',
      'an ID token is refused',
    )
    isProblem(t, await send(server, `logout_token=${maggie.accessToken}`), '400 logout_token_invalid')
    const asToken = await request(server.url, '/ws_ticket', { headers: bearer(token) })
    isProblem(t, asToken, '401 token_invalid', 'a logout token does not get a ticket')
    t.ok(await other.hearsNothing(), 'none of these ended the other session')
    t.equal(await metric(server, 'ticketgate_backchannel_logouts_total{outcome="done"}'), 1)
    t.equal(await metric(server, 'ticketgate_backchannel_logouts_total{outcome="replayed"}'), 1)
  })

t.test(
  'without sid in access tokens, a logout ends all sessions of the user, and a new login works',
  async t => {
    const { provider, server } = await start(t, { ...enabled, backchannelLogout: 'user', skewSeconds: 0 })
    const [maggie, otherSession, theo] = [
      await provider.logIn('maggie'),
      await provider.logIn('maggie'),
      await provider.logIn('theo'),
    ]
    const sockets = [await enter(server, maggie.accessToken), await enter(server, otherSession.accessToken)]
    const other = await enter(server, theo.accessToken)
    const ticket = await ticketOf(server, otherSession.accessToken)
    await maggie.logOut()
    for (const { closed } of sockets) t.strictSame(await closed, { code: 4403, reason: 'revoked' })
    await isRevoked(t, server, otherSession.accessToken, ticket)
    t.ok(await other.hearsNothing(), 'another user stays connected')
    let again: Client | undefined
    // A token issued in the second of the logout counts as earlier.
    while (again === undefined) {
      const { accessToken } = await provider.logIn('maggie')
      again = await enter(server, accessToken).catch(() => undefined)
    }
    isProblem(t, await send(server, `logout_token=${provider.sent[0]?.token}`), '400 logout_token_invalid')
    t.ok(await again.hearsNothing(), 'a replay does not end a later session')
  },
)

const redis = needs('redis-server')

t.test('a logout at one node ends sockets at another, where a replay ends nothing', redis, async t => {
  const { port } = await startRedis(t)
  let gate = ''
  const provider = await startOpenIdProvider(t, () => gate)
  const env = storeEnv(port, { TICKETGATE_CLOCK_SKEW_SECONDS: '0' })
  const entry = { ...enabled, backchannelLogout: 'user' }
  const [one, two] = [await startGate(t, provider, entry, env), await startGate(t, provider, entry, env)]
  gate = one.url
  for (const node of [one, two]) await untilReady(node)
  const maggie = await provider.logIn('maggie')
  const sockets = [await enter(one, maggie.accessToken), await enter(two, maggie.accessToken)]
  await maggie.logOut()
  for (const { closed } of sockets) t.strictSame(await closed, { code: 4403, reason: 'revoked' })
  let again: Client | undefined
  while (again === undefined) {
    const { accessToken } = await provider.logIn('maggie')
    again = await enter(two, accessToken).catch(() => undefined)
  }
  await send(two, `logout_token=${provider.sent[0]?.token}`)
  t.ok(await again.hearsNothing(), 'later sessions stay open')
})

const key = newKey('ES256', 'one')
const issuer = 'https://id.example'
const event = 'http://schemas.openid.net/event/backchannel-logout'

/** Starts a gate, and makes logout tokens with any claims, valid or not. */
async function startSigned(t: Test, entry: object = enabled) {
  const keys = await startProvider(t, jwks(key))
  const file = join(temporaryDirectory(t), 'issuers.json')
  const fields = { jwksUrl: keys.url, discover: undefined, ...entry }
  const server = await startGate(t, { issuer } as OpenIdProvider, fields, {}, file)
  let jti = 0
  const logout = (changes: Json = {}, header: Json = {}, by = key): string =>
    signedBy(
      by,
      {
        iss: issuer,
        aud: clientId,
        sub: 'maggie',
        sid: 's1',
        jti: `jti-${jti++}`,
        events: { [event]: {} },
        exp: nowSeconds() + 60,
        ...changes,
      },
      { typ: 'logout+jwt', ...header },
    )
  const access = signedBy(key, { iss: issuer, aud: resource, sid: 's1' })
  return { server, file, keys, logout, access }
}

t.test('forged and invalid logout tokens end nothing', async t => {
  const { server, logout, access } = await startSigned(t)
  const client = await enter(server, access)
  const good = JSON.stringify({
    iss: issuer,
    aud: clientId,
    sub: 'maggie',
    jti: 'x',
    events: { [event]: {} },
  })
  const cases: [name: string, token: string][] = [
    ['not a token', 'hello'],
    ['alg none', `${base64url('{"alg":"none","typ":"logout+jwt"}')}.${base64url(good)}.eA`],
    ['alg none, without a signature', `${base64url('{"alg":"none"}')}.${base64url(good)}.`],
    ['signed by another key with the same id', logout({}, {}, newKey('ES256', 'one'))],
    ['for another audience', logout({ aud: 'shop' })],
    ['for the audience of access tokens', logout({ aud: resource })],
    ['with a nonce', logout({ nonce: 'n' })],
    ['for another event', logout({ events: { 'http://schemas.openid.net/event/other': {} } })],
    ['without events', logout({ events: undefined })],
    ['an ID token', logout({ events: undefined, nonce: 'n', jti: undefined }, { typ: 'JWT' })],
    ['an access token', access],
    ['from another issuer', logout({ iss: 'https://evil.example' })],
    ['expired', logout({ iat: nowSeconds() - 100, exp: nowSeconds() - 10 })],
    ['for nobody', logout({ sub: undefined, sid: undefined })],
    ['without jti', logout({ jti: undefined })],
  ]
  for (const [name, token] of cases) {
    const reply = await send(server, new URLSearchParams({ logout_token: token }).toString())
    isProblem(t, reply, '400 logout_token_invalid', name)
    t.equal(reply.headers['cache-control'], 'no-store', name)
  }
  t.ok(await client.hearsNothing(), 'the socket stays open')
  await server.logged(/"reason":"audience".*"msg":"logout token refused"/)
  const accepted = await send(server, `state=other&logout_token=${logout()}&more=1`)
  t.strictSame([accepted.status, accepted.text], [200, '{}'], 'other fields are ignored')
  t.strictSame(await client.closed, { code: 4403, reason: 'revoked' })
  await server.stop()
  const refusals = server
    .output()
    .match(/^.*logout token refused.*$/gm)
    ?.join('\n')
  t.notMatch(refusals, /maggie|jti-/, 'the log names no user or token')
  for (const [name, token] of cases)
    t.notOk(server.output().includes(token), `${name}: the token is not in the log`)
})

t.test('invalid logout requests are refused', async t => {
  const { server, logout } = await startSigned(t)
  isProblem(t, await send(server, ''), '400 bad_request')
  isProblem(t, await send(server, `logout_token=${logout()}&logout_token=${logout()}`), '400 bad_request')
  const json = JSON.stringify({ logout_token: logout() })
  isProblem(t, await send(server, json, 'application/json'), '415 unsupported_media_type')
  isProblem(t, await send(server, `logout_token=${'a'.repeat(30_000)}`), '413 body_too_large')
  isProblem(t, await request(server.url, '/backchannel-logout'), '405 method_not_allowed')
})

t.test('of concurrent copies of one token, one takes effect', async t => {
  const { server, logout } = await startSigned(t)
  const token = logout()
  const replies = await Promise.all(Array.from({ length: 10 }, () => send(server, `logout_token=${token}`)))
  t.strictSame(replies.map(({ status }) => status).sort(), [200, ...Array(9).fill(400)])
})

t.test('a sender of too many invalid signatures is refused before another is verified', async t => {
  for (const [outcome, header, by] of [
    ['signature', {}, newKey('ES256', 'one')],
    ['replayed', {}, key],
  ] as const) {
    const { server, logout } = await startSigned(t)
    const token = logout({}, header, by)
    if (outcome === 'replayed') t.equal((await send(server, `logout_token=${token}`)).status, 200)
    let reply: Reply
    let refused = 0
    do {
      reply = await send(server, `logout_token=${token}`)
      refused++
    } while (reply.status === 400)
    isProblem(t, reply, '429 rate_limited', outcome)
    hasRetryAfter(t, reply, `${outcome}: it says when to retry`)
    t.ok(refused > 60, `${outcome}: refused after ${refused} attempts`)
    isProblem(
      t,
      await send(server, `logout_token=${logout()}`),
      '429 rate_limited',
      `${outcome}: a valid token is refused too`,
    )
    const counted = `ticketgate_backchannel_logouts_total{outcome="${outcome}"}`
    t.equal(await metric(server, counted), refused - 1)
  }
})

t.test('tokens that are not for this gate do not hold off their sender', async t => {
  const { server, logout } = await startSigned(t)
  // A hosted provider sends the logout tokens of all its customers from the same addresses.
  const cases = [
    ['another issuer', logout({ iss: 'https://other-customer.example' })],
    ['another client', logout({ aud: 'shop' })],
    ['another kind of token', logout({ events: undefined })],
    ['another algorithm, and another client', logout({ aud: 'shop' }, {}, newKey('RS256', 'one'))],
    ['not a token', 'hello'],
  ] as const
  for (const [name, token] of cases) {
    const statuses = new Set<number>()
    for (let n = 0; n < 100; n++) statuses.add((await send(server, `logout_token=${token}`)).status)
    t.strictSame([...statuses], [400], name)
    t.equal((await send(server, `logout_token=${logout()}`)).status, 200, name)
  }
})

t.test('a token signed with a key not yet fetched is accepted on a retry', async t => {
  const { server, keys, logout } = await startSigned(t)
  const next = newKey('ES256', 'two')
  const token = logout({}, {}, next)
  keys.answer = jwks(key, next)
  const early = await send(server, `logout_token=${token}`)
  isProblem(t, early, '503 keys_unavailable')
  hasRetryAfter(t, early, 'it says when to retry')
  let reply = early
  while (reply.status === 503) reply = await send(server, `logout_token=${token}`)
  t.equal(reply.status, 200, server.output())
})

t.test('the route is absent until an issuer enables it, at any time', async t => {
  isProblem(
    t,
    await send(await startServer(t), 'logout_token=a'),
    '404 not_found',
    'absent with the gate’s own logins',
  )
  const { server, file, keys, logout, access } = await startSigned(t, { backchannelLogout: false })
  isProblem(
    t,
    await send(server, `logout_token=${logout()}`),
    '404 not_found',
    'absent if no issuer enables it',
  )
  const client = await enter(server, access)
  const entry = { issuer, jwksUrl: keys.url, audiences: resource, ...enabled }
  writeFileSync(file, JSON.stringify([entry]))
  let reply: Reply
  do reply = await send(server, `logout_token=${logout()}`)
  while (reply.status === 404)
  t.equal(reply.status, 200)
  t.strictSame(await client.closed, { code: 4403, reason: 'revoked' })
})
