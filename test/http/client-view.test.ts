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

t.test('our own origin, as the client sees it', async t => {
  const direct = await echo(t)
  const tls = await echo(t, { tls: true })
  const fixed = await echo(t, { publicUrl: 'https://public.test/base/' })
  const behind = await echo(t, { proxies: createTrustedProxies(['127.0.0.0/8']) })
  const forwarded = ['X-Forwarded-Proto: https', 'X-Forwarded-Host: front.test']
  const cases = [
    ['Host', direct, [host], 'http://gate.test'],
    ['Host with a port', direct, ['Host: gate.test:8080'], 'http://gate.test:8080'],
    ['the default port left out', direct, ['Host: gate.test:80'], 'http://gate.test'],
    ['capitals', direct, ['Host: GATE.test'], 'http://gate.test'],
    ['an address', direct, ['Host: [::1]:8080'], 'http://[::1]:8080'],
    ['over TLS', tls, ['Host: gate.test:443'], 'https://gate.test'],
    ['the public URL before all', fixed, [host, ...forwarded], 'https://public.test'],
    ['a stranger forwards nothing', direct, [host, ...forwarded], 'http://gate.test'],
    ['a proxy does', behind, [host, ...forwarded], 'https://front.test'],
    ['a proxy that says nothing', behind, [host], 'http://gate.test'],
    ['the scheme alone', behind, [host, 'X-Forwarded-Proto: https'], 'https://gate.test'],
    ['the last of a list', behind, [host, 'X-Forwarded-Host: evil.test, front.test'], 'http://front.test'],
    [
      'the last of two lines',
      behind,
      [host, 'X-Forwarded-Host: evil.test', 'X-Forwarded-Host: front.test'],
      'http://front.test',
    ],
    [
      'a scheme of WebSockets, as Traefik sends it',
      behind,
      [host, 'X-Forwarded-Proto: wss'],
      'https://gate.test',
    ],
    ['the same without TLS', behind, [host, 'X-Forwarded-Proto: ws'], 'http://gate.test'],
    ['a scheme in capitals', behind, [host, 'X-Forwarded-Proto: HTTPS'], 'https://gate.test'],
    ['both', behind, [host, 'X-Forwarded-Proto: WSS'], 'https://gate.test'],
    ['a host in capitals', behind, [host, 'X-Forwarded-Host: FRONT.test'], 'http://front.test'],
    ['the last scheme of a list', behind, [host, 'X-Forwarded-Proto: http, https'], 'https://gate.test'],
    [
      'over two proxies, what the outer one saw',
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
      'and not what the client wrote before it',
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
      'over two proxies of which the inner one replaces',
      behind,
      [host, 'X-Forwarded-For: 203.0.113.9, 127.0.0.2', 'X-Forwarded-Proto: https'],
      'https://gate.test',
    ],
    [
      'a client that poses as a proxy adds nothing',
      behind,
      [host, 'X-Forwarded-For: 127.0.0.2, 203.0.113.9', 'X-Forwarded-Proto: http, https'],
      'https://gate.test',
    ],
    ['an empty list', behind, [host, 'X-Forwarded-Proto:', 'X-Forwarded-Host: ,'], 'http://gate.test'],
    ['a name of an object', behind, [host, 'X-Forwarded-Proto: constructor'], ''],
    ['a scheme that is none of ours', behind, [host, 'X-Forwarded-Proto: javascript'], ''],
    ['a host with a path', direct, ['Host: gate.test/evil'], ''],
    ['a host with a user', direct, ['Host: user@gate.test'], ''],
    ['a host with a space', direct, ['Host: gate .test'], ''],
    ['a host with a quote', direct, ['Host: gate".test'], ''],
    ['a port beyond the last', direct, ['Host: gate.test:65536'], ''],
    ['an empty host', direct, ['Host:'], ''],
  ] as const
  for (const [name, base, fields, expected] of cases) {
    const seen = await echoOf<Seen>(base, get, fields)
    // uWS refuses a request without a host itself.
    if (typeof seen === 'number') t.ok(seen === 400 && expected === '', `${name}: refused by uWS`)
    else t.equal(seen.own, expected, name)
  }
})

t.test('the address of the client', async t => {
  const direct = await echo(t)
  const behind = await echo(t, { proxies: createTrustedProxies(['127.0.0.0/8', '10.0.0.0/8']) })
  const forwarded = (...lists: readonly string[]) => [host, ...lists.map(list => `X-Forwarded-For: ${list}`)]
  const cases = [
    ['the peer', direct, [host], '127.0.0.1'],
    ['a stranger forwards nothing', direct, forwarded('203.0.113.9'), '127.0.0.1'],
    ['a proxy does', behind, forwarded('203.0.113.9'), '203.0.113.9'],
    ['a proxy that says nothing', behind, [host], '127.0.0.1'],
    ['the last that is no proxy', behind, forwarded('1.1.1.1, 203.0.113.9, 10.0.0.1'), '203.0.113.9'],
    ['over several lines', behind, forwarded('1.1.1.1', '203.0.113.9, 10.0.0.2', '10.0.0.1'), '203.0.113.9'],
    ['the last of several lines', behind, forwarded('1.1.1.1', '203.0.113.9'), '203.0.113.9'],
  ] as const
  for (const [name, base, fields, expected] of cases)
    t.equal(((await echoOf<Seen>(base, get, fields)) as Seen).client, expected, name)
})
