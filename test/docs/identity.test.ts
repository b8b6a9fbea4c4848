import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose'
import t, { type Test } from 'tap'
import { parse } from 'yaml'
import { issuerFields } from '../../src/config/issuer-fields.js'
import { readIssuersFile } from '../../src/config/issuers.js'
import { checkTokenClaims } from '../../src/token/claims.js'
import { RightsRules } from '../../src/token/rights-rules.js'
import { startEgressProxy } from '../support/egress-proxy.js'
import { bearer, type Json, jsonOf, postJson, type Reply, request } from '../support/http.js'
import { untilReady } from '../support/nodes.js'
import { isProblem } from '../support/problem.js'
import { knownProvidersCertificate, knownProvidersCertificateKey } from '../support/provider-certificate.js'
import {
  type Environment,
  type Run,
  run,
  startServer,
  type TestServer,
  temporaryDirectory,
} from '../support/server.js'
import { type Client, openSession, socketUrl } from '../support/socket-client.js'
import { gatePath } from '../support/tokens.js'
import { codeBlocks, readPage, tableUnder } from './markdown.js'
import { type ProviderTokens, publicKeyProviders, secretProviders } from './provider-tokens.js'

const document = readPage('docs/identity.md')
const providersPage = readPage('docs/providers.md')

/** The entry of each provider in the issuers file, by its heading. */
const entries = new Map(
  providersPage
    .split(/^## /m)
    .slice(1)
    .flatMap(section => {
      const [entry] = codeBlocks(section, 'yaml')
      return entry === undefined ? [] : [[section.slice(0, section.indexOf('\n')), entry] as const]
    }),
)

/** Signs claims, by default with its own key id in the header. */
type Sign = (claims: Json, kid?: string) => Promise<string>

interface Signing {
  readonly sign: Sign
  readonly jwk?: JWK
}

const signing = async (
  { algorithm, header }: ProviderTokens,
  kid: string,
  secret?: string,
): Promise<Signing> => {
  const pair = secret === undefined ? await generateKeyPair(algorithm, { extractable: true }) : undefined
  const key = pair?.privateKey ?? Buffer.from(secret ?? '')
  const sign: Sign = (claims, named = kid) =>
    new SignJWT(claims)
      .setProtectedHeader({ ...header, ...(pair === undefined ? {} : { kid: named }), alg: algorithm })
      .sign(key)
  if (pair === undefined) return { sign }
  return { sign, jwk: { ...(await exportJWK(pair.publicKey)), kid, use: 'sig', alg: algorithm } }
}

/** The documents of a provider by URL: its keys, and its metadata, which contain their URL. */
const publicationsOf = ({ heading, jwksUrl = '', claims }: ProviderTokens, jwk: JWK | undefined) => {
  const keys: [string, unknown] = [jwksUrl, { keys: [jwk] }]
  if (!entries.get(heading)?.includes('discover: true')) return [keys]
  const issuer = String(claims.iss)
  const metadataUrl = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`
  return [keys, [metadataUrl, { issuer, jwks_uri: jwksUrl }] as [string, unknown]]
}

/**
 * Serves all providers under their own names, which only the proxy resolves. Returns the environment
 * that a gate needs.
 */
const publish = async (t: Test, publications: ReadonlyMap<string, unknown>): Promise<Environment> => {
  const server = createServer(
    { cert: knownProvidersCertificate, key: knownProvidersCertificateKey },
    ({ headers, url }, response) => {
      const published = publications.get(`https://${headers.host}${url}`)
      response.writeHead(published === undefined ? 404 : 200, { 'content-type': 'application/json' })
      response.end(JSON.stringify(published ?? {}))
    },
  ).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  const proxy = await startEgressProxy(t, (server.address() as AddressInfo).port)
  const file = join(temporaryDirectory(t), 'ca.pem')
  writeFileSync(file, knownProvidersCertificate)
  return { NODE_EXTRA_CA_CERTS: file, HTTPS_PROXY: `http://127.0.0.1:${proxy.port}` }
}

