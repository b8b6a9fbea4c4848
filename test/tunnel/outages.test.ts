import { once } from 'node:events'
import { createServer } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { freePort } from '../support/free-port.js'
import { jsonOf, metric, outcomeOf, postJson, requestUpgrade } from '../support/http.js'
import { hasRetryAfter, isProblem } from '../support/problem.js'
import type { TestServer } from '../support/server.js'
import { mint } from '../support/tokens.js'
import { openThrough, startTunnels } from '../support/tunnel.js'
import { startUpstream } from '../support/upstream.js'

const path = '/a/b'
const statusOf = async ({ url }: TestServer, ticket: string): Promise<unknown> =>
  jsonOf(await postJson(url, '/ws_ticket/status', { ticket }))

t.test('while the upstream server is down, handshakes are refused and tickets kept', async t => {
  const port = await freePort()
  const gate = await startTunnels(t, `/a/*=ws://127.0.0.1:${port}`, { TICKETGATE_TICKET_TTL_SECONDS: '60' })
  const first = await openThrough(gate, path)
  t.match(
    await first.closed,
    { code: 1014, reason: /^retry_after_ms=\d+$/ },
    'the first client is closed with 1014',
  )
  const ticket = await mint(gate.url)
  for (let n = 0; n < 3; n++) {
    const reply = await requestUpgrade(gate.url, `${path}?ticket=${ticket}`)
    isProblem(t, reply, '503 upstream_unavailable')
    hasRetryAfter(t, reply, 'upstream_unavailable', 10)
  }
  isProblem(
    t,
    await requestUpgrade(gate.url, `${path}?ticket=AQAB`),
    '401 ticket_invalid',
    'without a valid ticket, the outage does not show',
  )
  t.strictSame(await statusOf(gate, ticket), { state: 'live', refused: 'upstream_unavailable' })
  t.equal(await metric(gate, 'ticketgate_tunnel_dial_failures_total{tunnel="/a/*"}'), 1)
  t.equal(await metric(gate, 'ticketgate_connections_closed_total{reason="upstream_failed"}'), 1)

  const upstream = await startUpstream(t, { port })
  while (outcomeOf(await requestUpgrade(gate.url, `${path}?ticket=${await mint(gate.url)}`)) !== '101')
    await delay(20)
  const { socket, hears } = await openThrough(gate, '/a/again', { ticket })
  const arrival = await upstream.nextAt('/again')
  arrival.socket.send('back again')
  t.strictSame(await hears(1), ['text back again'], 'the ticket is still good')

  const open = await Promise.all(Array.from({ length: 20 }, () => openThrough(gate, path)))
  await upstream.kill()
  for (const { closed } of open) t.match(await closed, { code: 1014, reason: /^retry_after_ms=\d+$/ })
  socket.terminate()
  await gate.logged('the upstream server is unreachable')
  await gate.logged('the upstream server is reachable again')
})

t.test('an upstream server that refuses one client is not down', async t => {
  let status = 403
  const http = createServer((_, response) => response.writeHead(status).end())
  http.on('upgrade', (_, socket) => socket.end(`HTTP/1.1 ${status} No\r\ncontent-length: 0\r\n\r\n`))
  await once(http.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => http.close())
  const address = http.address()
  const port = typeof address === 'object' ? address?.port : 0
  const gate = await startTunnels(t, `/a/*=ws://127.0.0.1:${port}`)
  for (status of [403, 200, 302, 502]) {
    const { closed } = await openThrough(gate, path)
    t.match(await closed, { code: 1014, reason: /^retry_after_ms=\d+$/ }, String(status))
  }
  await gate.logged(/"status":403.*the upstream server refused a handshake/)
  await gate.stop()
  t.notMatch(gate.output(), 'the connection to the upstream server was lost', 'no connection was lost')
})

t.test('an upstream server that hangs up on one client still gets the next ones', async t => {
  const http = createServer()
  http.on('upgrade', (_, socket) => socket.destroy())
  await once(http.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => http.close())
  const address = http.address()
  const port = typeof address === 'object' ? address?.port : 0
  const gate = await startTunnels(t, `/a/*=ws://127.0.0.1:${port}`)
  for (let n = 0; n < 3; n++)
    t.match(await (await openThrough(gate, path)).closed, { code: 1014, reason: /^retry_after_ms=\d+$/ })
  await gate.logged(/"reason":"ECONNRESET".*the connection to the upstream server was lost/)
  t.equal(await metric(gate, 'ticketgate_tunnel_dial_failures_total{tunnel="/a/*"}'), 3)
})

t.test('a gate can stop while its upstream servers are down', async t => {
  const gate = await startTunnels(t, `/a/*=ws://127.0.0.1:${await freePort()}`)
  await (await openThrough(gate, path)).closed
  t.strictSame(await gate.stop(), { code: 0, signal: null })
})
