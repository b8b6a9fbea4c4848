import t from 'tap'
import { freePort } from '../support/free-port.js'
import { connectTo } from '../support/gate-client.js'
import { startServer } from '../support/server.js'
import { openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, mint, tokenFor } from '../support/tokens.js'

t.test('reconnects after a restart, with a new ticket and its subscriptions', async t => {
  const env = { TICKETGATE_PORT: String(await freePort()) }
  const first = await startServer(t, { env })
  const gate = connectTo(t, first.url, { channel: 'lobby' })
  await gate.subscribe('news')
  await gate.subscribe('gone')
  await gate.unsubscribe('gone')
  await gate.unsubscribe('lobby')
  await first.stop()
  const { error, delayMs } = await gate.next('retry')
  t.match(error, { code: 'draining' })
  t.ok(
    error.retryAfterMs !== undefined && delayMs >= error.retryAfterMs,
    'it does not return earlier than the server says',
  )

  const second = await startServer(t, { env, stateDir: first.stateDir })
  await gate.next('open')
  await gate.next('open')
  const { client } = await openSession(
    socketUrl(second.url, gatePath(await mint(second.url, 'theo'), 'peer')),
  )
  // The server handles everything that the client sends after the welcome before it answers this.
  await gate.publish('marker', 'peer')
  await client.nextWith({ data: 'marker' })
  for (const channel of ['gone', 'lobby', 'news'])
    await client.ask({ type: 'publish', channel, data: 'again', id: channel })
  t.match(
    await gate.next('message'),
    { channel: 'news', data: 'again' },
    'it receives only the channel it subscribed to',
  )
  t.equal(new Set(gate.tickets).size, gate.tickets.length, 'no ticket is presented twice')
  t.ok(gate.tickets.length >= 2)
  await client.close()
})

t.test('reconnects after a crash', async t => {
  const env = { TICKETGATE_PORT: String(await freePort()) }
  const first = await startServer(t, { env })
  const gate = connectTo(t, first.url)
  await gate.next('open')
  first.signal('SIGKILL')
  await first.exited
  t.match(await gate.next('retry'), { error: { code: 'connection_lost' } })
  t.match(await gate.next('retry'), { error: { code: 'unreachable' } })
  await startServer(t, { env, stateDir: first.stateDir })
  await gate.next('open')
  t.equal(new Set(gate.tickets).size, gate.tickets.length)
})

t.test('a channel no longer permitted is reported as lost', async t => {
  const env = { TICKETGATE_PORT: String(await freePort()) }
  const first = await startServer(t, { env })
  let channels: object | undefined
  const gate = connectTo(t, first.url, {
    channel: 'lobby',
    getToken: () => tokenFor('maggie', channels === undefined ? {} : { channels }),
  })
  await gate.subscribe('news')
  channels = { publish: [], subscribe: ['lobby'] }
  first.signal('SIGKILL')
  await first.exited
  await startServer(t, { env, stateDir: first.stateDir })
  t.match(await gate.next('lost'), { channel: 'news', error: { code: 'channel_forbidden' } })
  t.equal(gate.state, 'open')
})