/** Writes an issuers file with the entries of these providers. */
const issuersFile = (t: Test, providers: readonly ProviderTokens[], secrets: Json = {}): string => {
  const directory = temporaryDirectory(t)
  for (const [name, secret] of Object.entries(secrets)) writeFileSync(join(directory, name), String(secret))
  const text = providers.map(({ heading }) => entries.get(heading)).join('\n')
  const file = join(directory, 'issuers.yaml')
  writeFileSync(file, text.replaceAll('/run/secrets/', `${directory}/`))
  return file
}

const take = ({ url }: TestServer, token: string): Promise<Reply> =>
  request(url, '/ws_ticket', { headers: bearer(token) })

const may = async (client: Client, type: 'publish' | 'subscribe', channel: string): Promise<boolean> => {
  const reply = await client.ask({ type, channel, id: channel, ...(type === 'publish' ? { data: 1 } : {}) })
  if (reply.type === 'error' && reply.code !== 'channel_forbidden') throw new Error(JSON.stringify(reply))
  return reply.type === 'ok'
}

/** Checks that the ticket opens a socket with exactly the user, session and rights of the entry. */
const opens = async (t: Test, server: TestServer, provider: ProviderTokens, reply: Reply): Promise<void> => {
  t.equal(reply.status, 200, reply.text)
  const { publish, subscribe, neither } = provider
  const [first = ''] = [...subscribe, ...publish]
  const { client, welcome } = await openSession(
    socketUrl(server.url, gatePath(String(jsonOf(reply).ticket), first)),
  )
  t.equal(welcome.user, provider.user)
  if (provider.session !== undefined) t.equal(welcome.session, provider.session)
  for (const channel of new Set([...publish, ...subscribe, ...neither])) {
    t.equal(await may(client, 'publish', channel), publish.includes(channel), `publish on ${channel}`)
    t.equal(await may(client, 'subscribe', channel), subscribe.includes(channel), `subscribe to ${channel}`)
  }
  await client.close()
}

const isRefused = async (
  t: Test,
  server: TestServer,
  provider: ProviderTokens,
  sign: Sign,
): Promise<void> => {
  const { name, changes, code, detail } = provider.refused
  const claims = Object.entries({ ...provider.claims, ...changes }).filter(([, value]) => value !== undefined)
  const reply = await take(server, await sign(Object.fromEntries(claims)))
  isProblem(t, reply, code === 'token_invalid' ? '401 token_invalid' : '403 channel_forbidden', name)
  t.match(jsonOf(reply).detail, detail, name)
}

t.test('every provider in docs/providers.md is tested', async t => {
  t.strictSame(
    [...entries.keys()].sort(),
    [...publicKeyProviders, ...secretProviders].map(({ heading }) => heading).sort(),
  )
  for (const [heading, entry] of entries) t.equal((parse(entry) as unknown[]).length, 1, heading)
})

