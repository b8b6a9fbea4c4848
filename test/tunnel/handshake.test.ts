import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import WebSocket, { WebSocketServer } from 'ws'
import { certificate, certificateKey } from '../support/certificate.js'
import { jsonOf, postJson, request, requestUpgrade } from '../support/http.js'
import { hasRetryAfter, isProblem } from '../support/problem.js'
import { RawConnection, upgradeText } from '../support/raw.js'
import { allowedOrigin, jwtSecret, startServer, temporaryDirectory } from '../support/server.js'
import { socketUrl } from '../support/socket-client.js'
import { mint, mintWith, tokenFor } from '../support/tokens.js'
import { listenTo, openThrough, startTunnels } from '../support/tunnel.js'
import { startUpstream } from '../support/upstream.js'

const upstream = await startUpstream(t, { handleProtocols: offered => [...offered].at(-1) ?? false })
const base = `ws://127.0.0.1:${upstream.port}`
const server = await startTunnels(
  t,
  `/docs/*=${base}/upstream/, /app=${base}/app;channel=app, /none/*=${base};subprotocol=none, /fixed/*=${base};subprotocol=chat`,
)

const isLive = async (ticket: string): Promise<boolean> =>
  jsonOf(await postJson(server.url, '/ws_ticket/status', { ticket })).state === 'live'

/** Opens and closes a socket, and returns its handshake as the upstream server received it. */
const arrivalOf = async (path: string, options: Parameters<typeof openThrough>[2] = {}) => {
  const { socket } = await openThrough(server, path, options)
  const arrival = await upstream.next()
  socket.close()
  await arrival.closed
  return { ...arrival, protocol: socket.protocol }
}

t.test('the path and the query reach the upstream server, without the ticket', async t => {
  const cases = [
    ['/docs/room', '/upstream/room'],
    ['/docs/room?a=1&b=%20%2e', '/upstream/room?a=1&b=%20%2e'],
    ['/docs/', '/upstream/'],
    ["/docs/room?q='<x>", '/upstream/room?q=%27%3Cx%3E'],
    ['/app', '/app'],
    ['/app?ticketless=1&tickets=2', '/app?ticketless=1&tickets=2'],
    ['/app?a=1&%74icket=another&t%69cket&%ticket=2&b', '/app?a=1&%ticket=2&b'],
    ['/none/a', '/a'],
  ] as const
  for (const [path, expected] of cases) t.equal((await arrivalOf(path)).request.url, expected, path)
})

t.test('the user is passed on in headers that clients cannot set', async t => {
  const expires = Math.floor(Date.now() / 1000) + 500
  const { ticket } = await mintWith(server.url, tokenFor('Zoë, 100%', { exp: expires, sid: 'login-1' }))
  const { request } = await arrivalOf('/docs/room', {
    ticket,
    origin: allowedOrigin,
    headers: {
      cookie: 'theme=dark',
      'user-agent': 'test/1',
      'accept-language': 'de',
      traceparent: '00-1-2-01',
      authorization: 'Bearer of-the-client',
      'x-custom': 'no',
      'x-ticket-subject': 'root',
      'X-TICKET-SESSION': 'root',
      x_ticket_subject: 'root',
      'x.ticket.subject': 'root',
      'x-ticket-claim-role': 'admin',
      'x-forwarded-for': '6.6.6.6',
      'x-forwarded-proto': 'https',
      'x-forwarded-host': 'evil.example',
      x_forwarded_for: '6.6.6.6',
      forwarded: 'for=6.6.6.6',
      'x-request-id': 'of-the-client',
      x_request_id: 'of-the-client',
    },
  })
  const { host, 'sec-websocket-key': key, 'x-request-id': id, ...headers } = request.headers
  t.strictSame(headers, {
    origin: allowedOrigin,
    cookie: 'theme=dark',
    'user-agent': 'test/1',
    'accept-language': 'de',
    traceparent: '00-1-2-01',
    'x-ticket-subject': 'Zo%C3%AB%2C%20100%25',
    'x-ticket-channel': 'room',
    'x-ticket-session': 'login-1',
    'x-ticket-expires': String(expires),
    'x-forwarded-for': '127.0.0.1',
    'x-forwarded-proto': 'http',
    'x-forwarded-host': new URL(server.url).host,
    'sec-websocket-version': '13',
    connection: 'Upgrade',
    upgrade: 'websocket',
  })
  t.equal(host, `127.0.0.1:${upstream.port}`)
  t.match(id, /^[0-9a-f-]{36}$/, 'the request id is made by the gate')
  t.ok(key)
})

