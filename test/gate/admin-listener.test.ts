import t from 'tap'
import { bearer, jsonOf, request, requestUpgrade } from '../support/http.js'
import { isProblem } from '../support/problem.js'
import { serverHasRead } from '../support/raw.js'
import { adminKey, development, startServer } from '../support/server.js'
import { type Client, openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, mint } from '../support/tokens.js'

const server = await startServer(t)
const admin = (path: string) => request(server.admin, path, { headers: bearer(adminKey) })

t.test('the exact key is required', async t => {
  const cases = [
    ['no key', {}],
    ['a wrong key', bearer('wrong')],
    ['a wrong key of the same length', bearer('x'.repeat(adminKey.length))],
    ['its beginning', bearer(adminKey.slice(0, -1))],
    ['an extra letter', bearer(`${adminKey}x`)],
    ['another case', bearer(adminKey.toUpperCase())],
    ['empty', { authorization: 'Bearer ' }],
    ['as Basic', { authorization: `Basic ${Buffer.from(`admin:${adminKey}`).toString('base64')}` }],
    ['without a scheme', { authorization: adminKey }],
  ] as const
  for (const [name, headers] of cases)
    for (const path of ['/metrics', '/connections']) {
      const reply = await request(server.admin, path, { headers })
      isProblem(t, reply, '401 admin_key_invalid', `${name}, ${path}`)
      t.match(reply.headers['www-authenticate'], /^Bearer\b/, `${name}, ${path}: the challenge`)
    }
})

t.test('refused requests are counted', async t => {
  const counted = async () =>
    Number(
      /requests_refused_total\{code="admin_key_invalid"\} (\d+)/.exec((await admin('/metrics')).text)?.[1] ??
        0,
    )
  const before = await counted()
  for (let n = 0; n < 3; n++) await request(server.admin, '/metrics', { headers: bearer('wrong') })
  t.equal(await counted(), before + 3)
})

t.test('without a key, the listener refuses web pages', async t => {
  const { admin: open } = await startServer(t, { env: development })
  const disconnect = (headers: Readonly<Record<string, string>>) =>
    request(open, '/disconnect', { method: 'POST', headers, body: '{"user":"nobody"}' })
  t.equal((await disconnect({})).status, 200)
  for (const origin of ['https://evil.example', 'http://localhost:3000', 'null'])
    isProblem(t, await disconnect({ origin }), '403 origin_forbidden', origin)
})

t.test('without a key, the listener refuses foreign host names, against DNS rebinding', async t => {
  const { admin: open } = await startServer(t, { env: development })
  const ask = (path: string, host: string) =>
    request(open, path, { headers: { host }, ...(path === '/publish' ? { method: 'POST', body: '[]' } : {}) })
  const ours = [
    '127.0.0.1:8081',
    '127.0.0.1',
    '127.8.9.1:1',
    '[::1]:8081',
    '[::1]',
    'localhost:8081',
    'LocalHost',
  ]
  const others = [
    'evil.example:8081',
    'evil.example',
    'localhost.evil.example',
    'evil.example:127.0.0.1',
    '127.0.0.1.evil.example',
    '127.0.0.1:8081.evil.example',
    '[evil.example]',
    '::1',
    '127.1',
    '2130706433',
    ':8081',
  ]
  for (const path of ['/metrics', '/connections', '/publish']) {
    for (const host of ours) t.equal((await ask(path, host)).status, 200, `${path}, ${host}`)
    for (const host of others) isProblem(t, await ask(path, host), '403 origin_forbidden', `${path}, ${host}`)
  }
  const reply = await request(server.admin, '/metrics', {
    headers: { ...bearer(adminKey), host: 'gate.internal:8081' },
  })
  t.equal(reply.status, 200, 'with a key, any host name is accepted')
})

t.test('each listener has only its own routes and methods', async t => {
  isProblem(t, await admin('/nothing'), '404 not_found')
  isProblem(t, await admin('/auth'), '404 not_found', 'the admin listener has no /auth')
  const reply = await request(server.admin, '/metrics', { method: 'POST', headers: bearer(adminKey) })
  isProblem(t, reply, '405 method_not_allowed')
  t.match(reply.headers.allow, /\bGET\b/)
})

t.test('/metrics is Prometheus text, with refusals by code', async t => {
  await requestUpgrade(server.url, '/channel/?ticket=AAAA')
  const ticket = await mint(server.url)
  await requestUpgrade(server.url, gatePath(ticket))
  await requestUpgrade(server.url, gatePath(ticket))
  await request(server.url, '/ws_ticket')
  const reply = await admin('/metrics')
  t.equal(reply.status, 200)
  t.match(reply.headers['content-type'], /^text\/plain; version=0\.0\.4/)
  const sample =
    /^[a-zA-Z_:][a-zA-Z0-9_:]*(\{([a-zA-Z_][a-zA-Z0-9_]*="([^"\\\n]|\\.)*",?)*\})? (-?[0-9.e+-]+|[+-]Inf|NaN)( [0-9]+)?$/
  const broken = reply.text
    .split('\n')
    .filter(line => line !== '' && !/^# (HELP|TYPE) /.test(line) && !sample.test(line))
  t.strictSame(broken, [], 'every line is well formed')
  for (const code of ['ticket_invalid', 'ticket_used', 'token_missing'])
    t.match(reply.text, new RegExp(`^ticketgate_\\w+\\{[^}]*"${code}"[^}]*\\} [1-9]`, 'm'), code)
  t.match(reply.text, /^ticketgate_\w*replay\w*capacity\w* 1000000$/m, 'the capacity of the replay cache')
  t.match(reply.text, /^ticketgate_\w*replay\w*high\w* [1-9]/m, 'its high-water mark')
})

const numbers = (value: unknown): number[] =>
  typeof value === 'number'
    ? [value]
    : typeof value === 'object' && value !== null
      ? Object.values(value).flatMap(numbers)
      : []

t.test('/connections counts open sockets', async t => {
  const clients: Client[] = []
  for (let n = 0; n < 7; n++)
    clients.push((await openSession(socketUrl(server.url, gatePath(await mint(server.url))))).client)
  const full = await admin('/connections')
  t.equal(full.status, 200)
  t.ok(numbers(jsonOf(full)).includes(7), full.text)
  await Promise.all(clients.map(client => client.close()))
  await serverHasRead(server.url)
  const empty = await admin('/connections')
  t.notOk(numbers(jsonOf(empty)).includes(7), empty.text)
  t.ok(numbers(jsonOf(empty)).includes(0), empty.text)
})
