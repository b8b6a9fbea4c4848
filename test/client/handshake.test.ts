import t, { type Test } from 'tap'
import { WebSocket as Undici6 } from 'undici-6'
import WebSocket from 'ws'
import type { SocketClass } from '../../src/client/index.js'
import { type Intercept, refuseWith, startFront } from '../support/front.js'
import { connectTo } from '../support/gate-client.js'
import { startServer } from '../support/server.js'

const server = await startServer(t)

const own = (globalThis as { WebSocket?: SocketClass }).WebSocket
const classes: readonly (readonly [name: string, WebSocket: SocketClass])[] = [
  ['ws', WebSocket as unknown as SocketClass],
  ['undici 6, as in Node 22 and Deno', Undici6 as unknown as SocketClass],
  ...(own === undefined ? [] : [['Node’s own', own] as const]),
]

/** Answers `/ws_ticket/status` with this body for every ticket. */
const statusSays =
  (body: object, reply = 200): Intercept =>
  (request, response) => {
    if (request.url !== '/ws_ticket/status') return false
    response.writeHead(reply, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    return true
  }

const refusing = async (t: Test, intercept: Intercept) => {
  const front = await startFront(t, server.url, intercept)
  front.handshake = refuseWith(403)
  return front
}

// A long limit, so that no fault is noticed by a timeout.
const patient = { timeoutMs: 3_600_000 }

t.test('a refused handshake is noticed at once, with any WebSocket class', async t => {
  for (const [name, WebSocket] of classes) {
    const front = await refusing(t, () => false)
    const gate = connectTo(t, front.url, { WebSocket, ...patient })
    t.match(await gate.next('retry'), { error: { code: 'handshake_failed', remedy: 'time' } }, name)
    front.handshake = undefined
    await gate.opened()
    await gate.publish('hello')
    await gate.close()
  }
})

t.test('a cut connection is noticed at once, with any WebSocket class', async t => {
  for (const [name, WebSocket] of classes) {
    const front = await startFront(t, server.url)
    const gate = connectTo(t, front.url, { WebSocket, ...patient })
    await gate.next('open')
    front.cut()
    t.match(await gate.next('retry'), { error: { code: 'connection_lost' } }, name)
    await gate.next('open')
    await gate.close()
  }
})

t.test('a handshake that timed out is not blamed on the ticket', async t => {
  const hasty = await startServer(t, { env: { TICKETGATE_TICKET_TTL_SECONDS: '1' } })
  for (const [name, WebSocket] of classes) {
    const front = await startFront(t, hasty.url)
    front.handshake = () => {}
    const gate = connectTo(t, front.url, { WebSocket, timeoutMs: 1500 })
    t.match(await gate.next('retry'), { error: { code: 'handshake_failed' } }, name)
    front.handshake = undefined
    await gate.opened()
    await gate.close()
  }
})

t.test('a socket cut before its welcome does not report a stolen ticket', async t => {
  const front = await startFront(t, server.url, statusSays({ state: 'used' }))
  front.handshake = refuseWith(401)
  const refused = connectTo(t, front.url)
  t.match(
    await refused.next('retry'),
    { error: { code: 'ticket_used' } },
    'without a handshake, it reports that the ticket was used',
  )
  await refused.close()

  class Cut extends WebSocket {
    constructor(url: string, protocols: string[]) {
      super(url, protocols)
      this.once('upgrade', response => response.socket.destroy())
    }
  }
  front.handshake = undefined
  const gate = connectTo(t, front.url, { WebSocket: Cut as unknown as SocketClass })
  t.match(await gate.next('retry'), { error: { code: 'handshake_failed' } })
  await gate.close()
})

t.test('a permanent refusal reported by the ticket status ends the connection', async t => {
  for (const code of ['origin_forbidden', 'channel_forbidden', 'token_revoked']) {
    const front = await refusing(t, statusSays({ state: 'live', refused: code }))
    const gate = connectTo(t, front.url, patient)
    t.match(await gate.next('close'), { code, remedy: 'nothing' }, code)
    t.equal(gate.tickets.length, 1)
  }
})

t.test('after other refusals reported by the ticket status, it waits and retries', async t => {
  const codes = ['address_mismatch', 'too_many_connections', 'draining', 'replay_cache_full', 'of_tomorrow']
  for (const code of codes) {
    const front = await refusing(t, statusSays({ state: 'live', refused: code }))
    const gate = connectTo(t, front.url, patient)
    t.match(await gate.next('retry'), { error: { code, remedy: 'time' } }, code)
    front.handshake = undefined
    await gate.opened()
    t.equal(new Set(gate.tickets).size, gate.tickets.length, 'every attempt uses another ticket')
    await gate.close()
  }
})

t.test('an unavailable or unreadable status is ignored', async t => {
  for (const status of [
    statusSays({ state: 'live' }),
    statusSays({ refused: 1 }),
    statusSays([]),
    statusSays({ refused: 'channel_forbidden' }, 429),
  ]) {
    const front = await refusing(t, status)
    const gate = connectTo(t, front.url, patient)
    t.match(await gate.next('retry'), { error: { code: 'handshake_failed' } })
    await gate.close()
  }
})
