import t, { type Test } from 'tap'
import { discoverKeys } from '../../src/providers/discovery.js'
import { Downloader } from '../../src/providers/download.js'
import { type Answer, startProvider, text } from '../support/provider.js'

/** Starts a provider that serves these documents, by path. */
const start = async (t: Test, documents: (origin: string) => Readonly<Record<string, Answer>>) => {
  const asked: string[] = []
  const provider = await startProvider(t, text('', 404))
  const { origin } = new URL(provider.url)
  const all = documents(origin)
  provider.answer = (response, request) => {
    asked.push(String(request.url))
    const answer = all[String(request.url)] ?? text('', 404)
    answer(response, request)
  }
  const downloader = await Downloader.open({ timeoutMs: 60_000, maxBytes: 100_000 })
  t.teardown(() => downloader.close())
  return {
    origin,
    asked,
    find: async (issuer: string, allowHttp = false) =>
      (await discoverKeys(issuer, allowHttp, downloader)).url,
  }
}

const metadata = (issuer: string, jwksUri: unknown = `${issuer}/keys`): Answer =>
  text(JSON.stringify({ issuer, jwks_uri: jwksUri, authorization_endpoint: 'x' }))

t.test('keys are found by the metadata of OpenID Connect', async t => {
  const { origin, find } = await start(t, origin => ({
    '/.well-known/openid-configuration': metadata(origin),
    '/realms/shop/.well-known/openid-configuration': metadata(`${origin}/realms/shop`),
    '/auth0/.well-known/openid-configuration': metadata(`${origin}/auth0/`, `${origin}/auth0.json`),
  }))
  t.equal(await find(origin), `${origin}/keys`)
  t.equal(await find(`${origin}/realms/shop`), `${origin}/realms/shop/keys`)
  t.equal(
    await find(`${origin}/auth0/`),
    `${origin}/auth0.json`,
    'a trailing slash is part of the issuer name',
  )
})

t.test('otherwise keys are found by the metadata of RFC 8414, at another path', async t => {
  const { origin, asked, find } = await start(t, origin => ({
    '/.well-known/oauth-authorization-server': metadata(origin),
    '/.well-known/oauth-authorization-server/tenant/1': metadata(`${origin}/tenant/1`),
  }))
  t.equal(await find(origin), `${origin}/keys`)
  t.equal(await find(`${origin}/tenant/1`), `${origin}/tenant/1/keys`)
  t.match(asked, [
    '/.well-known/openid-configuration',
    '/.well-known/oauth-authorization-server',
    '/tenant/1/.well-known/openid-configuration',
  ])
})

t.test('invalid metadata is refused', async t => {
  const paths = [
    'other',
    'slash',
    'none',
    'http',
    'file',
    'number',
    'list',
    'page',
    'error',
    'moved',
  ] as const
  const path = (name: string) => `/${name}/.well-known/openid-configuration`
  const { origin, find } = await start(t, origin => ({
    [path('other')]: metadata('https://evil.example', `${origin}/keys`),
    [path('slash')]: metadata(`${origin}/slash/`),
    [path('none')]: text(JSON.stringify({ issuer: `${origin}/none` })),
    [path('http')]: metadata(`${origin}/http`, 'http://id.example/keys'),
    [path('file')]: metadata(`${origin}/file`, 'file:///etc/passwd'),
    [path('number')]: metadata(`${origin}/number`, 5),
    [path('list')]: text('[]'),
    [path('page')]: text('<html>'),
    [path('error')]: text('', 500),
    [path('moved')]: text('', 302, { location: `${origin}/elsewhere` }),
  }))
  const reasons = {
    other: /names the issuer "https:\/\/evil\.example"/,
    slash: /names the issuer ".*\/slash\/", not ".*\/slash": write it as the provider does/,
    none: /no jwks_uri/,
    http: /jwks_uri without TLS/,
    file: /jwks_uri, which is not an https URL/,
    number: /no jwks_uri/,
    list: /not a JSON object/,
    page: /not a JSON object/,
    error: /status 500/,
    moved: /redirect|fetch failed/,
  }
  for (const name of paths) await t.rejects(find(`${origin}/${name}`), { message: reasons[name] }, name)
  await t.rejects(find(`${origin}/unknown`), /status 404/)
  t.equal(await find(`${origin}/http`, true), 'http://id.example/keys', 'HTTP is accepted if it is allowed')
})
