import t from 'tap'
import { bearer, jsonOf, type Reply, request, upgradeHeaders } from '../support/http.js'
import { isProblem } from '../support/problem.js'
import { adminKey, allowedOrigin, startServer } from '../support/server.js'
import { tokenFor } from '../support/tokens.js'

const server = await startServer(t)

t.test('health and readiness are 200 once the server listens', async t => {
  t.equal((await request(server.url, '/healthz')).status, 200)
  t.equal((await request(server.url, '/readyz')).status, 200)
})

t.test('unknown routes are 404', async t => {
  for (const path of [
    '/nothing',
    '/auth/',
    '/auth/x',
    '/AUTH',
    '//auth',
    '/ws_ticket/',
    '/ws_ticket%2f',
    '/verify',
    '/metrics',
    '/connections',
    '/publish',
    '/.env',
    '/..%2f..%2fetc/passwd',
    '/channels',
    '/',
  ])
    for (const method of ['GET', 'POST']) {
      const reply = await request(server.url, path, { method })
      isProblem(t, reply, '404 not_found', `${method} ${path}`)
    }
})

t.test('HEAD is supported where GET has no effect (RFC 9110 section 9.3.2)', async t => {
  const shapeOf = ({ status, headers }: Reply) => ({
    status,
    headers: { ...headers, date: '', connection: '' },
  })
  const console = await startServer(t, { env: { TICKETGATE_CONSOLE: 'on' } })
  const cases = [
    [server.url, '/healthz', {}],
    [server.url, '/readyz', {}],
    [server.url, '/healthz', { origin: allowedOrigin }],
    [server.url, '/nothing', {}],
    [console.url, '/', {}],
    [server.admin, '/connections', bearer(adminKey)],
    [server.admin, '/connections', {}],
  ] as const
  for (const [base, path, headers] of cases) {
    const got = await request(base, path, { headers })
    const head = await request(base, path, { method: 'HEAD', headers })
    t.equal(head.text, '', path)
    t.strictSame(shapeOf(head), shapeOf(got), `${path}, ${got.status}: the same status and headers as GET`)
    t.equal(head.headers['content-length'], String(Buffer.byteLength(got.text)), path)
  }
  const metrics = await request(server.admin, '/metrics', { method: 'HEAD', headers: bearer(adminKey) })
  t.match(metrics, { status: 200, text: '' }, '/metrics')
  t.equal((await request(server.url, '/channel/', { method: 'HEAD' })).status, 426, 'a channel')
})

t.test('HEAD is refused where GET has an effect', async t => {
  const { url } = await startServer(t, { env: { TICKETGATE_VERIFY: 'on' } })
  for (const path of ['/auth', '/ws_ticket', '/verify']) {
    const reply = await request(url, path, { method: 'HEAD', headers: bearer(tokenFor('maggie')) })
    t.equal(reply.status, 405, path)
    t.match(reply.headers.allow, /^GET\b(?!.*HEAD)/, path)
    t.equal(reply.text, '', path)
  }
})

t.test('a query does not hide a route', async t => {
  t.equal((await request(server.url, '/healthz?x=1')).status, 200)
})

t.test('a wrong method is 405 with the allowed ones', async t => {
  const cases = [
    ['/auth', ['PUT', 'DELETE', 'PATCH'], ['GET', 'POST']],
    ['/ws_ticket', ['PUT', 'DELETE', 'PATCH'], ['GET', 'POST']],
    ['/healthz', ['POST', 'PUT', 'DELETE'], ['GET']],
    ['/readyz', ['POST', 'PUT', 'DELETE'], ['GET']],
    ['/channel/', ['POST', 'PUT', 'DELETE'], ['GET']],
    ['/channel/red', ['POST', 'PUT', 'DELETE'], ['GET']],
  ] as const
  for (const [path, wrong, right] of cases)
    for (const method of wrong) {
      const reply = await request(server.url, path, { method })
      isProblem(t, reply, '405 method_not_allowed', `${method} ${path}`)
      const allow = String(reply.headers.allow).split(/,\s*/)
      for (const expected of right)
        t.ok(allow.includes(expected), `${method} ${path} allows ${expected}: ${allow}`)
      t.notOk(allow.includes(method), `${method} ${path} does not allow ${method}`)
    }
})

t.test('OPTIONS without Origin lists the methods', async t => {
  for (const [path, allow] of [
    ['/auth', 'GET, POST, OPTIONS'],
    ['/ws_ticket', 'GET, POST, OPTIONS'],
    ['/healthz', 'GET, HEAD, OPTIONS'],
  ] as const) {
    const reply = await request(server.url, path, { method: 'OPTIONS' })
    t.match(reply, { status: 204, headers: { allow }, text: '' }, path)
    t.equal(reply.headers['access-control-allow-origin'], undefined, path)
  }
})

t.test('a plain GET of a channel is told to upgrade', async t => {
  for (const path of ['/channel/', '/channel/red', '/channel/?ticket=AAAA']) {
    const reply = await request(server.url, path)
    isProblem(t, reply, '426 upgrade_required', path)
    t.match(reply.headers.upgrade, /^websocket$/i, `${path}: Upgrade (RFC 9110 section 15.5.22)`)
    t.match(reply.headers.connection, /\bupgrade\b/, `${path}: Connection names it`)
  }
})

t.test('a refused upgrade says what is wrong (RFC 6455 section 4.2, RFC 9110 section 7.8)', async t => {
  const cases = [
    ['no key', { 'sec-websocket-key': [] }, '400 bad_request'],
    ['an empty key', { 'sec-websocket-key': '' }, '400 bad_request'],
    ['a short key', { 'sec-websocket-key': 'c2hvcnQ=' }, '400 bad_request'],
    ['a long key', { 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZSE=' }, '400 bad_request'],
    ['a key in base64url', { 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25j_Q==' }, '400 bad_request'],
    ['a key that is not base64', { 'sec-websocket-key': '!!!!!!!!!!!!!!!!!!!!!!==' }, '400 bad_request'],
    ['a key with unused bits set', { 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZR==' }, '400 bad_request'],
    ['no version', { 'sec-websocket-version': [] }, '426 upgrade_required'],
    ['another version', { 'sec-websocket-version': '8' }, '426 upgrade_required'],
    ['no Upgrade', { upgrade: [] }, '426 upgrade_required'],
    ['another protocol', { upgrade: 'h2c' }, '426 upgrade_required'],
    ['no Connection: Upgrade', { connection: 'keep-alive' }, '426 upgrade_required'],
  ] as const
  for (const [name, change, expected] of cases) {
    const reply = await request(server.url, '/channel/', { headers: { ...upgradeHeaders(), ...change } })
    isProblem(t, reply, expected, name)
    if (expected.startsWith('400')) {
      t.match(jsonOf(reply).detail, /Sec-WebSocket-Key/, name)
      t.equal(reply.headers['sec-websocket-version'], undefined, `${name}: no version is offered`)
    } else {
      t.match(reply.headers, { upgrade: 'websocket', 'sec-websocket-version': '13' }, name)
      t.match(reply.headers.connection, /\bupgrade\b/, name)
    }
  }
})
