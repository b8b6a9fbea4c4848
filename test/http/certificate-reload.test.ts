import { X509Certificate } from 'node:crypto'
import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect } from 'node:tls'
import t, { type Test } from 'tap'
import { certificate, certificateKey, rsaCertificate, rsaCertificateKey } from '../support/certificate.js'
import { bearer, jsonOf, metric, postJson } from '../support/http.js'
import { adminKey, startServer, type TestServer, temporaryDirectory } from '../support/server.js'
import { type Client, openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, mint } from '../support/tokens.js'

const first = new X509Certificate(certificate)
const second = new X509Certificate(rsaCertificate)

const secondsOf = ({ validTo }: X509Certificate): number => Date.parse(validTo) / 1000

/** The fingerprint of the certificate that a new connection gets. */
const presented = (port: number): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false })
    socket.once('error', reject)
    socket.once('secureConnect', () => {
      resolve(socket.getPeerX509Certificate()?.fingerprint256 ?? 'none')
      socket.destroy()
    })
  })

/** Connects until 20 connections in a row get this certificate, because each thread has its own. */
async function until(port: number, { fingerprint256 }: X509Certificate): Promise<void> {
  for (let inARow = 0; inARow < 20; ) inARow = (await presented(port)) === fingerprint256 ? inARow + 1 : 0
}

const joinRoom = async (server: TestServer, user: string): Promise<Client> => {
  const path = gatePath(await mint(server.url, user, 'room'), 'room')
  return (await openSession(socketUrl(server.url, path))).client
}

const start = async (t: Test, threads: number) => {
  const directory = temporaryDirectory(t)
  const files = { cert: join(directory, 'cert.pem'), key: join(directory, 'key.pem') }
  const replace = (file: keyof typeof files, text: string): void => {
    writeFileSync(`${files[file]}.new`, text)
    renameSync(`${files[file]}.new`, files[file])
  }
  replace('cert', certificate)
  replace('key', certificateKey)
  const env = {
    TICKETGATE_TLS_CERT_FILE: files.cert,
    TICKETGATE_TLS_KEY_FILE: files.key,
    TICKETGATE_THREADS: String(threads),
    TICKETGATE_DRAIN_SECONDS: '10',
  }
  return { server: await startServer(t, { env }), replace }
}

for (const threads of [1, 2])
  t.test(`a new certificate needs no restart and closes no socket (threads: ${threads})`, async t => {
    const { server, replace } = await start(t, threads)
    const expiry = 'ticketgate_tls_certificate_expiry_timestamp_seconds'
    const old = await joinRoom(server, 'old')
    t.equal(await presented(server.port), first.fingerprint256)
    t.equal(await metric(server, expiry), secondsOf(first))

    replace('cert', rsaCertificate)
    server.signal('SIGHUP')
    await server.logged('the previous one stays in use', threads)
    t.equal(await presented(server.port), first.fingerprint256, 'a key that does not match changes nothing')
    replace('cert', 'nonsense')
    server.signal('SIGHUP')
    await server.logged('the previous one stays in use', 2 * threads)
    t.equal(await presented(server.port), first.fingerprint256, 'a broken file changes nothing')

    replace('cert', rsaCertificate)
    replace('key', rsaCertificateKey)
    await until(server.port, second)
    t.pass('changed files are noticed without a signal')
    await server.logged('"isNew":true', threads)
    t.equal(await metric(server, expiry), secondsOf(second))
    t.match(await old.ask({ type: 'ping', id: 1 }), { type: 'pong', id: 1 }, 'the open socket stays open')

    const fresh = await joinRoom(server, 'fresh')
    old.send({ type: 'publish', data: 'from the old' })
    t.match(await fresh.next(), { data: 'from the old', user: 'old' })
    fresh.send({ type: 'publish', data: 'from the new' })
    t.match(
      await old.next(),
      { data: 'from the new', user: 'fresh' },
      'the old socket does not receive its own message',
    )
    t.ok(await fresh.hearsNothing(), 'the new socket does not receive its own message')
    const reply = await postJson(
      server.admin,
      '/publish',
      { channel: 'room', data: 3 },
      {
        headers: bearer(adminKey),
      },
    )
    t.strictSame(jsonOf(reply), { delivered: 2 })
    for (const client of [old, fresh]) t.match(await client.next(), { data: 3 })

    server.signal('SIGHUP')
    await server.logged('"isNew":false', threads)
    replace('cert', certificate)
    replace('key', certificateKey)
    server.signal('SIGHUP')
    await until(server.port, first)
    const third = await joinRoom(server, 'third')
    third.send({ type: 'publish', data: 'to all' })
    for (const client of [old, fresh]) t.match(await client.next(), { data: 'to all' })
    t.equal(await metric(server, 'ticketgate_connections'), 3)

    const stopped = server.stop()
    for (const client of [old, fresh, third]) t.equal((await client.closed).code, 1012)
    t.equal((await stopped).code, 0)
    t.notMatch(server.output(), 'PRIVATE KEY')
  })
