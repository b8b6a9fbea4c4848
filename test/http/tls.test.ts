import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type ConnectionOptions, connect, getCiphers } from 'node:tls'
import t, { type Test } from 'tap'
import { certificate, certificateKey, rsaCertificate, rsaCertificateKey } from '../support/certificate.js'
import { request } from '../support/http.js'
import { development, type Environment, startServer, temporaryDirectory } from '../support/server.js'

const startTls = async (t: Test, cert: string, key: string, others: Environment = {}) => {
  const directory = temporaryDirectory(t)
  const [certFile, keyFile] = [join(directory, 'cert.pem'), join(directory, 'key.pem')]
  writeFileSync(certFile, cert)
  writeFileSync(keyFile, key)
  const env = { TICKETGATE_TLS_CERT_FILE: certFile, TICKETGATE_TLS_KEY_FILE: keyFile }
  return startServer(t, { env: { ...env, ...others } })
}

/** The negotiated protocol and cipher, or `none`. */
const agreed = (port: number, options: ConnectionOptions): Promise<string> =>
  new Promise(resolve => {
    const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ...options })
    socket.once('error', () => resolve('none'))
    socket.once('secureConnect', () => {
      resolve(`${socket.getProtocol()} ${socket.getCipher().name}`)
      socket.destroy()
    })
  })

// By their OpenSSL names. SECLEVEL=0 below lets the client offer old ones as well.
const suites = getCiphers()
  .map(name => name.toUpperCase())
  .filter(name => !name.startsWith('TLS_'))

const servers = [
  ['ECDSA', certificate, certificateKey],
  ['RSA', rsaCertificate, rsaCertificateKey],
] as const

for (const [kind, cert, key] of servers)
  t.test(`TLS 1.2 with an ${kind} certificate accepts only forward-secret AEAD suites`, async t => {
    const { port } = await startTls(t, cert, key)
    const accepted = []
    for (const suite of suites) {
      const outcome = await agreed(port, { maxVersion: 'TLSv1.2', ciphers: `${suite}:@SECLEVEL=0` })
      if (outcome !== 'none') accepted.push(outcome)
    }
    t.strictSame(
      accepted.sort(),
      ['AES128-GCM-SHA256', 'AES256-GCM-SHA384', 'CHACHA20-POLY1305'].map(
        name => `TLSv1.2 ECDHE-${kind}-${name}`,
      ),
    )
    t.match(await agreed(port, {}), /^TLSv1\.3 TLS_(AES|CHACHA20)/, 'clients that support TLS 1.3 get it')
    for (const version of ['TLSv1.1', 'TLSv1'] as const)
      t.equal(
        await agreed(port, { minVersion: version, maxVersion: version, ciphers: 'ALL:@SECLEVEL=0' }),
        'none',
        version,
      )
  })

t.test('HSTS is sent in production if the gate terminates TLS', async t => {
  const field = 'strict-transport-security'
  const server = await startTls(t, certificate, certificateKey)
  for (const path of ['/healthz', '/nowhere', '/channel/'])
    t.equal((await request(server.url, path)).headers[field], 'max-age=31536000', path)
  t.notOk((await request(server.admin, '/metrics')).headers[field], 'the admin listener does not send it')
  const others = [await startServer(t), await startTls(t, certificate, certificateKey, development)]
  for (const { url } of others) t.notOk((await request(url, '/healthz')).headers[field], url)
})
