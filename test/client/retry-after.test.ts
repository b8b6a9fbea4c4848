import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { WebSocketServer } from 'ws'
import { connectTo } from '../support/gate-client.js'

const tenMinutesMs = 600_000

async function serve(t: Test, answer: RequestListener, closeReason: string): Promise<string> {
  const http = createServer(answer).listen(0, '127.0.0.1')
  await once(http, 'listening')
  const sockets = new WebSocketServer({ server: http, handleProtocols: () => 'ticketgate.v1.json' })
  sockets.on('connection', peer => peer.close(4429, closeReason))
  t.teardown(() => {
    http.closeAllConnections()
    http.close()
  })
  return `http://127.0.0.1:${(http.address() as AddressInfo).port}`
}

const refusing =
  (seconds: string): RequestListener =>
  (_, response) => {
    response.writeHead(503, { 'retry-after': seconds }).end()
  }

const issuing: RequestListener = (_, response) => {
  response.writeHead(200, { 'content-type': 'application/json' }).end('{"ticket":"AAAA"}')
}

t.test('a wait that the server asks for is honoured, up to ten minutes', async t => {
  const cases = [
    ['within the bound', refusing('599'), '', 599_000],
    ['at the bound', refusing('600'), '', tenMinutesMs],
    ['three years', refusing('99999999'), '', tenMinutesMs],
    ['a date', refusing('Fri, 31 Dec 2382 23:59:59 GMT'), '', tenMinutesMs],
    ['a number too large', refusing('9'.repeat(400)), '', tenMinutesMs],
    ['in a close reason', issuing, 'retry_after_ms=999999999', tenMinutesMs],
    ['in a close reason, within the bound', issuing, 'retry_after_ms=599999', 599_999],
  ] as const
  for (const [name, answer, closeReason, waitMs] of cases) {
    const gate = connectTo(t, await serve(t, answer, closeReason), { maxDelayMs: 1000 })
    const { delayMs } = await gate.next('retry')
    t.ok(delayMs >= waitMs && delayMs <= waitMs + 1000, `${name}: ${delayMs}`)
    await gate.close()
  }
})
