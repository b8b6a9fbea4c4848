import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { stringify } from 'yaml'
import { certificate, certificateKey } from '../support/certificate.js'
import { temporaryDirectory } from '../support/fixtures.js'
import { bearer, type Json, jsonOf, postJson, type Reply, request } from '../support/http.js'
import { keysFetched } from '../support/nodes.js'
import { isProblem } from '../support/problem.js'
import { jwks, newKey, type ProviderKey, signedBy, startProvider, text } from '../support/provider.js'
import { type Environment, startServer, type TestServer } from '../support/server.js'
import { base64url, claimsFor, nowSeconds, signText, tokenFor } from '../support/tokens.js'

const first = newKey('RS256', 'one')
const second = newKey('ES256', 'two')
const secret = 'issuers-tests-share-Vq3n8Zt1Lw6Xc9Rb2Md5Kf7'
const all = { TICKETGATE_DEFAULT_PUBLISH: '*', TICKETGATE_DEFAULT_SUBSCRIBE: '*' }

const present = (at: TestServer, token: string): Promise<Reply> =>
  request(at.url, '/ws_ticket', { headers: bearer(token) })

const outcome = async (at: TestServer, token: string): Promise<string> => {
  const reply = await present(at, token)
  return reply.status === 200 ? 'accepted' : String(jsonOf(reply).code)
}

// Each thread reads the files by itself, and a connection may reach any thread: after this many equal
// outcomes in a row, all threads have read them.
const requiredInRow = 30

/**
 * Presents a token until every thread has the expected outcome: files are reread in the
 * background.
 */
const until = async (t: Test, at: TestServer, token: string, expected: string): Promise<void> => {
  for (let count = 0; count < requiredInRow && t.passing(); ) {
    if ((await outcome(at, token)) === expected) count++
    else {
      count = 0
      await new Promise(resolve => setTimeout(resolve, 50))
    }
  }
}

interface Setting {
  readonly server: TestServer
  readonly write: (issuers: unknown) => void
  readonly file: (name: string, text: string) => string
}

const start = async (
  t: Test,
  entries: (file: Setting['file']) => unknown,
  env: Environment = {},
): Promise<Setting> => {
  const directory = temporaryDirectory(t)
  const file = (name: string, content: string): string => {
    const path = join(directory, name)
    writeFileSync(path, content)
    return path
  }
  const write = (issuers: unknown): void => void file('issuers.yaml', stringify(issuers))
  write(entries(file))
  const server = await startServer(t, {
    env: {
      TICKETGATE_ISSUERS_FILE: join(directory, 'issuers.yaml'),
      TICKETGATE_JWT_SECRET: undefined,
      TICKETGATE_LOG_LEVEL: 'debug',
      ...all,
      ...env,
    },
  })
  return { server, write, file }
}

const hs = (claims: Json, by = secret): string =>
  signText('{"alg":"HS256","typ":"JWT"}', JSON.stringify({ ...claimsFor('maggie'), ...claims }), by)

