import t, { type Test } from 'tap'
import { postJson } from '../support/http.js'
import { startServer, type TestServer } from '../support/server.js'

const logIn = (base: string, headers = {}, from?: string) =>
  postJson(
    base,
    '/auth',
    { user: 'nobody', pwd: 'wrong' },
    { headers, ...(from === undefined ? {} : { from }) },
  )

/** Stops a server, and returns all its warnings. */
const warningsOf = async (server: TestServer) => {
  await server.stop()
  return server.log.entries().filter(({ level }) => level === 'warn')
}

const start = (t: Test, trusted?: string) => startServer(t, { env: { TICKETGATE_TRUSTED_PROXIES: trusted } })

t.test('an untrusted peer that sends forwarding headers is logged once, with its address', async t => {
  for (const [field, value] of [
    ['x-forwarded-for', '203.0.113.9'],
    ['x-forwarded-proto', 'https'],
    ['x-forwarded-host', 'gate.example'],
    ['forwarded', 'for=203.0.113.9'],
  ] as const) {
    const server = await start(t)
    await logIn(server.url)
    for (let n = 0; n < 3; n++) await logIn(server.url, { [field]: value }, '127.0.0.5')
    const warnings = await warningsOf(server)
    t.equal(warnings.length, 1, field)
    t.match(warnings[0], { peer: '127.0.0.5', field, msg: /TICKETGATE_TRUSTED_PROXIES/ }, field)
  }
})

t.test('a trusted proxy is logged only if it sends Forwarded without X-Forwarded-For', async t => {
  const server = await start(t, '127.0.0.1')
  const forwarded = { 'x-forwarded-for': '203.0.113.9', 'x-forwarded-proto': 'https' }
  await logIn(server.url, forwarded)
  await logIn(server.url, { ...forwarded, forwarded: 'for=203.0.113.9;proto=https' })
  await logIn(server.url)
  for (let n = 0; n < 2; n++) await logIn(server.url, { forwarded: 'for=203.0.113.9;proto=https' })
  const warnings = await warningsOf(server)
  t.equal(warnings.length, 1)
  t.match(warnings[0], { peer: '127.0.0.1', msg: /RFC 7239.*X-Forwarded-For/ })
})