t.test('carried claims are passed on in headers too', async t => {
  const file = join(temporaryDirectory(t), 'issuers.yaml')
  writeFileSync(`${file}.secret`, jwtSecret)
  writeFileSync(
    file,
    `- {issuer: shop, secretFile: ${file}.secret, audiences: [gate], ticketClaims: [role, org_id]}\n`,
  )
  const gate = await startTunnels(t, `/docs/*=${base}`, { TICKETGATE_ISSUERS_FILE: file })
  const claims = {
    iss: 'shop',
    aud: 'gate',
    role: ['admin', 'a b'],
    org_id: 5,
    channels: { subscribe: ['*'] },
  }
  const { ticket } = await mintWith(gate.url, tokenFor('maggie', claims))
  const { socket } = await openThrough(gate, '/docs/claims', {
    ticket,
    headers: { 'x-ticket-claim-role': 'root', 'x-ticket-claim-org_id': '1' },
  })
  const { request } = await upstream.next()
  t.equal(request.headers['x-ticket-claim-role'], 'admin,a%20b')
  t.equal(request.headers['x-ticket-claim-org-id'], '5')
  t.notOk('x-ticket-claim-org_id' in request.headers)
  socket.terminate()
})

t.test('the bytes of a client’s header field arrive unchanged', async t => {
  const connection = await RawConnection.connect(server.url)
  connection.write(upgradeText(`/docs/a?ticket=${await mint(server.url)}`, { cookie: 'name=Zoë; a=b' }))
  const { request } = await upstream.next()
  t.equal(Buffer.from(request.headers.cookie ?? '', 'latin1').toString(), 'name=Zoë; a=b')
  connection.destroy()
})

t.test('an invalid Host is not passed on and does no damage', async t => {
  const gate = await startTunnels(t, `/docs/*=${base}`)
  for (const [host, forwarded] of [
    ['gate.test', 'gate.test'],
    ['xłx', undefined],
    ['a b', undefined],
    ['', undefined],
  ] as const) {
    const connection = await RawConnection.connect(gate.url)
    const text = upgradeText(`/docs/a?ticket=${await mint(gate.url)}`)
    connection.write(text.replace('Host: gate.test', `Host: ${host}`))
    t.equal((await connection.response())?.status, 101, host)
    const { request } = await upstream.next()
    t.equal(request.headers['x-forwarded-host'], forwarded, host)
    connection.destroy()
  }
  t.equal((await request(gate.url, '/healthz')).status, 200)
})

t.test('the ticket is not passed on as a subprotocol, and the negotiated one is enforced', async t => {
  const ticket = async (): Promise<string> => `ticket.${await mint(server.url)}`
  const cases = [
    ['the only one offered', '/docs/a', ['chat', await ticket()], 'chat'],
    ['the configured one', '/fixed/a', [await ticket(), 'chat'], 'chat'],
  ] as const
  for (const [name, path, protocols, expected] of cases) {
    const { socket } = await openWithProtocols(path, protocols)
    const { request } = await upstream.next()
    t.equal(socket.protocol, expected, name)
    t.equal(
      request.headers['sec-websocket-protocol'],
      'chat',
      `${name}: the upstream server is offered only this one`,
    )
    socket.terminate()
  }
  for (const [name, path, protocols] of [
    ['the upstream server chooses one that was not negotiated', '/docs/a', ['one', 'two', await ticket()]],
    [
      'the upstream server chooses another than the configured one',
      '/fixed/a',
      ['chat', 'two', await ticket()],
    ],
  ] as const) {
    const { closed } = await openWithProtocols(path, protocols)
    t.strictSame(await closed, { code: 1002, reason: 'subprotocol_mismatch' }, name)
    await (await upstream.next()).closed
  }
  await server.logged(/"tunnel":"\/docs\/\*".*"chosen":"two","told":"one"/)
  isProblem(
    t,
    await requestUpgrade(server.url, '/fixed/a', {
      headers: { 'sec-websocket-protocol': `other, ${await ticket()}` },
    }),
    '400 subprotocol_missing',
  )
  isProblem(
    t,
    await requestUpgrade(server.url, '/docs/a', { headers: { 'sec-websocket-protocol': await ticket() } }),
    '400 subprotocol_missing',
  )
})