t.test('with several issuers, a token is verified only by the issuer that it names', async t => {
  const a = await startProvider(t, jwks(first))
  const b = await startProvider(t, jwks(second))
  const { server } = await start(t, file => [
    { issuer: 'https://a.example', jwksUrl: a.url, audiences: ['gate', 'other'] },
    { issuer: 'https://b.example/', jwksUrl: b.url, audiences: 'gate', requireTyp: 'at+jwt' },
    { issuer: 'shop', secretFile: file('secret', secret) },
  ])
  await keysFetched(server, 2)
  const of = (key: ProviderKey, iss: unknown, changes: Json = {}, header: Json = {}): string =>
    signedBy(key, { iss, aud: 'gate', ...changes }, header)
  const cases: [name: string, token: string, outcome: string][] = [
    ['from a', of(first, 'https://a.example'), 'accepted'],
    ['from a, for the other audience', of(first, 'https://a.example', { aud: 'other' }), 'accepted'],
    ['from a, for an unknown audience', of(first, 'https://a.example', { aud: 'shop' }), 'token_invalid'],
    ['from b', of(second, 'https://b.example/', {}, { typ: 'at+jwt' }), 'accepted'],
    [
      'from b, with typ as a media type',
      of(second, 'https://b.example/', {}, { typ: 'application/AT+JWT' }),
      'accepted',
    ],
    ['from b, an ID token', of(second, 'https://b.example/'), 'token_invalid'],
    ['from b without its slash', of(second, 'https://b.example', {}, { typ: 'at+jwt' }), 'token_invalid'],
    ['from the shop', hs({ iss: 'shop' }), 'accepted'],
    [
      'signed by a in the name of b',
      of(first, 'https://b.example/', {}, { typ: 'at+jwt', kid: second.kid }),
      'token_invalid',
    ],
    [
      'signed by b in the name of a',
      of(second, 'https://a.example', {}, { kid: first.kid }),
      'token_invalid',
    ],
    ['signed by the shop in the name of a', hs({ iss: 'https://a.example', aud: 'gate' }), 'token_invalid'],
    ['signed by a in the name of the shop', of(first, 'shop'), 'token_invalid'],
    ['without an issuer', of(first, undefined), 'token_invalid'],
    ['from an unknown issuer', of(first, 'https://evil.example'), 'token_invalid'],
    ['from a list of issuers', of(first, ['https://a.example']), 'token_invalid'],
    ['a name of Object.prototype', of(first, 'constructor'), 'token_invalid'],
  ]
  for (const [name, token, expected] of cases) t.equal(await outcome(server, token), expected, name)
  await server.stop()
  t.match(
    server.output(),
    /"reason":"issuer","hint":"iss and the configured issuer differ by a trailing slash/,
  )
})

t.test('TICKETGATE_OIDC_ISSUER alone discovers the keys and turns the login off', async t => {
  const provider = await startProvider(t, text('', 404))
  const { origin } = new URL(provider.url)
  provider.answer = (response, request) =>
    request.url === '/.well-known/openid-configuration'
      ? text(JSON.stringify({ issuer: origin, jwks_uri: provider.url }))(response, request)
      : jwks(first)(response, request)
  const server = await startServer(t, {
    env: {
      TICKETGATE_OIDC_ISSUER: origin,
      TICKETGATE_JWT_AUDIENCE: 'gate',
      TICKETGATE_JWT_SECRET: undefined,
      ...all,
    },
  })
  await keysFetched(server)
  t.equal(await outcome(server, signedBy(first, { iss: origin, aud: 'gate' })), 'accepted')
  t.equal(await outcome(server, signedBy(first, { iss: `${origin}/`, aud: 'gate' })), 'token_invalid')
  t.equal(await outcome(server, signedBy(first, { iss: origin, aud: 'shop' })), 'token_invalid')
  isProblem(t, await postJson(server.url, '/auth', { user: 'a', pwd: 'b' }), '404 not_found')
})

t.test('keys come from PEM files, or from a server with a private CA', async t => {
  const tls = createTlsServer({ cert: certificate, key: certificateKey }, (req, res) =>
    jwks(second)(res, req),
  )
  tls.listen(0, '127.0.0.1')
  await once(tls, 'listening')
  t.teardown(() => tls.close())
  const jwksUrl = `https://localhost:${(tls.address() as AddressInfo).port}/keys`
  const ed = generateKeyPairSync('ed25519')
  const pem = { algorithm: 'Ed25519', kid: 'any', ...ed } as unknown as ProviderKey
  const { server } = await start(t, file => [
    {
      issuer: 'pem',
      publicKeyFile: [
        file('a.pem', String(first.publicKey.export({ type: 'spki', format: 'pem' }))),
        file('b.pem', String(ed.publicKey.export({ type: 'spki', format: 'pem' }))),
      ],
      audiences: 'gate',
    },
    { issuer: 'tls', jwksUrl, caFile: file('ca.pem', certificate), audiences: 'gate' },
  ])
  await keysFetched(server)
  for (const key of [first, pem])
    t.equal(await outcome(server, signedBy(key, { iss: 'pem', aud: 'gate' })), 'accepted')
  t.equal(await outcome(server, signedBy(second, { iss: 'pem', aud: 'gate' })), 'token_invalid')
  t.equal(await outcome(server, signedBy(second, { iss: 'tls', aud: 'gate' })), 'accepted')
  const untrusting = await start(t, () => [{ issuer: 'tls', jwksUrl, audiences: 'gate' }])
  t.equal(await outcome(untrusting.server, signedBy(second, { iss: 'tls', aud: 'gate' })), 'keys_unavailable')
})

