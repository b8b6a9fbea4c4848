import { App, us_socket_local_port } from 'uWebSockets.js'
import t, { type Test } from 'tap'
import { createTrustedProxies } from '../../src/http/address.js'
import { type ClientViewOptions, createClientView } from '../../src/http/client-view.js'
import { ForwardingWarnings } from '../../src/http/forwarding-warnings.js'
import { queryValues, takeHead } from '../../src/http/request.js'
import { createLog } from '../../src/telemetry/log.js'
import { RawConnection } from '../support/raw.js'

/** A uWS server that answers with what it was told. */
const echo = async (t: Test, options: Partial<ClientViewOptions> = {}): Promise<string> => {
  const clients = createClientView({
    proxies: createTrustedProxies([]),
    publicUrl: undefined,
    tls: false,
    warnings: new ForwardingWarnings(createLog('fatal')),
    ...options,
  })
  const app = App().any('/*', (res, req) => {
    const seen = {
      ...takeHead(req),
      own: clients.ownOrigin(res, req),
      client: [...clients.address(res, req)].join('.'),
    }
    // Closed after the answer, so that nothing of a request's body is read as another.
    res.writeHeader('connection', 'close').end(JSON.stringify(seen), true)
  })
  const port = await new Promise<number>(resolve => {
    app.listen('127.0.0.1', 0, socket => resolve(socket ? us_socket_local_port(socket) : 0))
  })
  t.teardown(() => app.close())
  return `http://127.0.0.1:${port}`
}

/** Sends lines as they are, and takes what the server saw; its status where that is no 200. */
const tell = async (
  base: string,
  line: string,
  fields: readonly string[],
  body = '',
): Promise<Seen | number> => {
  const connection = await RawConnection.connect(base)
  connection.write(`${[line, ...fields].join('\r\n')}\r\n\r\n${body}`)
  const response = await connection.response()
  connection.destroy()
  return response?.status === 200 ? (JSON.parse(response.text) as Seen) : (response?.status ?? 0)
}

type Seen = Readonly<
  Record<'query' | 'origin' | 'authorization' | 'contentType' | 'body' | 'own' | 'client', string>
>

const get = 'GET /path HTTP/1.1'
const host = 'Host: gate.test'

t.test('the head of a request', async t => {
  const base = await echo(t)
  const fields = [host, 'ORIGIN: https://a.test', 'Authorization: Bearer x', 'Content-Type: application/json']
  t.match(await tell(base, 'GET /path?a=%41&a=2 HTTP/1.1', fields), {
    query: 'a=%41&a=2',
    origin: 'https://a.test',
    authorization: 'Bearer x',
    contentType: '',
    body: 'none',
  })
  t.match(await tell(base, get, [host]), { query: '', origin: '', authorization: '', contentType: '' })
  t.match(await tell(base, 'GET /path? HTTP/1.1', [host]), { query: '' })
  const post = [...fields, 'Content-Length: 2']
  t.match(await tell(base, 'POST /path HTTP/1.1', post, '{}'), {
    contentType: 'application/json',
    body: 'present',
  })
})

t.test('how a request says where its body ends', async t => {
  const base = await echo(t)
  const chunked = 'Transfer-Encoding: chunked'
  const cases = [
    ['nothing said', [], '', 'none'],
    ['a length of 0', ['Content-Length: 0'], '', 'none'],
    ['a length', ['Content-Length: 2'], '{}', 'present'],
    ['chunks', [chunked], '0\r\n\r\n', 'present'],
    ['two lengths', ['Content-Length: 2', 'Content-Length: 3'], '{}', 'ambiguous'],
    ['two lengths that agree', ['Content-Length: 2', 'Content-Length: 2'], '{}', 'ambiguous'],
    ['a length of 0 and another', ['Content-Length: 0', 'Content-Length: 2'], '{}', 'ambiguous'],
    ['chunks, said twice', [chunked, chunked], '0\r\n\r\n', 'ambiguous'],
    ['a length and chunks', ['Content-Length: 2', chunked], '0\r\n\r\n', 'ambiguous'],
    ['chunks and a length', [chunked, 'Content-Length: 2'], '0\r\n\r\n', 'ambiguous'],
    ['an empty encoding and a length', ['Transfer-Encoding:', 'Content-Length: 2'], '{}', 'ambiguous'],
    ['another encoding', ['Transfer-Encoding: gzip'], '0\r\n\r\n', 'ambiguous'],
    ['an encoding before chunks', ['Transfer-Encoding: gzip, chunked'], '0\r\n\r\n', 'ambiguous'],
    ['chunks before an encoding', ['Transfer-Encoding: chunked, identity'], '0\r\n\r\n', 'ambiguous'],
    ['chunks in capitals', ['Transfer-Encoding: CHUNKED'], '0\r\n\r\n', 'present'],
    ['a length with a sign', ['Content-Length: +2'], '{}', 'ambiguous'],
    ['a negative length', ['Content-Length: -2'], '{}', 'ambiguous'],
    ['a list of lengths', ['Content-Length: 2, 2'], '{}', 'ambiguous'],
    ['a length in hexadecimal', ['Content-Length: 0x2'], '{}', 'ambiguous'],
    ['a length of 16 digits', ['Content-Length: 1000000000000000'], '{}', 'ambiguous'],
  ] as const
  for (const [name, fields, body, expected] of cases) {
    const seen = await tell(base, 'POST /path HTTP/1.1', [host, ...fields], body)
    // uWS refuses some of these shapes itself, which is as good.
    if (typeof seen === 'number')
      t.ok(seen === 400 && expected === 'ambiguous', `${name}: refused by uWS (${seen})`)
    else t.equal(seen.body, expected, name)
  }
})

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
    const seen = await tell(base, get, fields)
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
    t.equal(((await tell(base, get, fields)) as Seen).client, expected, name)
})

t.test('raw values of a query', async t => {
  const cases = [
    ['none', '', []],
    ['one', 'ticket=a', ['a']],
    ['two', 'ticket=a&ticket=b', ['a', 'b']],
    ['two alike', 'ticket=a&x=1&ticket=a', ['a', 'a']],
    ['empty', 'ticket=', ['']],
    ['without =', 'ticket', ['']],
    ['with more than one =', 'ticket=a=b==', ['a=b==']],
    ['undecoded', 'ticket=%41+b', ['%41+b']],
    ['a name in percent-encoding is another', 'tick%65t=a', []],
    ['a longer name', 'tickets=a&xticket=b&ticket[]=c', []],
    ['another case', 'Ticket=a&TICKET=b', []],
    ['a semicolon does not separate', 'x=1;ticket=a', []],
    ['empty pairs', '&&ticket=a&&', ['a']],
    ['a value that looks like a name', 'x=ticket=a', []],
    ['a second question mark', '?ticket=a', []],
  ] as const
  for (const [name, query, expected] of cases) t.strictSame(queryValues(query, 'ticket'), expected, name)
})
