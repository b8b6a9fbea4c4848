import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { busMetric, disconnect, join as joinChannel, startBusNode, untilBus } from '../support/bus.js'
import { freePort } from '../support/free-port.js'
import {
  requestUpgradeUntilAnswered,
  spendTicket,
  startNode,
  storeEnv,
  untilNotReady,
  untilReady,
} from '../support/nodes.js'
import { fileNeeds, needs, pathOf } from '../support/programs.js'
import { startRedis } from '../support/redis.js'
import { startSentinels } from '../support/sentinels.js'
import { startServer, temporaryDirectory } from '../support/server.js'
import { gatePath, mint } from '../support/tokens.js'

fileNeeds(t, 'redis-server')

t.test('Redis can be reached through a Unix socket', async t => {
  const path = join(temporaryDirectory(t), 'redis.sock')
  const { port } = await startRedis(t, ['--unixsocket', path])
  const env = { TICKETGATE_REDIS_URL: `redis+unix://${path}?db=3` }
  const node = await startNode(t, port, env)
  const spent = gatePath(await spendTicket(node))
  t.match(await requestUpgradeUntilAnswered(node.url, spent), { status: 401 })
  await untilBus(node, 'up')
})

/** Certificates for 127.0.0.1 from an authority of their own. */
function certificates(t: Test) {
  const directory = temporaryDirectory(t)
  const file = (name: string): string => join(directory, name)
  const openssl = (...args: string[]): void =>
    void execFileSync(pathOf('openssl'), args, { cwd: directory, stdio: 'ignore' })
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  openssl('req', '-x509', ...newKey, '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=authority')
  writeFileSync(file('names'), 'subjectAltName=IP:127.0.0.1')
  for (const name of ['server', 'client']) {
    openssl('req', ...newKey, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`)
    const by = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-extfile', 'names']
    openssl('x509', '-req', '-in', `${name}.csr`, '-out', `${name}.pem`, ...by)
  }
  return file
}

t.test(
  'Redis can be reached through TLS, with a private CA and a client certificate',
  needs('openssl'),
  async t => {
    const file = certificates(t)
    const tlsPort = await freePort()
    const { port } = await startRedis(t, [
      ...['--tls-port', String(tlsPort), '--tls-auth-clients', 'yes', '--tls-ca-cert-file', file('ca.pem')],
      ...['--tls-cert-file', file('server.pem'), '--tls-key-file', file('server.key')],
    ])
    const TICKETGATE_REDIS_URL = `rediss://127.0.0.1:${tlsPort}`
    const authority = { TICKETGATE_REDIS_CA_FILE: file('ca.pem') }
    const own = {
      TICKETGATE_REDIS_CERT_FILE: file('client.pem'),
      TICKETGATE_REDIS_KEY_FILE: file('client.key'),
    }
    const node = await startNode(t, port, { TICKETGATE_REDIS_URL, ...authority, ...own })
    await spendTicket(node)
    await untilBus(node, 'up')

    for (const [name, env] of [
      ['without a client certificate', authority],
      ['without the CA', own],
    ] as const) {
      const refused = await startServer(t, { env: storeEnv(port, { TICKETGATE_REDIS_URL, ...env }) })
      await untilNotReady(refused)
      t.equal(await busMetric(refused, 'up'), 0, name)
    }
  },
)

t.test('with sentinels, a new primary is found and older tickets are refused', async t => {
  const primary = await startRedis(t)
  const replica = await startRedis(t, ['--replicaof', `127.0.0.1 ${primary.port}`])
  const ports = await startSentinels(t, primary.port)
  const TICKETGATE_REDIS_URL = `redis+sentinel://${ports.map(port => `127.0.0.1:${port}`).join(',')}/primary`
  const node = await startNode(t, primary.port, { TICKETGATE_REDIS_URL })
  const other = await startBusNode(t, primary.port, { TICKETGATE_REDIS_URL })
  const [spent, fresh] = [await spendTicket(node), await mint(node.url)]
  while (!(await replica.client.info('replication')).includes('master_link_status:up'));

  await primary.kill()
  while ((await replica.client.info('replication')).includes('role:slave'));
  await untilReady(node)
  for (const ticket of [spent, fresh]) {
    const reply = await requestUpgradeUntilAnswered(node.url, gatePath(ticket))
    t.match(reply.text, /"ticket_predates_gate"|"ticket_used"/)
  }
  await spendTicket(node)
  await Promise.all([untilBus(node, 'up'), untilBus(other, 'up')])
  const client = await joinChannel(other, 'maggie')
  await disconnect(node, { user: 'maggie' })
  t.equal((await client.closed).code, 4403, 'the bus works again')
})