t.test('user, session, audience and tenant can be in other claims', async t => {
  const provider = await startProvider(t, jwks(first))
  const { server } = await start(t, () => [
    {
      issuer: 'a',
      jwksUrl: provider.url,
      audiences: 'gate',
      audienceClaim: 'client_id',
      userClaim: 'profile.name',
      sessionClaim: 'session_id',
    },
    { issuerPattern: 'https://login.example/{tid}/v2.0', jwksUrl: provider.url, audiences: 'gate' },
  ])
  await keysFetched(server, 2)
  const a = (changes: Json): string =>
    signedBy(first, { iss: 'a', client_id: 'gate', profile: { name: 'Maggie' }, sub: undefined, ...changes })
  const tenant = (iss: unknown, tid: unknown): string => signedBy(first, { iss, tid, aud: 'gate' })
  const cases: [token: string, outcome: string][] = [
    [a({}), 'accepted'],
    [a({ session_id: 's/1' }), 'accepted'],
    [a({ session_id: 5 }), 'token_invalid'],
    [a({ client_id: 'shop' }), 'token_invalid'],
    [a({ client_id: undefined, aud: 'gate' }), 'token_invalid'],
    [a({ client_id: { gate: 1 } }), 'token_invalid'],
    [a({ profile: { name: 5 } }), 'token_invalid'],
    [a({ profile: 'x', sub: 'maggie' }), 'token_invalid'],
    [
      tenant(
        'https://login.example/72f988bf-86f1-41af-91ab-2d7cd011db47/v2.0',
        '72f988bf-86f1-41af-91ab-2d7cd011db47',
      ),
      'accepted',
    ],
    [tenant('https://login.example/a/v2.0', 'b'), 'token_invalid'],
    [tenant('https://login.example/a/v2.0', undefined), 'token_invalid'],
    [tenant('https://login.example/a/b/v2.0', 'a/b'), 'token_invalid'],
    [tenant('https://login.example/{tid}/v2.0', '{tid}'), 'token_invalid'],
  ]
  for (const [token, expected] of cases)
    t.equal(
      await outcome(server, token),
      expected,
      Buffer.from(String(token.split('.')[1]), 'base64url').toString(),
    )
  const claims = JSON.parse(Buffer.from(String(a({}).split('.')[1]), 'base64url').toString()) as Json
  t.notOk('sub' in claims)
})

t.test('the gate’s own logins work beside issuers', async t => {
  const provider = await startProvider(t, jwks(first))
  const { server } = await start(
    t,
    () => [{ issuer: 'https://a.example', jwksUrl: provider.url, audiences: 'gate' }],
    { TICKETGATE_LOGIN: 'on', TICKETGATE_JWT_SECRET: secret, TICKETGATE_DEFAULT_SUBSCRIBE: 'news' },
  )
  await keysFetched(server)
  const channel = async (token: string): Promise<number> =>
    (await request(server.url, '/ws_ticket?channel=lobby', { headers: bearer(token) })).status
  t.equal(await channel(hs({})), 200, 'the gate’s own token has all rights')
  t.equal(await outcome(server, signedBy(first, { iss: 'https://a.example', aud: 'gate' })), 'accepted')
  t.equal(await channel(signedBy(first, { iss: 'https://b.example', aud: 'gate' })), 401)
  t.equal(await outcome(server, hs({ iss: 'https://a.example', aud: 'gate' })), 'token_invalid')
  t.equal(await outcome(server, hs({ iss: 'https://b.example' })), 'token_invalid')
  isProblem(t, await postJson(server.url, '/auth', { user: 'maggie', pwd: 'wrong' }), '401 bad_credentials')
})

