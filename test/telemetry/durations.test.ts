import t from 'tap'
import { jsonOf, metric, outcomeOf, postJson } from '../support/http.js'
import { needs } from '../support/programs.js'
import { startRedis } from '../support/redis.js'
import { startServer, type TestServer } from '../support/server.js'
import { openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, mint, mintWith } from '../support/tokens.js'

const countOf = (server: TestServer, name: string): Promise<number> =>
  metric(server, `ticketgate_${name}_duration_seconds_count`)

t.test('the durations that users notice are measured, across all threads', async t => {
  const users = { maggie: 'a long enough password' }
  const server = await startServer(t, { users, env: { TICKETGATE_THREADS: '2' } })
  const reply = await postJson(server.url, '/auth', { user: 'maggie', pwd: users.maggie })
  t.equal(
    outcomeOf(await postJson(server.url, '/auth', { user: 'maggie', pwd: 'wrong' })),
    '401 bad_credentials',
  )
  const { ticket } = await mintWith(server.url, String(jsonOf(reply).token))
  await openSession(socketUrl(server.url, gatePath(ticket)))
  t.equal(await countOf(server, 'login'), 2, 'refused logins count as well')
  t.equal(await countOf(server, 'password_queue'), 2)
  t.equal(
    await countOf(server, 'ticket'),
    1,
    'the first request in each thread is measured, and then one in 16',
  )
  t.equal(await countOf(server, 'handshake'), 1)
  t.ok((await metric(server, 'ticketgate_login_duration_seconds_sum')) > 0)
  for (const name of ['ticketgate_event_loop_delay_seconds', 'ticketgate_gc_duration_seconds'])
    t.ok((await metric(server, `${name}_count`)) >= 0, name)
  t.ok((await metric(server, 'process_open_fds')) > 10)
})

t.test('the time to spend a ticket in Redis is measured', needs('redis-server'), async t => {
  const redis = await startRedis(t)
  const server = await startServer(t, {
    env: {
      TICKETGATE_REPLAY: 'redis',
      TICKETGATE_REDIS_URL: redis.url,
      TICKETGATE_TICKET_KEYS: '7:EvN1lSB-Ipj4w4Q08Or94l_eCvSeZ-_Z-vtFEk6x_uI',
    },
  })
  for (let n = 0; n < 2; n++) await openSession(socketUrl(server.url, gatePath(await mint(server.url))))
  t.equal(await countOf(server, 'replay_claim'), 2)
})
