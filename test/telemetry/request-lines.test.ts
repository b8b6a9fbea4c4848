import t, { type Test } from 'tap'
import { bearer, type Json, jsonOf, outcomeOf, postJson, request, requestUpgrade } from '../support/http.js'
import {
  adminKey,
  allowedOrigin,
  development,
  type ServerOptions,
  startServer,
  type TestServer,
} from '../support/server.js'
import { openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, mint, mintWith, tokenFor } from '../support/tokens.js'

const trace = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'

/** Waits for the only line with this message and code. */
async function lineOf(server: TestServer, msg: string, code?: string): Promise<Json> {
  const [line, another] = await server.log.entriesThat(
    entry => entry.msg === msg && (code === undefined || entry.code === code),
  )
  if (line === undefined || another !== undefined)
    throw new Error(`more than one line: ${JSON.stringify(another)}`)
  return line
}

const start = (t: Test, options: ServerOptions = {}) =>
  startServer(t, { users: { maggie: 'a long enough password' }, ...options })

t.test('a refused handshake is logged in one line with user, address and reason', async t => {
  const server = await start(t, { env: { TICKETGATE_TICKET_TTL_SECONDS: '1' } })
  const headers = { origin: allowedOrigin, 'x-request-id': 'a1-b2' }
  const once = gatePath(await mint(server.url, 'maggie', 'room'), 'room')
  t.equal((await requestUpgrade(server.url, once, { headers })).status, 101)
  t.equal(outcomeOf(await requestUpgrade(server.url, once, { headers })), '401 ticket_used')
  const used = await lineOf(server, 'handshake refused', 'ticket_used')
  t.match(used, {
    level: 'info',
    user: 'maggie',
    channel: 'room',
    address: '127.0.0.1',
    origin: allowedOrigin,
    request: 'a1-b2',
  })
  t.notOk('hint' in used)

  const late = gatePath(await mint(server.url))
  let outcome = ''
  while (outcome !== '401 ticket_expired') {
    const reply = await postJson(server.url, '/ws_ticket/status', { ticket: late.split('=')[1] })
    if (jsonOf(reply).state !== 'expired') continue
    outcome = outcomeOf(await requestUpgrade(server.url, late, { headers: { traceparent: trace } }))
  }
  t.match(
    await lineOf(server, 'handshake refused', 'ticket_expired'),
    { user: 'maggie', request: '4bf92f3577b34da6a3ce929d0e0e4736' },
    'a genuine ticket is logged with its user even if it has expired, and with the trace',
  )

  const forged = once.replace(/.$/, last => (last === 'A' ? 'B' : 'A'))
  await requestUpgrade(server.url, forged)
  const line = await lineOf(server, 'handshake refused', 'ticket_invalid')
  t.notOk('user' in line || 'session' in line, 'claims of a forged ticket are not logged')
})

t.test('a refused request is logged in one line, with details', async t => {
  const server = await start(t)
  await request(server.url, '/ws_ticket', { headers: bearer(tokenFor('maggie', { aud: 5 })) })
  t.match(await lineOf(server, 'request refused', 'token_invalid'), {
    level: 'info',
    reason: /./,
    route: '/ws_ticket',
    address: '127.0.0.1',
  })
  await request(server.url, '/a-secret-in-a-path')
  t.notOk('route' in (await lineOf(server, 'request refused', 'not_found')))
  await request(server.admin, '/metrics', { headers: bearer('wrong') })
  t.match(await lineOf(server, 'request refused', 'admin_key_invalid'), { address: '127.0.0.1' })
  await server.stop()
  t.notMatch(server.output(), 'a-secret-in-a-path')
})

t.test('logins, tickets, sockets and revocations are logged in one line each', async t => {
  const server = await start(t, { env: { TICKETGATE_LOG_LEVEL: 'debug' } })
  const headers = { 'x-request-id': 'r1', origin: allowedOrigin }
  const common = { origin: allowedOrigin, request: 'r1', address: '127.0.0.1' }
  const wrong = { user: 'maggie', pwd: 'wrong' }
  await postJson(server.url, '/auth', wrong, { headers })
  t.match(await lineOf(server, 'login refused'), { ...common, user: 'maggie', reason: 'wrong_password' })
  const reply = await postJson(
    server.url,
    '/auth',
    { user: 'maggie', pwd: 'a long enough password' },
    { headers },
  )
  t.match(await lineOf(server, 'login'), { level: 'info', ...common, user: 'maggie' })
  const token = String(jsonOf(reply).token)
  const { ticket } = await mintWith(server.url, token, 'room', { headers })
  t.match(await lineOf(server, 'ticket issued'), {
    level: 'debug',
    ...common,
    user: 'maggie',
    channel: 'room',
  })
  const { client } = await openSession(socketUrl(server.url, gatePath(ticket, 'room')), {
    origin: allowedOrigin,
  })
  t.match(await lineOf(server, 'handshake accepted'), {
    level: 'debug',
    user: 'maggie',
    channel: 'room',
    address: '127.0.0.1',
    origin: allowedOrigin,
  })
  await postJson(server.admin, '/disconnect', { user: 'maggie' }, { headers: bearer(adminKey) })
  await client.closed
  t.match(await lineOf(server, 'revoked'), {
    level: 'info',
    subject: 'user',
    name: 'maggie',
    disconnected: 1,
  })
  t.match(await lineOf(server, 'socket closed'), {
    level: 'debug',
    user: 'maggie',
    channel: 'room',
    code: 4403,
    reason: 'revoked',
  })
  await server.stop()
  t.notMatch(server.output(), 'request refused', 'a refused login is not logged a second time')
})

t.test('client input cannot start a line, and its length is limited', async t => {
  const server = await start(t)
  const origin = `https://x"},\\n\\u001b[31m{"level":"info","msg":"login"${'x'.repeat(1000)}`
  const headers = { origin, 'x-request-id': ['a', 'b "c"'] }
  await requestUpgrade(server.url, gatePath('AAAA'), { headers })
  const line = await lineOf(server, 'handshake refused')
  t.equal(line.origin, origin.slice(0, 280))
  t.notOk('request' in line, 'an invalid id is left out')
  await server.stop()
  t.notMatch(server.output(), '\u001b')
  t.notMatch(server.output(), /^[^{]/m)
  t.strictSame(
    server.log.entries().filter(({ msg }) => msg === 'login'),
    [],
  )
})

t.test('in development the log says how to allow a foreign origin', async t => {
  const server = await start(t, { env: development })
  const origin = 'https://app.example.org'
  await requestUpgrade(server.url, gatePath('AAAA'), { headers: { origin } })
  t.match(await lineOf(server, 'handshake refused', 'origin_forbidden'), {
    hint: `pages of ${origin} may not connect: add ${origin} to TICKETGATE_ORIGINS`,
  })
  const preflight = { method: 'OPTIONS', headers: { origin: 'null' } }
  await request(server.url, '/ws_ticket', preflight)
  t.match(await lineOf(server, 'request refused', 'origin_forbidden'), { hint: /serve it from a server/ })
})
