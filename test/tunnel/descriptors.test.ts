import { readdirSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { metric, requestUpgrade } from '../support/http.js'
import { isProblem } from '../support/problem.js'
import { RawConnection } from '../support/raw.js'
import { mint } from '../support/tokens.js'
import { openThrough, startTunnels } from '../support/tunnel.js'
import { startUpstream } from '../support/upstream.js'

const path = '/a/b'
const openFiles = 256
const closedByFailure = 'ticketgate_connections_closed_total{reason="upstream_failed"}'

t.test('as many sockets are accepted as there are descriptors for both their sides', async t => {
  const upstream = await startUpstream(t)
  const gate = await startTunnels(t, `/a/*=ws://127.0.0.1:${upstream.port}`, {}, { openFiles })
  let count = 0
  for (;;) {
    const ticket = await mint(gate.url)
    const opened = await openThrough(gate, path, { ticket }).catch(() => undefined)
    if (opened === undefined) {
      const reply = await requestUpgrade(gate.url, `${path}?ticket=${ticket}`)
      isProblem(t, reply, '429 too_many_connections')
      break
    }
    count++
  }
  t.equal(count, (openFiles - 64) / 2)
  for (let n = 0; n < count; n++) await upstream.next()
  t.equal(await metric(gate, closedByFailure), 0, 'all have reached the upstream server')
})

t.test('an upstream server is not down if the gate has no descriptor left', async t => {
  const upstream = await startUpstream(t)
  const env = { TICKETGATE_MAX_CONNECTIONS: '0' }
  const gate = await startTunnels(t, `/a/*=ws://127.0.0.1:${upstream.port}`, env, { openFiles })
  const tickets = [await mint(gate.url), await mint(gate.url)] as const
  const open = (): number => readdirSync(`/proc/${gate.pid}/fd`).length
  const fillers: RawConnection[] = []
  while (open() < openFiles - 1) {
    const filler = await RawConnection.connect(gate.url)
    filler.write('GET /healthz HTTP/1.1\r\nhost: gate\r\n\r\n')
    await filler.response()
    fillers.push(filler)
  }
  const { closed } = await openThrough(gate, path, { ticket: tickets[0] })
  t.match(await closed, { code: 1014 }, 'the last descriptor was that of the client')
  await gate.logged('no file descriptor was left for a connection to the upstream server')
  for (const filler of fillers) filler.destroy()
  while (open() > openFiles / 2) await delay(1)
  await openThrough(gate, path, { ticket: tickets[1] })
  await upstream.next()
  t.notMatch(gate.output(), 'the upstream server is unreachable')
})
