import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { startEgressProxy } from '../support/egress-proxy.js'
import { bearer, request } from '../support/http.js'
import { keysFetched } from '../support/nodes.js'
import { jwks, newKey, signedBy, startProvider } from '../support/provider.js'
import { providerCertificate, providerCertificateKey } from '../support/provider-certificate.js'
import { type Environment, runServe, startServer, temporaryDirectory } from '../support/server.js'

const key = newKey('EdDSA', 'first')
const claims = { iss: 'https://id.example', aud: 'gate' }

/** A provider with TLS for https://id.example, which only the proxy can reach. */
const startTlsProvider = async (t: Test): Promise<number> => {
  const server = createTlsServer({ cert: providerCertificate, key: providerCertificateKey }, (req, res) =>
    jwks(key)(res, req),
  ).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return (server.address() as AddressInfo).port
}

const environment = (t: Test, env: Environment): Environment => {
  const file = join(temporaryDirectory(t), 'ca.pem')
  writeFileSync(file, providerCertificate)
  return {
    NODE_EXTRA_CA_CERTS: file,
    TICKETGATE_JWKS_URL: 'https://id.example/keys',
    TICKETGATE_JWT_ISSUER: claims.iss,
    TICKETGATE_JWT_AUDIENCE: claims.aud,
    TICKETGATE_JWT_SECRET: undefined,
    ...env,
  }
}

const token = (): string => signedBy(key, claims)
const takeTicket = (url: string) => request(url, '/ws_ticket', { headers: bearer(token()) })

t.test('keys are fetched through the proxy of HTTPS_PROXY', async t => {
  for (const name of ['HTTPS_PROXY', 'https_proxy']) {
    const proxy = await startEgressProxy(t, await startTlsProvider(t))
    const server = await startServer(t, {
      env: environment(t, { [name]: `http://maggie:s%40crum@127.0.0.1:${proxy.port}` }),
    })
    await keysFetched(server)
    t.equal((await takeTicket(server.url)).status, 200, name)
    const credentials = Buffer.from('maggie:s@crum').toString('base64')
    t.strictSame([...new Set(proxy.asked)], [`id.example:443 Basic ${credentials}`])
    t.strictSame(await server.stop(), { code: 0, signal: null })
    t.notMatch(server.output(), /s%40crum|s@crum/)
  }
})

t.test('NO_PROXY exempts a host, and the log hints at the proxy if it cannot be reached', async t => {
  const proxy = await startEgressProxy(t, await startTlsProvider(t))
  const server = await startServer(t, {
    env: environment(t, {
      HTTPS_PROXY: `http://127.0.0.1:${proxy.port}`,
      NO_PROXY: 'other.example,id.example',
    }),
  })
  t.equal((await takeTicket(server.url)).status, 503)
  t.strictSame(proxy.asked, [])
  await server.logged('"hint":"HTTPS_PROXY set')
})

t.test('if the proxy refuses, the gate is not ready, and the log names the variable', async t => {
  for (const refusal of ['407 Proxy Authentication Required', '403 Forbidden']) {
    const proxy = await startEgressProxy(t, 0, refusal)
    const server = await startServer(t, {
      env: environment(t, { HTTPS_PROXY: `http://127.0.0.1:${proxy.port}` }),
    })
    t.equal((await request(server.url, '/readyz')).status, 503)
    await server.logged(new RegExp(`"reason":"[^"]*${refusal.slice(0, 3)}.*"hint":"HTTPS_PROXY set`))
    t.strictSame(await server.stop(), { code: 0, signal: null })
  }
})

t.test('a provider on this machine is fetched without a proxy', async t => {
  const proxy = await startEgressProxy(t, 0)
  const provider = await startProvider(t, jwks(key))
  const url = `http://127.0.0.1:${proxy.port}`
  const server = await startServer(t, {
    env: environment(t, { TICKETGATE_JWKS_URL: provider.url, HTTP_PROXY: url, HTTPS_PROXY: url }),
  })
  await keysFetched(server)
  t.equal((await takeTicket(server.url)).status, 200)
  t.strictSame(proxy.asked, [])
})

t.test('if a provider cannot be reached without a proxy, the log says what to set', async t => {
  const server = await startServer(t, { env: environment(t, {}) })
  await server.logged('"hint":"set HTTPS_PROXY if')
})

t.test('a variable that is not a proxy URL stops the start, without showing its password', async t => {
  for (const value of ['proxy.example.com:3128', 'socks5://me:sesame@proxy:1080', 'not a URL']) {
    const run = await runServe(t, environment(t, { HTTPS_PROXY: value }))
    t.equal(run.code, 1)
    t.match(run.stderr, /HTTPS_PROXY: is not an http or https URL: write http:\/\/proxy\.example\.com:3128/)
    t.notMatch(run.output, /sesame/)
  }
})
