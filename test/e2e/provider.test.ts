import t, { type Test } from 'tap'
import {
  bearer,
  type Json,
  jsonOf,
  metric,
  postJson,
  type Reply,
  request,
  requestUpgrade,
} from '../support/http.js'
import { keysFetched } from '../support/nodes.js'
import { hasRetryAfter, isProblem } from '../support/problem.js'
import { jwks, newKey, type Provider, signedBy, startProvider, text } from '../support/provider.js'
import { adminKey, development, runServe, startServer } from '../support/server.js'
import { open, openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, mintWith, nowSeconds, tokenFor } from '../support/tokens.js'

const issuer = 'https://id.example'
const audience = 'gate'
const first = newKey('RS256', '2026-11')
const second = newKey('ES256', '2026-12')
const claims = (changes: Json = {}): Json => ({ iss: issuer, aud: audience, ...changes })
const environmentFor = (provider: Provider): Record<string, string | undefined> => ({
  TICKETGATE_JWKS_URL: provider.url,
  TICKETGATE_JWT_ISSUER: issuer,
  TICKETGATE_JWT_AUDIENCE: audience,
  TICKETGATE_JWT_SECRET: undefined,
  TICKETGATE_CLOCK_SKEW_SECONDS: '60',
  TICKETGATE_DEFAULT_PUBLISH: '*',
  TICKETGATE_DEFAULT_SUBSCRIBE: '*',
})

const provider = await startProvider(t, jwks(first))
const server = await startServer(t, { env: environmentFor(provider), users: { maggie: 'secret' } })
await keysFetched(server)
const present = (token: string, base = server.url): Promise<Reply> =>
  request(base, '/ws_ticket', { headers: bearer(token) })

/** Presents a token until the reply has this status: keys are fetched in the background. */
const presentUntil = async (t: Test, token: string, status: number, base = server.url): Promise<Reply> => {
  for (;;) {
    const reply = await present(token, base)
    if (reply.status === status || t.passing() === false) return reply
  }
}

t.test('a token from the provider opens a socket, with its rights and until its expiry', async t => {
  const exp = nowSeconds() + 100
  const channels = { publish: ['red'], subscribe: ['red', 'blue'] }
  const { ticket, expires } = await mintWith(server.url, signedBy(first, claims({ exp, channels })))
  t.ok(expires <= exp)
  const { client, welcome } = await openSession(socketUrl(server.url, gatePath(ticket, 'blue')))
  t.match(welcome, { user: 'maggie', channel: 'blue', expires: exp })
  t.match(await client.ask({ type: 'publish', data: 1 }), { type: 'error', code: 'channel_forbidden' })
  await client.close()
})

t.test('there is no login', async t => {
  for (const method of ['GET', 'POST', 'OPTIONS', 'DELETE']) {
    const reply = await postJson(server.url, '/auth', { user: 'maggie', pwd: 'secret' }, { method })
    isProblem(t, reply, '404 not_found', method)
  }
})

t.test('tokens from other issuers or for other audiences are refused', async t => {
  const now = nowSeconds()
  const cases: [name: string, token: string, code: string][] = [
    ['signed with the tests’ secret', tokenFor('maggie', claims()), 'token_invalid'],
    [
      'signed by another key with the same id',
      signedBy(newKey('RS256', first.kid), claims()),
      'token_invalid',
    ],
    ['from another issuer', signedBy(first, claims({ iss: 'https://evil.test' })), 'token_invalid'],
    ['for another audience', signedBy(first, claims({ aud: 'shop' })), 'token_invalid'],
    ['for no audience', signedBy(first, claims({ aud: undefined })), 'token_invalid'],
    ['expired', signedBy(first, claims({ iat: now - 600, exp: now - 300 })), 'token_expired'],
    ['of another token type', signedBy(first, claims(), { typ: 'dpop+jwt' }), 'token_invalid'],
    ['with exp 1e400', signedBy(first, claims({ exp: Number.POSITIVE_INFINITY })), 'token_invalid'],
  ]
  for (const [name, token, code] of cases) {
    const reply = await present(token)
    isProblem(t, reply, `401 ${code}`, name)
    t.match(reply.headers['www-authenticate'], /error="invalid_token"/, name)
  }
})