/** Opens a socket whose ticket is among its subprotocols. */
const openWithProtocols = async (path: string, protocols: readonly string[]) => {
  const through = listenTo(new WebSocket(socketUrl(server.url, path), [...protocols]))
  await new Promise(resolve => through.socket.once('open', resolve))
  return through
}

t.test('an upstream server that ignores subprotocols gets the negotiated one', async t => {
  const silent = await startUpstream(t, { handleProtocols: () => false })
  const gate = await startTunnels(t, `/a/*=ws://127.0.0.1:${silent.port}`)
  const { socket, hears } = await openThrough(gate, '/a/b', { protocols: ['chat'] })
  t.equal(socket.protocol, 'chat')
  const arrival = await silent.next()
  arrival.socket.send('hello')
  t.strictSame(await hears(1), ['text hello'])
  socket.close()
  await arrival.closed
})

t.test('refused handshakes never reach the upstream server, and do not spend their tickets', async t => {
  const good = await mint(server.url)
  const bound = await mint(server.url, 'maggie', 'other')
  const narrow = await mintWith(server.url, tokenFor('theo', { channels: { subscribe: ['app'] } }))
  const query = `?ticket=${good}`
  const cases = [
    ['no ticket', '/docs/a', '401 ticket_missing'],
    ['two tickets', `/docs/a${query}&ticket=x`, '400 ticket_ambiguous'],
    ['a forged ticket', '/docs/a?ticket=AQAB', '401 ticket_invalid'],
    ['a token', `/docs/a?token=${tokenFor('maggie')}`, '401 token_in_url'],
    ['a ticket of another channel', `/docs/a?ticket=${bound}`, '403 channel_forbidden'],
    ['no right on the channel', `/docs/a?ticket=${narrow.ticket}`, '403 channel_forbidden'],
    ['a parent segment', `/docs/../app${query}`, '404 not_found'],
    ['a parent segment at the end', `/docs/a/..${query}`, '404 not_found'],
    ['a dot segment', `/docs/./a${query}`, '404 not_found'],
    ['an encoded parent segment', `/docs/%2e%2e/app${query}`, '404 not_found'],
    ['an encoded slash', `/docs/a%2fb${query}`, '404 not_found'],
    ['an empty segment', `/docs//a${query}`, '404 not_found'],
    ['a backslash', `/docs/a\\b${query}`, '404 not_found'],
    ['a path that is too long', `/docs/${'a'.repeat(1025)}${query}`, '404 not_found'],
    ['a rest that is not a channel name', `/docs/a/b${query}`, '400 channel_invalid'],
    ['a segment after an exact path', `/app/x${query}`, '404 not_found'],
    ['a prefix without its slash', `/docs${query}`, '404 not_found'],
  ] as const
  for (const [name, path, expected] of cases)
    isProblem(t, await requestUpgrade(server.url, path), expected, name)
  isProblem(
    t,
    await requestUpgrade(server.url, `/docs/a${query}`, { headers: { origin: 'https://evil.example' } }),
    '403 origin_forbidden',
  )
  isProblem(t, await request(server.url, `/docs/a${query}`), '426 upgrade_required', 'a plain request')
  isProblem(t, await request(server.url, '/app', { method: 'POST' }), '405 method_not_allowed')
  t.ok(await isLive(good))
  t.ok(await isLive(narrow.ticket))
  t.equal(upstream.size, 0)
  const { request: arrived } = await arrivalOf('/app', { ticket: narrow.ticket })
  t.equal(arrived.headers['x-ticket-channel'], 'app', 'this is the first handshake to arrive')
  isProblem(t, await requestUpgrade(server.url, `/app?ticket=${narrow.ticket}`), '401 ticket_used')
})

