import { once } from 'node:events'
import { createConnection } from 'node:net'
import t from 'tap'
import { request, requestUpgrade } from '../support/http.js'
import { isProblem } from '../support/problem.js'
import { requestText } from '../support/raw.js'
import { reset } from '../support/reset.js'
import { startServer } from '../support/server.js'
import { gatePath, mint, mintWith, tokenFor } from '../support/tokens.js'

const env = { TICKETGATE_TICKET_TTL_SECONDS: '600' }

t.test('a restart voids all tickets, used or not, but no tokens', async t => {
  const first = await startServer(t, { env })
  const token = tokenFor('maggie')
  const { ticket: used } = await mintWith(first.url, token)
  const { ticket: unused } = await mintWith(first.url, token)
  t.equal((await requestUpgrade(first.url, gatePath(used))).status, 101)
  t.strictSame(await first.stop(), { code: 0, signal: null })

  const second = await startServer(t, { env, stateDir: first.stateDir })
  isProblem(
    t,
    await requestUpgrade(second.url, gatePath(used)),
    '401 ticket_invalid',
    'used before the restart',
  )
  isProblem(
    t,
    await requestUpgrade(second.url, gatePath(unused)),
    '401 ticket_invalid',
    'unused before the restart',
  )
  const { ticket } = await mintWith(second.url, token)
  t.equal((await requestUpgrade(second.url, gatePath(ticket))).status, 101, 'the token still gets a ticket')
})

t.test('a kill voids all tickets too', async t => {
  const first = await startServer(t, { env })
  const used = await mint(first.url)
  t.equal((await requestUpgrade(first.url, gatePath(used))).status, 101)
  first.signal('SIGKILL')
  await first.exited
  const second = await startServer(t, { env, stateDir: first.stateDir })
  isProblem(t, await requestUpgrade(second.url, gatePath(used)), '401 ticket_invalid')
})

t.test('two gates side by side do not accept each other’s tickets', async t => {
  const one = await startServer(t, { env })
  const other = await startServer(t, { env })
  const ticket = await mint(one.url)
  isProblem(t, await requestUpgrade(other.url, gatePath(ticket)), '401 ticket_invalid')
  t.equal((await requestUpgrade(one.url, gatePath(ticket))).status, 101, 'the refusal did not spend it')
})

t.test('it starts on its old port once the kernel has released it', async t => {
  const first = await startServer(t)
  // The kernel holds the port while a connection is closed by the server but not by its client.
  const left = createConnection({ port: first.port, host: '127.0.0.1', allowHalfOpen: true })
  t.teardown(() => left.destroy())
  await once(left, 'connect')
  left.write(requestText('GET', '/healthz'))
  await once(left, 'data')
  const ended = once(left.resume(), 'end')
  first.signal('SIGKILL')
  await ended
  const second = await startServer(t, {
    env: { TICKETGATE_PORT: String(first.port) },
    onLog: log => void log.logged('has not released the port').then(() => reset(left)),
  })
  t.ok(left.destroyed, 'it waited for the port')
  t.equal(second.port, first.port)
  t.equal((await request(second.url, '/healthz')).status, 200)
})
