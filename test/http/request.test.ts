import t from 'tap'
import { queryValues, type RequestHead } from '../../src/http/request.js'
import { echoOf, startEcho } from '../support/echo-server.js'

type Seen = Partial<RequestHead>

const get = 'GET /path HTTP/1.1'
const host = 'Host: gate.test'
const base = await startEcho(t, ({ head }) => ({ ...head, body: head.body, repeated: head.repeated }))

t.test('the head of a request is read', async t => {
  const fields = [host, 'ORIGIN: https://a.test', 'Authorization: Bearer x', 'Content-Type: application/json']
  t.match(await echoOf<Seen>(base, 'GET /path?a=%41&a=2 HTTP/1.1', fields), {
    method: 'get',
    path: '/path',
    query: 'a=%41&a=2',
    host: 'gate.test',
    origin: 'https://a.test',
    authorization: 'Bearer x',
    contentType: 'application/json',
    body: 'none',
  })
  t.match(await echoOf<Seen>(base, get, [host]), {
    query: '',
    origin: '',
    authorization: '',
    contentType: '',
  })
  t.match(await echoOf<Seen>(base, 'GET /path? HTTP/1.1', [host]), { query: '' })
})

t.test('how a body is framed is recognised, and refused if ambiguous', async t => {
  const chunked = 'Transfer-Encoding: chunked'
  const cases = [
    ['no framing', [], '', 'none'],
    ['a length of 0', ['Content-Length: 0'], '', 'none'],
    ['a length', ['Content-Length: 2'], '{}', 'length'],
    ['chunks', [chunked], '0\r\n\r\n', 'chunked'],
    ['chunks in capitals', ['Transfer-Encoding: CHUNKED'], '0\r\n\r\n', 'chunked'],
    ['two lengths', ['Content-Length: 2', 'Content-Length: 3'], '{}', 'ambiguous'],
    ['two lengths that agree', ['Content-Length: 2', 'Content-Length: 2'], '{}', 'ambiguous'],
    ['a length of 0 and another', ['Content-Length: 0', 'Content-Length: 2'], '{}', 'ambiguous'],
    ['an empty length', ['Content-Length:'], '', 'ambiguous'],
    ['an empty length and another', ['Content-Length:', 'Content-Length: 2'], '{}', 'ambiguous'],
    ['a length of spaces', ['Content-Length:  \t '], '', 'ambiguous'],
    ['an empty encoding', ['Transfer-Encoding:'], '', 'ambiguous'],
    ['an empty encoding and chunks', ['Transfer-Encoding:', chunked], '0\r\n\r\n', 'ambiguous'],
    ['an empty encoding and a length', ['Transfer-Encoding:', 'Content-Length: 2'], '{}', 'ambiguous'],
    ['an empty length and chunks', ['Content-Length:', chunked], '0\r\n\r\n', 'ambiguous'],
    ['both empty', ['Content-Length:', 'Transfer-Encoding:'], '', 'ambiguous'],
    ['chunked twice', [chunked, chunked], '0\r\n\r\n', 'ambiguous'],
    ['a length and chunks', ['Content-Length: 2', chunked], '0\r\n\r\n', 'ambiguous'],
    ['chunks and a length', [chunked, 'Content-Length: 2'], '0\r\n\r\n', 'ambiguous'],
    ['another encoding', ['Transfer-Encoding: gzip'], '0\r\n\r\n', 'ambiguous'],
    ['an encoding before chunks', ['Transfer-Encoding: gzip, chunked'], '0\r\n\r\n', 'ambiguous'],
    ['chunks before an encoding', ['Transfer-Encoding: chunked, identity'], '0\r\n\r\n', 'ambiguous'],
    ['a length with a sign', ['Content-Length: +2'], '{}', 'ambiguous'],
    ['a negative length', ['Content-Length: -2'], '{}', 'ambiguous'],
    ['a list of lengths', ['Content-Length: 2, 2'], '{}', 'ambiguous'],
    ['a length in hexadecimal', ['Content-Length: 0x2'], '{}', 'ambiguous'],
    ['a length of 16 digits', ['Content-Length: 1000000000000000'], '{}', 'ambiguous'],
    [
      'two lengths and two origins',
      ['Origin: a', 'Origin: b', 'Content-Length: 2', 'Content-Length: 2'],
      '{}',
      'ambiguous',
    ],
  ] as const
  for (const [name, fields, body, expected] of cases) {
    const seen = await echoOf<Seen>(base, 'POST /path HTTP/1.1', [host, ...fields], body)
    // uWS refuses some of these itself, which is fine.
    if (typeof seen === 'number')
      t.ok(seen === 400 && expected === 'ambiguous', `${name}: refused by uWS (${seen})`)
    else t.equal(seen.body, expected, name)
  }
})