t.test('changed files are reread, and a broken file changes nothing', async t => {
  const provider = await startProvider(t, jwks(first))
  const entry = { issuer: 'a', jwksUrl: provider.url, audiences: 'gate' }
  const shop = (file: Setting['file'], content: string) => ({
    issuer: 'shop',
    secretFile: file('secret', content),
  })
  for (const threads of ['1', '2']) {
    const { server, write, file } = await start(t, () => [entry], { TICKETGATE_THREADS: threads })
    await keysFetched(server, Number(threads))
    const token = (): string => signedBy(first, { iss: 'a', aud: 'gate' })
    const asked = provider.asked()
    t.equal(await outcome(server, token()), 'accepted')
    t.equal(await outcome(server, hs({ iss: 'shop' })), 'token_invalid')
    write([entry, shop(file, secret)])
    await until(t, server, hs({ iss: 'shop' }), 'accepted')
    t.equal(await outcome(server, token()), 'accepted')
    t.equal(provider.asked(), asked, 'known keys are not fetched again')

    const nextSecret = `${secret}2`
    file('secret', nextSecret)
    await until(t, server, hs({ iss: 'shop' }, nextSecret), 'accepted')
    await until(t, server, hs({ iss: 'shop' }), 'token_invalid')

    write([{ ...entry, skewSeconds: -1 }])
    await server.logged(/"level":"error".*issuers\[0\]\.skewSeconds/)
    t.equal(await outcome(server, token()), 'accepted')
    t.equal(await outcome(server, hs({ iss: 'shop' }, nextSecret)), 'accepted')

    const kept = token()
    t.equal(await outcome(server, kept), 'accepted')
    write([shop(file, nextSecret)])
    await until(t, server, kept, 'token_invalid')
    t.strictSame(await server.stop(), { code: 0, signal: null })
  }
})

t.test('the token secret is rotated without a restart, and the previous one is accepted', async t => {
  const directory = temporaryDirectory(t)
  const put = (name: string, content: string): string => {
    writeFileSync(join(directory, name), content)
    return join(directory, name)
  }
  const server = await startServer(t, {
    users: { maggie: 'secret' },
    env: {
      TICKETGATE_JWT_SECRET: undefined,
      TICKETGATE_JWT_SECRET_FILE: put('secret', secret),
      TICKETGATE_JWT_SECRET_PREVIOUS_FILE: put('previous', `${secret}0`),
    },
  })
  const login = async (): Promise<string> =>
    String(jsonOf(await postJson(server.url, '/auth', { user: 'maggie', pwd: 'secret' })).token)
  const old = await login()
  t.equal(await outcome(server, old), 'accepted')
  t.equal(await outcome(server, hs({}, `${secret}0`)), 'accepted')
  t.equal(await outcome(server, hs({}, `${secret}1`)), 'token_invalid')
  put('previous', secret)
  put('secret', `${secret}1`)
  await until(t, server, hs({}, `${secret}1`), 'accepted')
  t.equal(await outcome(server, old), 'accepted', 'earlier tokens stay valid')
  await until(t, server, hs({}, `${secret}0`), 'token_invalid')
  t.equal(await outcome(server, await login()), 'accepted')
  put('previous', `${secret}1`)
  await until(t, server, old, 'token_invalid')
  const direct = await startServer(t, { env: { TICKETGATE_JWT_SECRET_PREVIOUS: secret } })
  t.equal(await outcome(direct, hs({})), 'accepted')
  t.equal(await outcome(direct, tokenFor('maggie')), 'accepted')
})

