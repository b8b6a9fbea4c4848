import { execFileSync } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { certificate, certificateKey } from '../support/certificate.js'
import { freePort } from '../support/free-port.js'
import { needs, pathOf } from '../support/programs.js'
import { startRedis } from '../support/redis.js'
import { addUser, adminKey, jwtSecret, run, startServer, temporaryDirectory } from '../support/server.js'

const env = {
  NODE_ENV: 'production',
  TICKETGATE_ADMIN_KEY: adminKey,
  TICKETGATE_JWT_SECRET: jwtSecret,
  TICKETGATE_PORT: '0',
  TICKETGATE_ADMIN_PORT: '0',
}

t.test('check prints one line per requirement, and creates nothing', async t => {
  const stateDir = temporaryDirectory(t)
  await addUser(stateDir, 'maggie', 'correct horse battery staple')
  const [cert, key] = [join(stateDir, 'cert.pem'), join(stateDir, 'key.pem')]
  writeFileSync(cert, certificate)
  writeFileSync(key, certificateKey, { mode: 0o600 })
  const { code, stdout, stderr } = await run(['check', '--state-dir', stateDir], {
    ...env,
    TICKETGATE_TLS_CERT_FILE: cert,
    TICKETGATE_TLS_KEY_FILE: key,
  })
  t.equal(code, 0)
  t.equal(stderr, '')
  t.strictSame(
    stdout
      .trimEnd()
      .split('\n')
      .map(line => line.split(': ')[0]),
    [
      'ok       options',
      'ok       engine',
      'ok       state directory',
      'ok       users',
      'ok       certificate',
      'ok       public port',
      'ok       admin port',
      'ok       replay cache',
    ],
  )
  const absent = join(stateDir, 'absent')
  t.equal((await run(['check', '--state-dir', absent], { TICKETGATE_PORT: '0' })).code, 0)
  t.notOk(existsSync(absent), 'the state directory is not created')
})

t.test('all problems that would stop a start are reported at once, with exit code 1', async t => {
  const stateDir = temporaryDirectory(t)
  writeFileSync(join(stateDir, 'users.json'), '{"maggie": {}}', { mode: 0o666 })
  const holder = createServer().listen(0, '127.0.0.1')
  await new Promise(resolve => holder.once('listening', resolve))
  t.teardown(() => holder.close())
  const address = holder.address()
  const port = String(typeof address === 'object' ? address?.port : 0)
  const { code, stdout } = await run(['check'], {
    ...env,
    TICKETGATE_STATE_DIR: stateDir,
    TICKETGATE_PORT: port,
  })
  t.equal(code, 1)
  t.match(stdout, /^failed {3}users: The user file .* is invalid: user "maggie": has no passwordHash/m)
  t.match(stdout, new RegExp(`^failed {3}public port: cannot listen on 127.0.0.1 port ${port}`, 'm'))
  const said = /public port: (.*)/.exec(stdout)?.[1] ?? ''
  const started = await run(['serve'], {
    ...env,
    TICKETGATE_PORT: port,
    TICKETGATE_STATE_DIR: temporaryDirectory(t),
  })
  t.ok(said !== '' && started.stderr.includes(said), 'a real start reports the same problem')
  t.match(stdout, /^ok {7}admin port: /m)
  t.match(stdout, /^ok {7}replay cache: /m, 'later checks still run')

  const wrong = await run(['check', '--bind', 'nothing'], { TICKETGATE_PORT: 'x', TICKETGATE_BOGUS: '1' })
  t.equal(wrong.code, 1)
  t.equal(wrong.stdout.match(/^failed {3}options: /gm)?.length, 3)
})

t.test('warnings do not change the exit code', async t => {
  const stateDir = temporaryDirectory(t)
  const file = join(stateDir, 'jwt.secret')
  writeFileSync(file, jwtSecret)
  execFileSync('chmod', ['0644', file])
  const { code, stdout } = await run(['check'], {
    ...env,
    TICKETGATE_STATE_DIR: stateDir,
    TICKETGATE_JWT_SECRET: undefined,
    TICKETGATE_JWT_SECRET_FILE: file,
  })
  t.equal(code, 0)
  t.match(stdout, /^warning {2}secrets: .*jwt\.secret; mode: 0644$/m)
  t.match(stdout, /^warning {2}users: there are no users/m)
  t.notMatch(stdout, jwtSecret)
})

t.test(
  'a certificate that expires soon is a warning, one that has expired a failure',
  needs('openssl'),
  async t => {
    const directory = temporaryDirectory(t)
    const [cert, key, asked] = ['cert.pem', 'key.pem', 'request.pem'].map(name => join(directory, name))
    const openssl = (...args: readonly (string | undefined)[]): void =>
      void execFileSync(pathOf('openssl'), args.map(String), { stdio: 'ignore' })
    openssl('req', '-new', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=x', '-keyout', key, '-out', asked)
    const files = { TICKETGATE_TLS_CERT_FILE: cert, TICKETGATE_TLS_KEY_FILE: key }
    const look = async (days: string) => {
      openssl('x509', '-req', '-in', asked, '-signkey', key, '-days', days, '-out', cert)
      return run(['check', '--state-dir', directory], { ...env, ...files })
    }
    t.match(await look('3'), {
      code: 0,
      stdout: /^warning {2}certificate: the certificate expires in [23] days/m,
    })
    t.match(await look('0'), { code: 1, stdout: /^failed {3}certificate: the certificate is not valid now/m })
  },
)

t.test('while a server with the same configuration runs, only the check of the ports fails', async t => {
  const [port, adminPort] = [String(await freePort()), String(await freePort())]
  const ports = { TICKETGATE_PORT: port, TICKETGATE_ADMIN_PORT: adminPort }
  const { stateDir } = await startServer(t, { env: ports })
  const same = { ...env, ...ports, TICKETGATE_STATE_DIR: stateDir }
  const { code, stdout } = await run(['check'], same)
  t.equal(code, 1)
  t.equal(stdout.match(/^failed {3}(public|admin) port/gm)?.length, 2)
  t.match(await run(['check', '--no-ports'], same), { code: 0 })
})

t.test('Redis is checked', needs('redis-server'), async t => {
  const redis = await startRedis(t)
  const withRedis = {
    ...env,
    TICKETGATE_STATE_DIR: temporaryDirectory(t),
    TICKETGATE_REPLAY: 'redis',
    TICKETGATE_REDIS_URL: redis.url,
    TICKETGATE_TICKET_KEYS: '7:EvN1lSB-Ipj4w4Q08Or94l_eCvSeZ-_Z-vtFEk6x_uI',
  }
  const good = await run(['check'], withRedis)
  t.match(good, { code: 0, stdout: /^ok {7}replay cache: Redis is ready$/m })
  t.match(good.stdout, /^ok {7}bus: /m)
  const absent = await run(['check'], {
    ...withRedis,
    TICKETGATE_REDIS_URL: `redis://:canary-secret@127.0.0.1:${await freePort()}`,
  })
  t.match(absent, {
    code: 1,
    stdout: /^failed {3}replay cache: no ticket would be accepted: Redis is unreach/m,
  })
  t.match(absent.stdout, /^failed {3}bus: /m)
  t.notMatch(absent.output, 'canary-secret')
})