t.test('clocks may differ by the skew', async t => {
  const now = nowSeconds()
  const late = await present(signedBy(first, claims({ iat: now - 60, exp: now - 2 })))
  t.equal(late.status, 200, 'a token that expired two seconds ago is accepted')
  const { ticket } = jsonOf(late) as { ticket: string }
  t.equal(
    (await requestUpgrade(server.url, gatePath(ticket))).status,
    101,
    'its ticket is valid for the rest of the skew',
  )
  t.equal(
    (await present(signedBy(first, claims({ iat: now + 3 })))).status,
    200,
    'a token issued in the future is accepted',
  )
  isProblem(
    t,
    await present(signedBy(first, claims({ iat: now + 600, exp: now + 900 }))),
    '401 token_invalid',
  )
})

t.test('a revocation covers tokens that a fast clock dated after it', async t => {
  const ahead = signedBy(first, claims({ sub: 'theo', iat: nowSeconds() + 3 }))
  const { client } = await openSession(
    socketUrl(server.url, gatePath((await mintWith(server.url, ahead)).ticket)),
  )
  const reply = await postJson(server.admin, '/disconnect', { user: 'theo' }, { headers: bearer(adminKey) })
  t.equal(reply.status, 200)
  t.match(await client.closed, { code: 4403 })
  isProblem(t, await present(ahead), '401 token_revoked')
})

t.test('a new key is fetched when a token names it, and a withdrawn key is refused', async t => {
  const token = signedBy(second, claims())
  const old = signedBy(first, claims())
  t.equal((await present(old)).status, 200)
  provider.answer = jwks(first, second)
  const early = await present(token)
  isProblem(t, early, '503 keys_unavailable', 'no request waits for the fetch')
  hasRetryAfter(t, early, 'it says when to retry')
  t.equal((await presentUntil(t, token, 200)).status, 200)
  t.equal((await present(old)).status, 200, 'both keys are valid meanwhile')
  provider.answer = jwks(second)
  await present(signedBy(newKey('EdDSA', 'unknown-1'), claims()))
  isProblem(t, await presentUntil(t, old, 401), '401 token_invalid', 'a token verified before is refused')
  t.equal((await present(token)).status, 200)
})

t.test('a stranger’s made-up key ids do not delay others for long, and are eventually refused', async t => {
  const made = Array.from({ length: 30 }, (_, n) => signedBy(newKey('EdDSA', `made-up-${n}`), claims()))
  for (const token of made) isProblem(t, await present(token), '503 keys_unavailable')
  const third = newKey('EdDSA', '2027-01')
  provider.answer = jwks(second, third)
  const reply = await present(signedBy(third, claims()))
  isProblem(t, reply, '503 keys_unavailable')
  t.ok(Number(reply.headers['retry-after']) <= 2)
  t.equal((await presentUntil(t, signedBy(third, claims()), 200)).status, 200)
  const last = made.at(-1) ?? ''
  isProblem(t, await presentUntil(t, last, 401), '401 token_invalid')
  provider.answer = jwks(second)
})

t.test('no request waits for a provider that does not respond', async t => {
  const slow = await startProvider(t, jwks(second))
  const gate = await startServer(t, { env: environmentFor(slow) })
  await keysFetched(gate)
  const third = newKey('EdDSA', '2027-02')
  let release = (): void => {}
  const asked = new Promise<void>(resolve => {
    slow.answer = (response, incoming) => {
      release = () => jwks(second, third)(response, incoming)
      resolve()
    }
  })
  isProblem(t, await present(signedBy(third, claims()), gate.url), '503 keys_unavailable')
  await asked
  // The provider holds back its reply until these have theirs.
  for (let n = 0; n < 20; n++) {
    isProblem(t, await present(signedBy(third, claims()), gate.url), '503 keys_unavailable')
    t.equal((await present(signedBy(second, claims()), gate.url)).status, 200)
  }
  t.equal((await request(gate.url, '/readyz')).status, 200)
  // On a busy machine the gate may have asked again by now.
  slow.answer = jwks(second, third)
  release()
  t.equal((await presentUntil(t, signedBy(third, claims()), 200, gate.url)).status, 200)
})

t.test('if an old and a new key share one id, tokens of both are valid', async t => {
  const twin = newKey('ES256', second.kid)
  const both = await startProvider(t, jwks(second, twin))
  const gate = await startServer(t, { env: environmentFor(both) })
  await keysFetched(gate)
  for (const key of [second, twin]) t.equal((await present(signedBy(key, claims()), gate.url)).status, 200)
  isProblem(t, await present(signedBy(newKey('ES256', second.kid), claims()), gate.url), '401 token_invalid')
  await gate.logged(/"repeated":\["2 keys are named \\"2026-12\\""\]/)
})