t.test('an issuer without keys is named, and the other issuers keep working', async t => {
  const a = await startProvider(t, jwks(first))
  const b = await startProvider(t, text('', 500))
  const { server } = await start(t, () => [
    { issuer: 'https://a.example', jwksUrl: a.url, audiences: 'gate' },
    { issuer: 'https://b.example', jwksUrl: b.url, audiences: 'gate' },
  ])
  await keysFetched(server)
  const ready = await request(server.url, '/readyz')
  isProblem(t, ready, '503 keys_unavailable')
  t.match(jsonOf(ready).detail, 'https://b.example')
  t.notMatch(jsonOf(ready).detail, 'https://a.example')
  t.equal(await outcome(server, signedBy(first, { iss: 'https://a.example', aud: 'gate' })), 'accepted')
  t.equal(
    await outcome(server, signedBy(second, { iss: 'https://b.example', aud: 'gate' })),
    'keys_unavailable',
  )
  await server.logged('"issuer":"https://b.example","reason":"status 500"')
})

t.test('each issuer has its own clock skew and maximum lifetime', async t => {
  const { server } = await start(t, file => [
    { issuer: 'exact', secretFile: file('secret', secret), skewSeconds: 0, maxTtlSeconds: 60 },
    { issuer: 'loose', secretFile: file('other', secret), skewSeconds: 300 },
  ])
  const now = nowSeconds()
  const cases: [claims: Json, outcome: string][] = [
    [{ iss: 'exact', iat: now - 5, exp: now + 50 }, 'accepted'],
    [{ iss: 'exact', iat: now - 5, exp: now + 60 }, 'token_invalid'],
    [{ iss: 'exact', iat: now - 50, exp: now - 1 }, 'token_expired'],
    [{ iss: 'loose', iat: now - 500, exp: now - 100 }, 'accepted'],
    [{ iss: 'loose', iat: now + 200, exp: now + 300 }, 'accepted'],
    [{ iss: 'loose', iat: now + 400, exp: now + 500 }, 'token_invalid'],
  ]
  for (const [claims, expected] of cases)
    t.equal(await outcome(server, hs(claims)), expected, JSON.stringify(claims))
})

t.test('a longer maxTtlSeconds than at the start takes effect only after a restart', async t => {
  const of = (file: Setting['file'], maxTtlSeconds: number) => [
    { issuer: 'shop', secretFile: file('secret', secret), maxTtlSeconds },
  ]
  const { server, write, file } = await start(t, each => of(each, 172_800))
  const now = nowSeconds()
  const long = hs({ iss: 'shop', exp: now + 172_801 })
  t.equal(await outcome(server, hs({ iss: 'shop', exp: now + 172_800 })), 'accepted')
  write(of(file, 172_801))
  await server.logged(/"level":"error".*larger maxTtlSeconds/)
  t.equal(await outcome(server, long), 'token_invalid')
  write(of(file, 60))
  await until(t, server, hs({ iss: 'shop', exp: now + 172_800 }), 'token_invalid')
  t.equal(await outcome(server, hs({ iss: 'shop', exp: now + 60 })), 'accepted')
})

t.test('a malformed payload is refused, whatever issuer it names', async t => {
  const { server } = await start(t, file => [
    { issuer: 'a', secretFile: file('a', secret) },
    { issuer: 'b', secretFile: file('b', `${secret}b`) },
  ])
  for (const payload of ['{"iss":"a","iss":"b"}', '{', '[]', '']) {
    const token = signText('{"alg":"HS256"}', payload, secret)
    t.equal(await outcome(server, token), 'token_invalid', payload)
  }
  t.equal(await outcome(server, `${base64url('{"alg":"HS256"}')}..AAAA`), 'token_invalid')
})
