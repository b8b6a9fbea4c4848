import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect } from 'node:tls'
import t from 'tap'
import { certificateFault } from '../../src/config/certificate.js'
import { fileNeeds, pathOf } from '../support/programs.js'
import { runServe, startServer, temporaryDirectory } from '../support/server.js'

fileNeeds(t, 'openssl')

const directory = temporaryDirectory(t)
const path = (name: string): string => join(directory, name)
const openssl = (...args: readonly string[]) => execFileSync(pathOf('openssl'), args, { stdio: 'ignore' })

/** Makes `NAME.key` and `NAME.crt`. */
function make(name: string, ...algorithm: readonly string[]): void {
  openssl('genpkey', ...algorithm, '-out', path(`${name}.key`))
  const subject = ['-subj', '/CN=localhost', '-days', '30']
  openssl('req', '-x509', '-key', path(`${name}.key`), '-out', path(`${name}.crt`), ...subject)
}

const curve = (name: string) => ['-algorithm', 'EC', '-pkeyopt', `ec_paramgen_curve:${name}`]
make('rsa', '-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048')
make('p256', ...curve('P-256'))
make('p384', ...curve('P-384'))
make('p521', ...curve('P-521'))
make('ed25519', '-algorithm', 'ED25519')
make('secp256k1', ...curve('secp256k1'))
make('brainpool', ...curve('brainpoolP256r1'))
make('explicit', ...curve('P-256'), '-pkeyopt', 'ec_param_enc:explicit')
make('ed448', '-algorithm', 'ED448')
make('pss', '-algorithm', 'RSA-PSS', '-pkeyopt', 'rsa_keygen_bits:2048')
openssl('x509', '-in', path('rsa.crt'), '-outform', 'DER', '-out', path('der.crt'))
openssl('pkey', '-in', path('rsa.key'), '-aes256', '-passout', 'pass:secret', '-out', path('encrypted.key'))
writeFileSync(path('mark.crt'), `\uFEFF${readFileSync(path('rsa.crt'))}`)
writeFileSync(path('mark.key'), `\uFEFF${readFileSync(path('rsa.key'))}`)
writeFileSync(path('utf16.crt'), Buffer.from(`\uFEFF${readFileSync(path('rsa.crt'))}`, 'utf16le'))
for (const file of ['rsa.crt', 'rsa.key'])
  writeFileSync(path(`crlf.${file.slice(4)}`), readFileSync(path(file), 'utf8').replaceAll('\n', '\r\n'))

const settings = (certificate: string, key: string) => ({
  TICKETGATE_TLS_CERT_FILE: path(`${certificate}.crt`),
  TICKETGATE_TLS_KEY_FILE: path(`${key}.key`),
})

t.test('every supported type of key works', async t => {
  for (const name of ['rsa', 'crlf', 'p256', 'p384', 'p521', 'ed25519']) {
    const { port } = await startServer(t, { env: settings(name, name) })
    const protocol = await new Promise(resolve => {
      const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false })
      socket.once('error', error => resolve(error.message))
      socket.once('secureConnect', () => {
        resolve(socket.getProtocol())
        socket.destroy()
      })
    })
    t.equal(protocol, 'TLSv1.3', name)
  }
})

t.test('files that Node accepts but uWebSockets.js does not are refused with a reason', async t => {
  const cases = [
    ['secp256k1', 'secp256k1', /keys of type EC \(secp256k1\) are not supported: use one of RSA, P-256/],
    ['brainpool', 'brainpool', /keys of type EC \(brainpoolP256r1\) are not supported/],
    ['ed448', 'ed448', /keys of type ed448 are not supported/],
    ['pss', 'pss', /keys of type rsa-pss are not supported/],
    ['mark', 'rsa', /the certificate file begins with a byte order mark/],
    ['rsa', 'mark', /the key file begins with a byte order mark/],
    ['utf16', 'rsa', /the first is not a certificate/],
    ['der', 'rsa', /the first is not a certificate/],
    ['rsa', 'encrypted', /the second is not a readable private key: .* without passphrase/],
    ['rsa', 'p256', /the key does not match the certificate/],
    ['rsa', 'ed25519', /the key does not match the certificate/],
    ['p384', 'p256', /the key does not match the certificate/],
  ] as const
  for (const [certificate, key, reason] of cases)
    t.match(
      certificateFault(readFileSync(path(`${certificate}.crt`)), readFileSync(path(`${key}.key`))),
      reason,
      `${certificate} with ${key}`,
    )
  const { code, stdout, stderr } = await runServe(t, settings('secp256k1', 'secp256k1'))
  t.strictSame({ code, stdout }, { code: 1, stdout: '' })
  t.match(
    stderr,
    /^ticketgate: TICKETGATE_TLS_CERT_FILE: .* are not supported.*\n$/,
    'in one line, without a stack',
  )
})

t.test('faults that only uWebSockets.js finds are reported too, in one line', async t => {
  for (const TICKETGATE_THREADS of ['1', '2']) {
    const env = { ...settings('explicit', 'explicit'), TICKETGATE_THREADS, TICKETGATE_LOG_LEVEL: 'warn' }
    const { code, stderr } = await runServe(t, env)
    t.equal(code, 1)
    t.match(stderr, /^ticketgate: TLS cannot use \S+explicit\.crt with \S+explicit\.key: give .*\n$/)
  }
})