t.test('while the provider is unreachable, its keys stay valid', async t => {
  const token = signedBy(second, claims())
  await provider.stop()
  await present(signedBy(newKey('EdDSA', 'unknown-2'), claims()))
  while ((await metric(server, 'ticketgate_key_fetches_total{outcome="failed"}')) === 0);
  t.equal((await present(token)).status, 200)
  t.equal(
    (await present(signedBy(second, claims({ sub: 'dora' })))).status,
    200,
    'a new token is accepted too',
  )
  t.equal((await request(server.url, '/readyz')).status, 200)
  await server.logged(/"reason":"fetch failed[^"]*".*the previous ones stay in use/)
})

t.test(
  'if the provider is unreachable at the start, the gate is not ready and answers 503 until it responds',
  async t => {
    const late = await startProvider(t, text('', 500))
    const waiting = await startServer(t, {
      env: { ...environmentFor(late), TICKETGATE_FIRST_MESSAGE_SECONDS: '30' },
    })
    const token = signedBy(first, claims())
    t.equal((await request(waiting.url, '/healthz')).status, 200)
    for (const [name, reply] of [
      ['readiness', await request(waiting.url, '/readyz')],
      ['a ticket', await present(token, waiting.url)],
    ] as const) {
      isProblem(t, reply, '503 keys_unavailable', name)
      hasRetryAfter(t, reply, name)
    }
    isProblem(t, await request(waiting.url, '/ws_ticket'), '401 token_missing')
    const client = await open(socketUrl(waiting.url, '/channel/'))
    client.send({ type: 'auth', payload: token })
    t.match(
      await client.closed,
      { code: 4503, reason: /^retry_after_ms=\d+$/ },
      'a token as the first message is refused',
    )
    late.answer = jwks(first)
    t.equal((await presentUntil(t, token, 200, waiting.url)).status, 200)
    t.equal((await request(waiting.url, '/readyz')).status, 200)
    t.strictSame(await waiting.stop(), { code: 0, signal: null })
  },
)

t.test('a provider that hangs delays neither requests nor the shutdown', async t => {
  const hanging = await startProvider(t, jwks(first))
  const quick = await startServer(t, { env: { ...environmentFor(hanging), TICKETGATE_THREADS: '2' } })
  await keysFetched(quick, 2)
  hanging.answer = () => {}
  const asked = hanging.nextAsked()
  await present(signedBy(second, claims()), quick.url)
  await asked
  t.equal((await present(signedBy(first, claims()), quick.url)).status, 200)
  t.strictSame(await quick.stop(), { code: 0, signal: null })
})

t.test('without a channels claim, a token has the configured rights, by default none', async t => {
  const names = ['TICKETGATE_DEFAULT_PUBLISH', 'TICKETGATE_DEFAULT_SUBSCRIBE'] as const
  const own = await startProvider(t, jwks(second))
  const start = async (publish?: string, subscribe?: string) => {
    const env = { ...environmentFor(own), [names[0]]: publish, [names[1]]: subscribe }
    const gate = await startServer(t, { env })
    await keysFetched(gate)
    return gate
  }
  const take = (base: string, channel: string, changes: Json = {}) =>
    request(base, `/ws_ticket?channel=${channel}`, { headers: bearer(signedBy(second, claims(changes))) })

  const nothing = await start()
  isProblem(t, await take(nothing.url, 'lobby'), '403 channel_forbidden')
  const everywhere = (await mintWith(nothing.url, signedBy(second, claims()))).ticket
  isProblem(t, await requestUpgrade(nothing.url, gatePath(everywhere, 'lobby')), '403 channel_forbidden')
  t.equal(
    (await take(nothing.url, 'lobby', { channels: { subscribe: ['lobby'] } })).status,
    200,
    'the claim grants the right',
  )
  await nothing.logged('tokens without a channels claim may publish on nothing and subscribe to nothing')

  const some = await start('chat.*', 'user.${user}, news')
  const granted: [channel: string, changes: Json, status: number][] = [
    ['chat.a', {}, 200],
    ['news', {}, 200],
    ['user.maggie', {}, 200],
    ['user.theo', {}, 403],
    ['lobby', {}, 403],
    ['user.theo', { sub: 'theo' }, 200],
    ['user.a', { sub: '*' }, 403],
    ['chat.b', { sub: 'auth0|5' }, 200],
    ['chat.b', { channels: { publish: ['x'] } }, 403],
  ]
  for (const [channel, changes, status] of granted)
    t.equal((await take(some.url, channel, changes)).status, status, `${channel} ${JSON.stringify(changes)}`)
  const { ticket } = await mintWith(some.url, signedBy(second, claims()))
  const { client } = await openSession(socketUrl(some.url, gatePath(ticket, 'news')))
  t.match(await client.ask({ type: 'publish', data: 1 }), { type: 'error', code: 'channel_forbidden' })
  await client.close()
  await some.logged('may publish on chat.* and subscribe to user.${user} news')

  const { code, stderr } = await runServe(t, { ...environmentFor(provider), [names[0]]: 'a b' })
  t.equal(code, 1)
  t.match(stderr, /TICKETGATE_DEFAULT_PUBLISH: "a b" is not a channel pattern/)
})

