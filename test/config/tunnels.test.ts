import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { resolveConfig } from '../../src/config/resolve.js'
import { StartupError } from '../../src/errors.js'
import { certificate } from '../support/certificate.js'
import { temporaryDirectory } from '../support/fixtures.js'

const url = 'ws://127.0.0.1:4000/graphql'
const resolved = (text: string) => resolveConfig({ env: { TICKETGATE_TUNNELS: text } }).tunnels
const given = (tunnels: unknown) => resolveConfig({ env: {}, options: { tunnels } as object }).tunnels

/** Why a start with this option is refused. */
function problemOf(resolve: () => unknown): string {
  try {
    resolve()
    return ''
  } catch (error) {
    if (error instanceof StartupError && error.code === 'config_invalid') return error.message
    throw error
  }
}

t.test('tunnels are read from text', async t => {
  t.strictSame(resolved(''), [])
  t.strictSame(resolved(`/graphql=${url};channel=graph`), [{ path: '/graphql', url, channel: 'graph' }])
  t.strictSame(resolved('/docs/*=wss://docs.internal, /socket.io/=ws://[::1]:3000/socket.io/; channel='), [
    { path: '/docs/*', url: 'wss://docs.internal/' },
    { path: '/socket.io/', url: 'ws://[::1]:3000/socket.io/', channel: '' },
  ])
  t.strictSame(
    resolved(
      '/a/*=ws+unix:/run/chat.sock:/chat;subprotocol=graphql-transport-ws;message-rate=5/1;max-message-bytes=65536',
    ),
    [
      {
        path: '/a/*',
        url: 'ws+unix:/run/chat.sock:/chat',
        subprotocol: 'graphql-transport-ws',
        messageRate: { count: 5, seconds: 1 },
        maxMessageBytes: 65_536,
      },
    ],
  )
  t.strictSame(resolved(`/a/*=${url};message-rate=off`)[0]?.messageRate, 'off')
  t.strictSame(resolved(`/a/*=${url};upstream-compression=on`), [
    { path: '/a/*', url, upstreamCompression: 'on' },
  ])
  const caFile = join(temporaryDirectory(t), 'ca.pem')
  writeFileSync(caFile, certificate)
  t.strictSame(resolved(`/a/*=wss://10.0.0.1;host=app.example.com:8443;ca-file=${caFile}`), [
    { path: '/a/*', url: 'wss://10.0.0.1/', host: 'app.example.com:8443', caFile },
  ])
})

t.test('tunnels are read from objects', async t => {
  t.strictSame(
    given([
      {
        path: '/graphql',
        url,
        channel: 'graph',
        messageRate: { count: 5, seconds: 1 },
        maxMessageBytes: 2048,
      },
      `/docs/*=${url};message-rate=off`,
      { path: '/more/*', url, messageRate: 'off', subprotocol: undefined, upstreamCompression: 'off' },
    ]),
    [
      {
        path: '/graphql',
        url,
        channel: 'graph',
        messageRate: { count: 5, seconds: 1 },
        maxMessageBytes: 2048,
      },
      { path: '/docs/*', url, messageRate: 'off' },
      { path: '/more/*', url, messageRate: 'off', upstreamCompression: 'off' },
    ],
  )
  t.match(
    problemOf(() => given([{ path: '/a/*' }])),
    /tunnels: is of the wrong type/,
  )
  t.match(
    problemOf(() => given([5])),
    /tunnels: is of the wrong type/,
  )
  t.match(
    problemOf(() => given([{ path: '/a/*', url, channel: ['a'] }])),
    /tunnels: is of the wrong type/,
  )
  t.match(
    problemOf(() => given([{ path: '/a/*', url, rate: '5/1' }])),
    /tunnels: tunnel 1: unknown setting "rate"/,
  )
})

/** Expects each text to be refused with this problem, without the secrets in it. */
const refuses = (
  t: Test,
  cases: readonly (readonly [name: string, text: string, problem: string])[],
): void => {
  for (const [name, text, problem] of cases) {
    const found = problemOf(() => resolved(text))
    t.equal(found.slice(0, 20 + problem.length), `TICKETGATE_TUNNELS: ${problem}`, name)
    t.notMatch(found, 'hidden')
  }
}

