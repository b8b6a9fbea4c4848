import t from 'tap'
import { connectTo } from '../support/gate-client.js'
import { postJson } from '../support/http.js'
import { adminKey, startServer } from '../support/server.js'
import { openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, nowSeconds, tokenFor } from '../support/tokens.js'

const server = await startServer(t)

// Two of these tests wait for most of a session, so they run together.
t.jobs = 2

const disconnect = (user: string) =>
  postJson(server.admin, '/disconnect', { user }, { headers: { authorization: `Bearer ${adminKey}` } })

/**
 * A token that ends soon, unless a fresh one is requested. The client renews in the last fifth of
 * its life, long enough for a busy machine.
 */
const shortLived = ({ fresh }: { fresh: boolean }): string =>
  tokenFor('maggie', { exp: nowSeconds() + (fresh ? 600 : 30) })

t.test('a session is renewed in band with a fresh token before it ends', { buffered: true }, async t => {
  const gate = connectTo(t, server.url, { channel: 'lobby', getToken: shortLived })
  const { expires } = await gate.next('open')
  const renewed = await gate.next('renewed')
  t.ok(renewed.expires > expires + 500)
  t.strictSame(gate.asked, [false, true])
  // A socket whose session ends a little later has ended: without renewal, this one would have too.
  const doomed = connectTo(t, server.url, { user: 'theo', claims: { exp: expires + 3 } })
  t.match(await doomed.next('retry'), { error: { code: 'session_expired' } })
  await gate.publish('still here')
  t.equal(gate.urls.length, 1, 'the socket is the same throughout')
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

t.test('a revoked user is disconnected, and the client does not reconnect', async t => {
  const gate = connectTo(t, server.url, { user: 'mallory' })
  await gate.opened()
  t.equal((await disconnect('mallory')).status, 200)
  t.match(await gate.next('close'), { code: 'revoked' })
  t.equal(gate.asked.length, 1)
})

t.test('it gives up on a revoked token', async t => {
  const claims = { iat: nowSeconds() - 5 }
  await disconnect('eve')
  const gate = connectTo(t, server.url, { user: 'eve', claims })
  t.match(await gate.next('close'), { code: 'token_revoked' })
  t.equal(gate.asked.length, 1, 'it requests no other token')
})

t.test('a ticket used by somebody else is reported and replaced', async t => {
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