t.test(
  'the reason of a token refusal is in the log, in a metric and, for verified tokens, in the response',
  async t => {
    const own = await startProvider(t, jwks(second))
    const gate = await startServer(t, { env: { ...environmentFor(own), TICKETGATE_LOG_LEVEL: 'debug' } })
    await keysFetched(gate)
    const now = nowSeconds()
    const cases: [token: string, reason: string, inDetail: boolean][] = [
      [signedBy(newKey('ES256', second.kid), claims()), 'signature', false],
      [signedBy(second, claims(), { alg: 'HS256' }), 'algorithm', false],
      ['a.b', 'malformed', false],
      [signedBy(second, claims({ aud: 'shop' })), 'audience', true],
      [signedBy(second, claims({ iss: 'https://evil.test' })), 'issuer', true],
      [signedBy(second, claims({ exp: 'soon' })), 'claim_type:exp', true],
      [signedBy(second, claims({ iat: undefined })), 'claim_missing:iat', true],
      [signedBy(second, claims({ sub: undefined })), 'subject_missing', true],
      [signedBy(second, claims({ exp: now + 9e6 })), 'lifetime', true],
      [signedBy(second, claims({ nbf: now + 600 })), 'not_yet_valid', true],
      [signedBy(second, claims(), { typ: 'logout+jwt' }), 'typ', true],
    ]
    for (const [token, reason, inDetail] of cases) {
      const reply = await present(token, gate.url)
      isProblem(t, reply, '401 token_invalid', reason)
      t.equal(
        String(jsonOf(reply).detail).includes(reason),
        inDetail,
        `${reason} ${inDetail ? 'is' : 'is not'} in the detail`,
      )
      t.equal(await metric(gate, `ticketgate_token_refusals_total{reason="${reason}"}`), 1, reason)
    }
    const expired = await present(signedBy(second, claims({ iat: now - 999, exp: now - 99 })), gate.url)
    isProblem(t, expired, '401 token_expired')
    t.equal(await metric(gate, 'ticketgate_token_refusals_total{reason="expired"}'), 1)
    await gate.stop()
    for (const [, reason] of cases) t.match(gate.output(), `"code":"token_invalid","reason":"${reason}"`)
    t.match(gate.output(), '"code":"token_expired","reason":"expired"')
  },
)

t.test('in development, neither issuer nor audience is required, and no user is created', async t => {
  const easy = await startProvider(t, jwks(first))
  const gate = await startServer(t, { env: { ...development, TICKETGATE_JWKS_URL: easy.url } })
  await keysFetched(gate)
  t.equal((await present(signedBy(first), gate.url)).status, 200)
  isProblem(t, await present(signedBy(first, { aud: 5 }), gate.url), '401 token_invalid')
  await gate.logged(new RegExp(`tokens by the identity provider.*${easy.url}`))
  await gate.stop()
  t.notMatch(gate.output(), /password/)
})

t.test('in production, a provider requires an issuer and an audience', async t => {
  const { code, stderr } = await runServe(t, {
    TICKETGATE_JWKS_URL: 'https://id.example/keys',
    TICKETGATE_JWT_SECRET: undefined,
  })
  t.equal(code, 1)
  t.match(stderr, /TICKETGATE_JWT_ISSUER: is required in production with TICKETGATE_JWKS_URL/)
  t.match(stderr, /TICKETGATE_JWT_AUDIENCE: is required in production with TICKETGATE_JWKS_URL/)
  t.notMatch(stderr, /JWT_SECRET/)
})