t.test('invalid paths are refused', async t => {
  refuses(t, [
    ['a path only', '/docs/*', 'tunnel 1: "/docs/*" is not a path and a URL'],
    ['a URL only', `${url}`, 'tunnel 1: "ws://127.0.0.1:4000/graphql" is not a path and a URL'],
    ['a mistake in the second tunnel', `/a/*=${url},docs=${url}`, 'tunnel 2: "docs" is not a path'],
    ['a path with ..', `/a/../b=${url};channel=x`, 'tunnel 1: "/a/../b" is not a path'],
    ['percent-encoding', `/a%2f/*=${url}`, 'tunnel 1: "/a%2f/*" is not a path'],
    ['a parameter, as uWS would read it', `/:name=${url};channel=x`, 'tunnel 1: "/:name" is not a path'],
    ['the path of everything', `/*=${url}`, 'tunnel 1: "/*" is not a path'],
    ['the path of the channels', `/channel/*=${url}`, 'tunnel 1: "/channel/*" is a path of the gate itself'],
    [
      'the path of a channel',
      `/channel/a=${url};channel=a`,
      'tunnel 1: "/channel/a" is a path of the gate itself',
    ],
    [
      'the path of a route',
      `/ws_ticket=${url};channel=a`,
      'tunnel 1: "/ws_ticket" is a path of the gate itself',
    ],
    ['a path under a route', `/auth/*=${url}`, 'tunnel 1: "/auth/*" is a path of the gate itself'],
    ['the path of the console', `/console/*=${url}`, 'tunnel 1: "/console/*" is a path of the gate itself'],
    [
      'one path given twice',
      `/a/*=${url},/a/*=${url}`,
      'tunnel 2: "/a/*" is the path of another one as well',
    ],
    [
      'too many tunnels',
      Array.from({ length: 65 }, (_, n) => `/a${n}/*=${url}`).join(),
      'has 65 tunnels: give 64 at most',
    ],
  ])
})

t.test('invalid upstream URLs are refused', async t => {
  refuses(t, [
    ['another scheme', '/a/*=http://127.0.0.1', 'tunnel 1: is not followed by the URL of a WebSocket server'],
    [
      'a password',
      '/a/*=ws://me:hidden@127.0.0.1',
      'tunnel 1: its URL has a query, fragment, user or password',
    ],
    [
      'a query',
      '/a/*=ws://127.0.0.1/?key=hidden',
      'tunnel 1: its URL has a query, fragment, user or password',
    ],
    [
      'a socket without a path',
      '/a/*=ws+unix:/run/a.sock',
      'tunnel 1: its URL does not name a Unix socket and a path',
    ],
    [
      'a socket on a host',
      '/a/*=ws+unix://run/a.sock:/',
      'tunnel 1: its URL does not name a Unix socket and a path',
    ],
  ])
})

t.test('invalid settings are refused', async t => {
  refuses(t, [
    ['not a host', `/docs/*=${url};host=a b`, 'tunnel 1: host: "a b" is not a host'],
    [
      'a CA without TLS',
      `/docs/*=${url};ca-file=/ca.pem`,
      'tunnel 1: ca-file: is for upstream servers TLS only',
    ],
    [
      'an unknown compression',
      `/docs/*=${url};upstream-compression=shared`,
      'tunnel 1: upstream-compression: "shared" is neither on nor off',
    ],
    ['a missing CA file', '/docs/*=wss://a;ca-file=/none', 'tunnel 1: ca-file: cannot read /none'],
    [
      'a file that holds no CA',
      '/docs/*=wss://a;ca-file=/etc/hostname',
      'tunnel 1: ca-file: "/etc/hostname" has no certificate',
    ],
    ['no channel', `/graphql=${url}`, 'tunnel 1: names no channel'],
    ['not a channel name', `/a/*=${url};channel=a/b`, 'tunnel 1: channel: "a/b" is not a channel name'],
    ['not a subprotocol', `/a/*=${url};subprotocol=a b`, 'tunnel 1: subprotocol: "a b" is not a subprotocol'],
    [
      'a ticket as subprotocol',
      `/a/*=${url};subprotocol=ticket.x`,
      'tunnel 1: subprotocol: "ticket.x" is not a subprotocol',
    ],
    ['not a rate', `/a/*=${url};message-rate=5`, 'tunnel 1: message-rate: "5" is not a rate'],
    [
      'too small a limit',
      `/a/*=${url};max-message-bytes=1`,
      'tunnel 1: max-message-bytes: "1" is out of range',
    ],
    ['an unknown setting', `/a/*=${url};chanel=a`, 'tunnel 1: unknown setting "chanel"'],
    [
      'the name of an inherited member',
      `/a/*=${url};constructor=a`,
      'tunnel 1: unknown setting "constructor"',
    ],
    ['a setting given twice', `/a/*=${url};channel=a;channel=b`, 'tunnel 1: channel is given twice'],
  ])
})

t.test('header fields that the gate sets itself, or similar ones, cannot be taken from clients', async t => {
  const fields = (text: string) => resolveConfig({ env: { TICKETGATE_TUNNEL_HEADERS: text } }).tunnelHeaders
  t.strictSame(fields('Cookie, X-Tenant'), ['cookie', 'x-tenant'])
  t.strictSame(fields(''), ['cookie', 'user-agent', 'accept-language', 'origin', 'traceparent'])
  for (const name of [
    'x-ticket-subject',
    'X_Ticket_Subject',
    'x.ticket.claim.role',
    'X-Forwarded-For',
    'x_forwarded_host',
    'Forwarded',
    'x-request_id',
    'Authorization',
    'Host',
    'Sec-WebSocket-Key',
    'connection',
    'transfer_encoding',
    'Proxy-Authorization',
  ])
    t.match(
      problemOf(() => fields(`cookie,${name}`)),
      `"${name}" is a field that the gate writes itself`,
      name,
    )
  t.match(
    problemOf(() => fields('a b')),
    '"a b" is not the name of a header field',
  )
})