t.test('the table of fields is complete', async t => {
  const named = tableUnder(document, '## Several issuers').map(([field = '']) => /`(\w+)/.exec(field)?.[1])
  t.strictSame(named.sort(), Object.keys(issuerFields).sort())
})

t.test('the examples of rules and of authorization_details give the documented rights', async t => {
  const section = document.slice(document.indexOf('\n## Rights\n'))
  const file = join(temporaryDirectory(t), 'issuers.yaml')
  writeFileSync(file, codeBlocks(section, 'yaml')[0] ?? '')
  const [issuer] = readIssuersFile(file, {
    production: true,
    skewSeconds: 0,
    maxTtlSeconds: 900,
    own: undefined,
  })
  const details = JSON.parse(`{${codeBlocks(section, 'json')[0]}}`) as Json
  const claims = {
    sub: 'maggie',
    iat: 1000,
    exp: 1900,
    realm_access: { roles: ['trader'] },
    scope: 'openid news',
  }
  const permits = (payload: Json) =>
    checkTokenClaims(
      payload,
      { maxTtlSeconds: 900, rightsRules: new RightsRules(issuer?.rights ?? []) },
      1_000_000,
    )
  t.match(permits(claims), {
    publish: ['orders.maggie'],
    subscribe: ['orders.maggie', 'prices.*', 'news', 'notices'],
  })
  t.match(permits({ ...claims, realm_access: {}, scope: '', ...details }), {
    publish: ['orders.7'],
    subscribe: ['prices.*', 'notices'],
  })
})

t.test('tokens of providers with public keys are accepted with the documented entries', async t => {
  const signers = await Promise.all(publicKeyProviders.map((each, n) => signing(each, `key-${n}`)))
  const publications = new Map(publicKeyProviders.flatMap((each, n) => publicationsOf(each, signers[n]?.jwk)))
  const env = {
    ...(await publish(t, publications)),
    TICKETGATE_ISSUERS_FILE: issuersFile(t, publicKeyProviders),
    TICKETGATE_JWT_SECRET: undefined,
  }
  const server = await startServer(t, { env })
  await untilReady(server)
  for (const [index, provider] of publicKeyProviders.entries()) {
    await t.test(provider.heading, async t => {
      const sign = signers[index]?.sign as Sign
      const token = await sign(provider.claims)
      await opens(t, server, provider, await take(server, token))
      await opens(t, server, provider, await postJson(server.url, '/ws_ticket', { token }))
      await isRefused(t, server, provider, sign)
      const other = signers[(index + 1) % signers.length]?.sign as Sign
      const mixedUp = await take(server, await other(provider.claims, `key-${index}`))
      isProblem(t, mixedUp, '401 token_invalid', 'signed with the key of another provider')
      if (provider.heading === 'Keycloak')
        t.ok(token.length > 9000, `the Keycloak token is large: ${token.length} bytes`)
    })
  }
})

t.test('token explain prints what the document shows', async t => {
  const [keycloak] = publicKeyProviders as readonly [ProviderTokens]
  const { sign, jwk } = await signing(keycloak, 'XLdaWdWgz84tRJJJvAOV')
  const env = {
    ...(await publish(t, new Map(publicationsOf(keycloak, jwk)))),
    TICKETGATE_ISSUERS_FILE: issuersFile(t, [keycloak]),
    TICKETGATE_STATE_DIR: temporaryDirectory(t),
  }
  const token = await sign({ ...keycloak.claims, ...keycloak.refused.changes })
  let explained: Run
  // On a busy machine, fetching the keys can time out.
  do explained = await run(['token', 'explain'], env, token)
  while (explained.stderr.includes('no answer within'))
  const { code, stdout } = explained
  t.equal(code, 1)
  const shown = codeBlocks(document, 'text').join('\n')
  const size = / \d+ bytes$/m
  t.equal(stdout.trimEnd().replace(size, ' … bytes'), shown.replace(size, ' … bytes'))
})

t.test('tokens of issuers with a shared secret are accepted, also during its rotation', async t => {
  const secrets = {
    'supabase-jwt-secret': 'super-secret-jwt-token-with-at-least-32-characters-long',
    'shop-new': 'identity-tests-share-Vq3n8Zt1Lw6Xc9Rb2Md5Kf7',
    'shop-old': 'identity-tests-share-Bz4k7Tq9Xe2Lm5Yw8Ra3Hc6',
  }
  const server = await startServer(t, {
    env: {
      TICKETGATE_ISSUERS_FILE: issuersFile(t, secretProviders, secrets),
      TICKETGATE_JWT_SECRET: undefined,
    },
  })
  for (const provider of secretProviders) {
    const names =
      provider.heading === 'Your own back end'
        ? (['shop-new', 'shop-old'] as const)
        : (['supabase-jwt-secret'] as const)
    for (const name of names) {
      const { sign } = await signing(provider, '', secrets[name])
      await opens(t, server, provider, await take(server, await sign(provider.claims)))
      await isRefused(t, server, provider, sign)
    }
    const { sign } = await signing(provider, '', `${secrets['shop-new']}1`)
    isProblem(t, await take(server, await sign(provider.claims)), '401 token_invalid')
  }
})