t.test('a draining gate opens no tunnels', async t => {
  const gate = await startTunnels(t, `/docs/*=${base}`, { TICKETGATE_DRAIN_SECONDS: '20' })
  const ticket = await mint(gate.url)
  const { closed } = await openThrough(gate, '/docs/a')
  await upstream.next()
  gate.signal('SIGTERM')
  while ((await request(gate.url, '/readyz')).status !== 503);
  const reply = await requestUpgrade(gate.url, `/docs/b?ticket=${ticket}`)
  isProblem(t, reply, '503 draining')
  hasRetryAfter(t, reply, 'draining')
  t.equal((await closed).code, 1012)
})

const expectEcho = async (t: Test, tunnels: string, env = {}) => {
  const gate = await startServer(t, { env: { TICKETGATE_TUNNELS: tunnels, ...env } })
  const { socket, hears } = await openThrough(gate, '/a/b')
  socket.send('hello')
  t.strictSame(await hears(1), ['text hello'])
  socket.close()
}

t.test('the upstream server can use TLS or a Unix socket', async t => {
  const directory = temporaryDirectory(t)
  const secure = createSecureServer({ cert: certificate, key: certificateKey })
  const plain = createServer()
  for (const http of [secure, plain]) {
    new WebSocketServer({ server: http }).on('connection', socket =>
      socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary })),
    )
    t.teardown(() => http.close())
  }
  await once(secure.listen(0, '127.0.0.1'), 'listening')
  await once(plain.listen(`${directory}/a.sock`), 'listening')
  const address = secure.address()
  const port = typeof address === 'object' ? address?.port : 0
  writeFileSync(`${directory}/ca.pem`, certificate)
  await expectEcho(t, `/a/*=wss://localhost:${port}`, { NODE_EXTRA_CA_CERTS: `${directory}/ca.pem` })
  await expectEcho(t, `/a/*=wss://localhost:${port};ca-file=${directory}/ca.pem`)
  await expectEcho(t, `/a/*=ws+unix:${directory}/a.sock:/x`)
  const strict = await startTunnels(
    t,
    `/a/*=wss://localhost:${port}, /b/*=wss://localhost:${port};host=app.example.com;ca-file=${directory}/ca.pem`,
  )
  for (const [path, why] of [
    ['/a/b', 'an untrusted certificate is refused'],
    ['/b/b', 'a certificate for another name is refused'],
  ] as const)
    t.equal((await (await openThrough(strict, path)).closed).code, 1014, why)
})

t.test('host= sets the Host and the TLS server name of an upstream server', async t => {
  const directory = temporaryDirectory(t)
  writeFileSync(`${directory}/ca.pem`, certificate)
  const secure = createSecureServer({ cert: certificate, key: certificateKey })
  const heard: unknown[] = []
  new WebSocketServer({ server: secure }).on('connection', (socket, { headers, socket: peer }) => {
    heard.push([headers.host, (peer as TLSSocket).servername])
    socket.send('hello')
  })
  await once(secure.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => secure.close())
  const { port } = secure.address() as AddressInfo
  const gate = await startTunnels(
    t,
    `/plain/*=${base};host=app.example.com, /secure/*=wss://127.0.0.1:${port};host=localhost:8443;ca-file=${directory}/ca.pem`,
  )
  const plain = await openThrough(gate, '/plain/a', { headers: { host: 'gate.test' } })
  const { request } = await upstream.next()
  t.match(request.headers, { host: 'app.example.com', 'x-forwarded-host': 'gate.test' })
  plain.socket.terminate()
  const { socket, hears } = await openThrough(gate, '/secure/a')
  t.strictSame(await hears(1), ['text hello'])
  t.strictSame(heard, [['localhost:8443', 'localhost']], 'TLS gets the name as well')
  socket.terminate()
})

t.test('in a gate with tunnels, /verify reports only the sessions that the token names', async t => {
  const gate = await startTunnels(t, `/docs/*=${base}`, { TICKETGATE_VERIFY: 'on' })
  for (const [claims, session] of [
    [{ sid: 'login-1' }, 'login-1'],
    [{}, ''],
  ] as const) {
    const { ticket } = await mintWith(gate.url, tokenFor('maggie', claims))
    const { status, headers } = await request(gate.url, `/verify?ticket=${ticket}`)
    t.strictSame([status, headers['x-ticket-session']], [204, session])
  }
})