t.test('a field that must be unique is reported if it is repeated', async t => {
  const names = [
    'origin',
    'authorization',
    'content-type',
    'upgrade',
    'sec-websocket-key',
    'sec-websocket-version',
  ]
  for (const name of names) {
    const seen = (await echoOf<Seen>(base, get, [host, `${name}: a`, 'X-Other: b', `${name}: a`])) as Seen
    t.equal(seen.repeated, name, name)
    const empty = (await echoOf<Seen>(base, get, [host, `${name}:`, `${name}: b`])) as Seen
    t.equal(empty.repeated, name, `${name}, the first one empty`)
    const once = (await echoOf<Seen>(base, get, [host, `${name}: a`])) as Seen
    t.equal(once.repeated, undefined, `${name}, once`)
  }
  t.equal(await echoOf(base, get, [host, host]), 400, 'Host is refused by uWS')
})

t.test('a list in several fields is read as one list', async t => {
  const fields = [
    'Connection: keep-alive',
    'Sec-WebSocket-Protocol: a, b',
    'X-Forwarded-For: 192.0.2.1',
    'connection: Upgrade',
    'Sec-WebSocket-Protocol: c',
    'X-Forwarded-For: 192.0.2.2',
  ]
  t.match(await echoOf<Seen>(base, get, [host, ...fields]), {
    connection: 'keep-alive,Upgrade',
    webSocketProtocol: 'a, b,c',
    forwardedFor: '192.0.2.1,192.0.2.2',
    repeated: undefined,
  })
})

t.test('original URIs from proxies are read unchanged', async t => {
  const fields = ['X-Original-URI: /a?x=1,2', 'X-Forwarded-Uri: /b', 'X-Original-URI: /c']
  t.match(await echoOf<Seen>(base, get, [host, ...fields]), { originalUris: ['/a?x=1,2', '/b', '/c'] })
})

t.test('query values are read raw', async t => {
  const cases = [
    ['none', '', []],
    ['one', 'ticket=a', ['a']],
    ['two', 'ticket=a&ticket=b', ['a', 'b']],
    ['two alike', 'ticket=a&x=1&ticket=a', ['a', 'a']],
    ['empty', 'ticket=', ['']],
    ['without =', 'ticket', ['']],
    ['with more than one =', 'ticket=a=b==', ['a=b==']],
    ['undecoded', 'ticket=%41+b', ['%41+b']],
    ['a percent-encoded name is a different one', 'tick%65t=a', []],
    ['a longer name', 'tickets=a&xticket=b&ticket[]=c', []],
    ['another case', 'Ticket=a&TICKET=b', []],
    ['a semicolon does not separate', 'x=1;ticket=a', []],
    ['empty pairs', '&&ticket=a&&', ['a']],
    ['a value that looks like a name', 'x=ticket=a', []],
    ['a second question mark', '?ticket=a', []],
  ] as const
  for (const [name, query, expected] of cases) t.strictSame(queryValues(query, 'ticket'), expected, name)
})
