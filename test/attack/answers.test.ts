import t, { type Test } from 'tap'
import { certificate, certificateKey } from '../support/certificate.js'
import { bearer } from '../support/http.js'
import { RawConnection, requestText, upgradeText } from '../support/raw.js'
import { adminKey, development, startServer, type TestServer } from '../support/server.js'

/**
 * uWS passes on a body from within its parser, and the parser continues even if a response has
 * closed the connection: it then reads freed memory. A response closes its connection immediately
 * once earlier ones have filled the 16 KB buffer that uWS has per turn.
 */
const fill = requestText('GET', '/healthz').repeat(150)
const followers = [
  requestText('OPTIONS', '/auth', { 'content-length': '1' }, 'x'),
  upgradeText('/channel/'),
  `GET /${'A'.repeat(60)}`,
  requestText('POST', '/auth', { 'content-length': '9' }, '-'),
]

const closingRequest = (path: string, headers: Readonly<Record<string, string>>): string =>
  requestText('GET', path, { connection: 'close', 'content-length': '2', ...headers }, 'hi')

/**
 * Each packet is written in two pieces, because uWS has a separate path for a head in two pieces.
 */
function* packets(closing: string): Generator<readonly [string, string]> {
  for (const follower of followers) {
    yield ['', fill + closing + follower]
    yield [fill.slice(0, 20), fill.slice(20) + closing + follower]
    yield [fill + closing.slice(0, -1), closing.slice(-1) + follower]
  }
}

const open = async (base: string): Promise<RawConnection | undefined> =>
  RawConnection.connect(base).catch(() => undefined)

async function survives(t: Test, server: TestServer, base: string, closing: string): Promise<void> {
  for (const [first, second] of packets(closing))
    for (let times = 0; times < 5; times++) {
      const connection = await open(base)
      connection?.write(first)
      // Its response shows that the first piece has been read; only then is the second written.
      const other = await open(base)
      other?.write(requestText('GET', '/healthz'))
      await other?.response()
      connection?.write(second)
      connection?.socket.end()
      await connection?.closed
      other?.destroy()
    }
  t.strictSame(await server.stop(), { code: 0, signal: null })
}

const health = closingRequest('/healthz', {})

t.test('a response that closes the connection of a request with a body does not end the process', async t => {
  const server = await startServer(t)
  await survives(t, server, server.url, health)
})

t.test('nor does it over TLS', async t => {
  const dir = t.testdir({ 'cert.pem': certificate, 'key.pem': certificateKey })
  const server = await startServer(t, {
    env: { TICKETGATE_TLS_CERT_FILE: `${dir}/cert.pem`, TICKETGATE_TLS_KEY_FILE: `${dir}/key.pem` },
  })
  await survives(t, server, server.url, health)
})

t.test('nor does it with two threads', async t => {
  const server = await startServer(t, { env: { TICKETGATE_THREADS: '2' } })
  await survives(t, server, server.url, health)
})

t.test('nor does it on the admin listener', async t => {
  const server = await startServer(t)
  await survives(t, server, server.admin, closingRequest('/connections', bearer(adminKey)))
})

t.test('nor does a large response, such as the console', async t => {
  const server = await startServer(t, { env: development })
  await survives(t, server, server.url, closingRequest('/', {}))
})
