import { networkInterfaces } from 'node:os'
import t from 'tap'
import { outcomeOf, requestUpgrade } from '../support/http.js'
import { startServer } from '../support/server.js'
import { attempt, openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, mint } from '../support/tokens.js'

const hasIPv6 = Object.values(networkInterfaces()).some(each =>
  each?.some(({ address }) => address === '::1'),
)
const skip = hasIPv6 ? {} : { skip: 'there is no IPv6 on this machine' }

t.test('a listener on ::1 serves IPv6 clients', skip, async t => {
  const server = await startServer(t, {
    env: { TICKETGATE_HOST: '::1', TICKETGATE_ADMIN_HOST: '::1', TICKETGATE_BIND: 'address' },
  })
  t.match(server.url, /^http:\/\/\[::1\]:\d+$/)
  t.match(server.admin, /^http:\/\/\[::1\]:\d+$/)
  const { client } = await openSession(socketUrl(server.url, gatePath(await mint(server.url))))
  t.match(await client.ask({ type: 'ping' }), { type: 'pong' })
  t.equal(outcomeOf(await requestUpgrade(server.url, gatePath('AAAA'))), '401 ticket_invalid')
  await server.logged('"address":"::1"')
})

t.test(
  'a listener on :: accepts IPv4 as well, and counts such clients by their IPv4 address',
  skip,
  async t => {
    const server = await startServer(t, {
      env: { TICKETGATE_HOST: '::', TICKETGATE_BIND: 'address', TICKETGATE_MAX_CONNECTIONS_PER_ADDRESS: '1' },
    })
    const bases = [`http://[::1]:${server.port}`, `http://127.0.0.1:${server.port}`] as const
    for (const base of bases) await openSession(socketUrl(base, gatePath(await mint(base))))
    for (const base of bases) {
      const reply = await attempt(socketUrl(base, gatePath(await mint(base))))
      t.match(reply, { status: 429 }, base)
    }
    const [six, four] = bases
    t.equal(
      outcomeOf(await requestUpgrade(four, gatePath(await mint(six)))),
      '403 address_mismatch',
      'a ticket obtained over IPv6 is refused over IPv4',
    )
  },
)
