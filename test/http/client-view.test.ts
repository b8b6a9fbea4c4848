import t, { type Test } from 'tap'
import { createTrustedProxies } from '../../src/http/address.js'
import { ClientView, type ClientViewOptions } from '../../src/http/client-view.js'
import { ForwardingWarnings } from '../../src/http/forwarding-warnings.js'
import { createLog } from '../../src/telemetry/log.js'
import { echoOf, startEcho } from '../support/echo-server.js'

/** A server that replies with the address that it sees as the client's. */
const echo = (t: Test, options: Partial<ClientViewOptions> = {}): Promise<string> => {
  const clients = new ClientView({
    proxies: createTrustedProxies([]),
    publicUrl: undefined,
    tls: false,
    isUnix: false,
    warnings: new ForwardingWarnings(createLog('fatal')),
    ...options,
  })
  return startEcho(t, exchange => ({
    own: clients.ownOrigin(exchange),
    client: [...clients.address(exchange)].join('.'),
  }))
}

type Seen = Readonly<Record<'own' | 'client', string>>

const get = 'GET /path HTTP/1.1'
const host = 'Host: gate.test'

/** Expects the server to see each of these heads as addressed to this origin. */
const sees = async (
  t: Test,
  cases: readonly (readonly [name: string, base: string, fields: readonly string[], expected: string])[],
): Promise<void> => {
  for (const [name, base, fields, expected] of cases) {
    const seen = await echoOf<Seen>(base, get, fields)
    // uWS refuses a request without a host itself.
    if (typeof seen === 'number') t.ok(seen === 400 && expected === '', `${name}: refused by uWS`)
    else t.equal(seen.own, expected, name)
  }
}

const loopbackProxy = { proxies: createTrustedProxies(['127.0.0.0/8']) }
const forwarded = ['X-Forwarded-Proto: https', 'X-Forwarded-Host: front.test']

t.test('our own origin comes from Host, or from the public URL', async t => {
  const direct = await echo(t)
  const tls = await echo(t, { tls: true })
  const fixed = await echo(t, { publicUrl: 'https://public.test/base/' })
  await sees(t, [
    ['Host', direct, [host], 'http://gate.test'],
    ['Host with a port', direct, ['Host: gate.test:8080'], 'http://gate.test:8080'],
    ['the default port left out', direct, ['Host: gate.test:80'], 'http://gate.test'],
    ['capitals', direct, ['Host: GATE.test'], 'http://gate.test'],
    ['an address', direct, ['Host: [::1]:8080'], 'http://[::1]:8080'],
    ['over TLS', tls, ['Host: gate.test:443'], 'https://gate.test'],
    ['the public URL wins over headers', fixed, [host, ...forwarded], 'https://public.test'],
    ['a host with a path', direct, ['Host: gate.test/evil'], ''],
    ['a host with a user', direct, ['Host: user@gate.test'], ''],
    ['a host with a space', direct, ['Host: gate .test'], ''],
    ['a host with a quote', direct, ['Host: gate".test'], ''],
    ['a port that is too high', direct, ['Host: gate.test:65536'], ''],
    ['an empty host', direct, ['Host:'], ''],
  ])
})

t.test('our own origin comes from the headers of a trusted proxy', async t => {
  const direct = await echo(t)
  const behind = await echo(t, loopbackProxy)
  await sees(t, [
    ['headers of an untrusted peer are ignored', direct, [host, ...forwarded], 'http://gate.test'],
    ['headers of a trusted proxy count', behind, [host, ...forwarded], 'https://front.test'],
    ['a proxy without headers', behind, [host], 'http://gate.test'],
    ['the scheme alone', behind, [host, 'X-Forwarded-Proto: https'], 'https://gate.test'],
    ['the last of a list', behind, [host, 'X-Forwarded-Host: evil.test, front.test'], 'http://front.test'],
    [
      'the last of two fields',
      behind,
      [host, 'X-Forwarded-Host: evil.test', 'X-Forwarded-Host: front.test'],
      'http://front.test',
    ],
    ['the scheme wss, as Traefik sends it', behind, [host, 'X-Forwarded-Proto: wss'], 'https://gate.test'],
    ['the scheme ws', behind, [host, 'X-Forwarded-Proto: ws'], 'http://gate.test'],
    ['a scheme in capitals', behind, [host, 'X-Forwarded-Proto: HTTPS'], 'https://gate.test'],
    ['wss in capitals', behind, [host, 'X-Forwarded-Proto: WSS'], 'https://gate.test'],
    ['a host in capitals', behind, [host, 'X-Forwarded-Host: FRONT.test'], 'http://front.test'],
    ['the last scheme of a list', behind, [host, 'X-Forwarded-Proto: http, https'], 'https://gate.test'],
    ['an empty list', behind, [host, 'X-Forwarded-Proto:', 'X-Forwarded-Host: ,'], 'http://gate.test'],
    ['the name of an inherited member', behind, [host, 'X-Forwarded-Proto: constructor'], ''],
    ['an unsupported scheme', behind, [host, 'X-Forwarded-Proto: javascript'], ''],
  ])
})

t.test('of several proxies, the outermost trusted one names our origin', async t => {
  const behind = await echo(t, loopbackProxy)
  await sees(t, [
    [
      'two proxies: the view of the outer one counts',
      behind,
      [
        host,
        'X-Forwarded-For: 203.0.113.9, 127.0.0.2',
        'X-Forwarded-Proto: https, http',
        'X-Forwarded-Host: front.test, inner.test',
      ],
      'https://front.test',
    ],
    [
      'two proxies: entries from the client are ignored',
      behind,
      [
        host,
        'X-Forwarded-For: 1.1.1.1, 203.0.113.9, 127.0.0.2',
        'X-Forwarded-Proto: http, https, http',
        'X-Forwarded-Host: evil.test, front.test, inner.test',
      ],
      'https://front.test',
    ],
    [
      'two proxies, of which the inner one replaces the scheme',
      behind,
      [host, 'X-Forwarded-For: 203.0.113.9, 127.0.0.2', 'X-Forwarded-Proto: https'],
      'https://gate.test',
    ],
    [
      'entries of a client that poses as a proxy are ignored',
      behind,
      [host, 'X-Forwarded-For: 127.0.0.2, 203.0.113.9', 'X-Forwarded-Proto: http, https'],
      'https://gate.test',
    ],
  ])
})

t.test('the address of the client comes from the connection, or from trusted proxies', async t => {
  const direct = await echo(t)
  const behind = await echo(t, { proxies: createTrustedProxies(['127.0.0.0/8', '10.0.0.0/8']) })
  const list = (...lists: readonly string[]) => [host, ...lists.map(each => `X-Forwarded-For: ${each}`)]
  const cases = [
    ['the peer', direct, [host], '127.0.0.1'],
    ['headers of an untrusted peer are ignored', direct, list('203.0.113.9'), '127.0.0.1'],
    ['headers of a trusted proxy count', behind, list('203.0.113.9'), '203.0.113.9'],
    ['a proxy without headers', behind, [host], '127.0.0.1'],
    ['the last address that is not a proxy', behind, list('1.1.1.1, 203.0.113.9, 10.0.0.1'), '203.0.113.9'],
    ['a list in several fields', behind, list('1.1.1.1', '203.0.113.9, 10.0.0.2', '10.0.0.1'), '203.0.113.9'],
    ['the last of several fields', behind, list('1.1.1.1', '203.0.113.9'), '203.0.113.9'],
  ] as const
  for (const [name, base, fields, expected] of cases)
    t.equal(((await echoOf<Seen>(base, get, fields)) as Seen).client, expected, name)
})
