import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { plainUrl } from '../../src/cli/health.js'
import { configuredAddress } from '../../src/cli/health-address.js'
import { certificate, certificateKey } from '../support/certificate.js'
import { freePort } from '../support/free-port.js'
import { run, startServer, temporaryDirectory } from '../support/server.js'

t.test('health checks the server at the configured address', async t => {
  const port = String(await freePort())
  const env = { TICKETGATE_PORT: port }
  const absent = await run(['health'], env)
  t.match(absent, { code: 1, stdout: '', stderr: /^ticketgate: not healthy: \S+: connect ECONNREFUSED/ })
  const { stateDir } = await startServer(t, { env })
  t.match(await run(['health'], env), { code: 0, output: '' })
  t.match(await run(['health'], { TICKETGATE_PORT: undefined, PORT: port }), { code: 0, output: '' })
  t.match(await run(['health', '--port', port, '--host=127.0.0.1'], {}), { code: 0, output: '' })
  t.notOk(
    existsSync(join(stateDir, 'listening.json')),
    'no file is written if the environment gives the address',
  )
})

t.test('health finds a port that the server got by a flag, as image health checks require', async t => {
  const env = { TICKETGATE_PORT: String(await freePort()) }
  const port = String(await freePort())
  const server = await startServer(t, { env, flags: ['--port', port] })
  t.equal(server.url, `http://127.0.0.1:${port}`)
  const inside = { ...env, TICKETGATE_STATE_DIR: server.stateDir }
  t.match(await run(['health'], inside), { code: 0, output: '' })
  t.match(await run(['health', '--state-dir', server.stateDir], env), { code: 0, output: '' })
  const other = { ...inside, TICKETGATE_PORT: String(await freePort()) }
  t.equal((await run(['health'], other)).code, 1, 'a server at another port is not checked instead')
  await server.stop()
  t.match(
    await run(['health'], inside),
    { code: 1, stderr: /not healthy/ },
    'a server that has ended is not healthy',
  )
  await startServer(t, { env, stateDir: server.stateDir })
  t.notOk(existsSync(join(server.stateDir, 'listening.json')), 'a start without the flag removes the file')
})

t.test('a server with TLS is checked over TLS', async t => {
  const directory = temporaryDirectory(t)
  const [cert, key] = [join(directory, 'cert.pem'), join(directory, 'key.pem')]
  writeFileSync(cert, certificate)
  writeFileSync(key, certificateKey, { mode: 0o600 })
  const port = String(await freePort())
  const env = { TICKETGATE_PORT: port, TICKETGATE_TLS_CERT_FILE: cert, TICKETGATE_TLS_KEY_FILE: key }
  await startServer(t, { env })
  t.match(await run(['health'], env), { code: 0, output: '' })
})

t.test('invalid settings are explained, and help needs no settings', async t => {
  t.match(await run(['health'], { TICKETGATE_PORT: 'x' }), {
    code: 1,
    stderr: /TICKETGATE_PORT: "x" is not a whole/,
  })
  t.match(await run(['health', '--prot', '1'], {}), { code: 2, stderr: /--prot: unknown flag/ })
  t.match(await run(['health', '--help'], { TICKETGATE_PORT: 'x' }), {
    code: 0,
    stdout: /^Usage: ticketgate health/,
  })
  const unrelated = { TICKETGATE_PORT: String(await freePort()), TICKETGATE_JWT_SECRET_FILE: '/nonexistent' }
  t.match(await run(['health'], { ...unrelated, NODE_ENV: 'production' }), { code: 1, stderr: /not healthy/ })
})

t.test('the shortcut for plain HTTP computes the same address as the full configuration', async t => {
  for (const env of [
    {},
    { TICKETGATE_HOST: '::', TICKETGATE_PORT: '1' },
    { PORT: '2' },
    { PORT: '2', TICKETGATE_PORT: '3', TICKETGATE_HOST: 'localhost' },
    { TICKETGATE_TLS_CERT_FILE: '/cert.pem' },
  ])
    t.equal(plainUrl(env), configuredAddress(env, []).url, JSON.stringify(env))
})
