import t from 'tap'
import { connectTo } from '../support/gate-client.js'
import { postJson } from '../support/http.js'
import { adminKey, startServer } from '../support/server.js'
import { openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, nowSeconds, tokenFor } from '../support/tokens.js'

const server = await startServer(t)

// Two of these tests wait for most of a session: they do so together.
t.jobs = 2

const disconnect = (user: string) =>
  postJson(server.admin, '/disconnect', { user }, { headers: { authorization: `Bearer ${adminKey}` } })

/**
 * A token that ends soon, until a fresh one is asked for: a fifth of its life is left to renew it,
 * on a busy machine.
 */
const soonOver = ({ fresh }: { fresh: boolean }): string =>
  tokenFor('maggie', { exp: nowSeconds() + (fresh ? 600 : 30) })

t.test('a session is renewed in band, before it ends, by a fresh token', { buffered: true }, async t => {
  const gate = connectTo(t, server.url, { channel: 'lobby', getToken: soonOver })
  const { expires } = await gate.next('open')
  const renewed = await gate.next('renewed')
  t.ok(renewed.expires > expires + 500)
  t.strictSame(gate.asked, [false, true])
  // A socket that would have ended after it has been closed: so would this one have been.
  const doomed = connectTo(t, server.url, { user: 'theo', claims: { exp: expires + 3 } })
  t.match(await doomed.next('retry'), { error: { code: 'session_expired' } })
  await gate.publish('still here')
  t.equal(gate.urls.length, 1, 'one socket all the time')
  t.notOk(gate.heard.some(({ name }) => name === 'retry'))
})

t.test('a failed renewal is retried in the remaining time', { buffered: true }, async t => {
  let times = 0
  const gate = connectTo(t, server.url, {
    getToken(request) {
      if (request.fresh && ++times === 1) throw new Error('the login server is unreachable')
      return tokenFor('maggie', { exp: nowSeconds() + (request.fresh ? 600 : 30) })
    },
  })
  await gate.next('renewed')
  t.strictSame(gate.asked, [false, true, true])
  t.equal(gate.urls.length, 1)
})

t.test('a revoked user is disconnected, and the client does not come back', async t => {
  const gate = connectTo(t, server.url, { user: 'mallory' })
  await gate.opened()
  t.equal((await disconnect('mallory')).status, 200)
  t.match(await gate.next('close'), { code: 'revoked' })
  t.equal(gate.asked.length, 1)
})

t.test('a revoked token is given up', async t => {
  const claims = { iat: nowSeconds() - 5 }
  await disconnect('eve')
  const gate = connectTo(t, server.url, { user: 'eve', claims })
  t.match(await gate.next('close'), { code: 'token_revoked' })
  t.equal(gate.asked.length, 1, 'another one is not asked for')
})

t.test('a ticket that somebody else used is reported, and replaced by another', async t => {
  let thefts = 0
  const gate = connectTo(t, server.url, {
    async fetch(url, options) {
      const reply = await fetch(url, options)
      if (!url.endsWith('/ws_ticket') || ++thefts > 1) return reply
      const { ticket } = (await reply.clone().json()) as { ticket: string }
      await (await openSession(socketUrl(server.url, gatePath(ticket)))).client.close()
      return reply
    },
  })
  t.match(await gate.next('retry'), { error: { code: 'ticket_used' } })
  await gate.opened()
  t.equal(gate.tickets.length, 2)
})
