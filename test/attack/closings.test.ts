import { once } from 'node:events'
import { connect as connectTls } from 'node:tls'
import t from 'tap'
import { certificate, certificateKey } from '../support/certificate.js'
import { RawConnection, requestText, serverHasRead } from '../support/raw.js'
import { startServer } from '../support/server.js'

/**
 * If a response closes its connection while uWS passes on a body, uWS continues with freed memory:
 * over TLS it crashes at once. That happens if earlier responses have filled its 16 KB buffer, and
 * more data follows in the same packet.
 */
const packets = function* (): Generator<string> {
  const small = requestText('POST', '/x', { 'content-length': '1' }, '-')
  const large = requestText('POST', '/auth', { 'content-length': '8193' }, 'x'.repeat(8193))
  const followers = [
    requestText('GET', '/healthz'),
    requestText('POST', '/auth', { 'content-length': '9' }, '-'),
  ]
  for (const follower of followers)
    for (let count = 40; count <= 64; count += 2) {
      const fill = requestText('GET', '/x').repeat(count)
      yield small.repeat(count) + follower
      yield fill + small + follower
      yield fill + large.repeat(2) + follower
    }
}

t.test('a refused body between other requests does not end the process', async t => {
  const server = await startServer(t)
  for (const packet of packets()) {
    const connection = await RawConnection.connect(server.url)
    connection.write(packet)
    await serverHasRead(server.url)
    connection.destroy()
  }
  t.strictSame(await server.stop(), { code: 0, signal: null })
})

t.test('nor does it over TLS', async t => {
  const dir = t.testdir({ 'cert.pem': certificate, 'key.pem': certificateKey })
  const server = await startServer(t, {
    env: { TICKETGATE_TLS_CERT_FILE: `${dir}/cert.pem`, TICKETGATE_TLS_KEY_FILE: `${dir}/key.pem` },
  })
  const { hostname: host, port } = new URL(server.url)
  const open = async () => {
    const socket = connectTls({ host, port: Number(port), rejectUnauthorized: false })
    socket.on('error', () => {})
    await once(socket, 'secureConnect')
    return socket
  }
  for (const packet of packets()) {
    const socket = await open()
    socket.write(packet)
    const other = await open()
    other.write(requestText('GET', '/healthz'))
    await once(other, 'data')
    for (const each of [socket, other]) each.destroy()
  }
  t.strictSame(await server.stop(), { code: 0, signal: null })
})
