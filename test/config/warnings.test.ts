import t from 'tap'
import { resolveConfig } from '../../src/config/resolve.js'
import { warningsOf } from '../../src/config/warnings.js'
import { startServer } from '../support/server.js'

const warningsWith = (host: string, bind: string) =>
  warningsOf(resolveConfig({ env: { TICKETGATE_HOST: host, TICKETGATE_BIND: bind } }))

t.test('tickets bound to an address, on a listener for both IPv4 and IPv6, cause a warning', async t => {
  for (const host of ['::', '0:0:0:0:0:0:0:0', '::0'])
    t.match(warningsWith(host, 'origin,address'), [/^TICKETGATE_BIND=address: .*IPv6.*IPv4/], host)
  for (const [host, bind] of [
    ['::', 'origin'],
    ['::', ''],
    ['0.0.0.0', 'address'],
    ['127.0.0.1', 'address'],
    ['::1', 'address'],
    ['localhost', 'address'],
  ] as const)
    t.strictSame(warningsWith(host, bind), [], `${host} with ${bind}`)
})

t.test('warnings are logged once at startup', async t => {
  const env = { TICKETGATE_HOST: '::', TICKETGATE_BIND: 'address' }
  for (const threads of ['1', '2']) {
    const server = await startServer(t, { env: { ...env, TICKETGATE_THREADS: threads } })
    await server.stop()
    t.equal(
      server.output().match(/TICKETGATE_BIND=address/g)?.length,
      1,
      `logs it once with ${threads} threads`,
    )
  }
})
