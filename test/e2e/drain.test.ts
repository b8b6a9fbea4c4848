import t from 'tap'
import { bearer, request } from '../support/http.js'
import { hasRetryAfter, isProblem } from '../support/problem.js'
import { RawConnection, requestText, serverHasRead, upgradeText } from '../support/raw.js'
import { adminKey, startServer, type TestServer } from '../support/server.js'
import { type Client, openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, mint, tokenFor } from '../support/tokens.js'

const sockets = 300

const openMany = async (server: TestServer, count = sockets): Promise<Client[]> => {
  const clients: Client[] = []
  for (let n = 0; n < count; n++) {
    const { client } = await openSession(socketUrl(server.url, gatePath(await mint(server.url))))
    clients.push(client)
  }
  return clients
}

/** A socket whose client does not reply to a close. */
const openDeaf = async (server: TestServer): Promise<RawConnection> => {
  const deaf = await RawConnection.connect(server.url)
  deaf.write(upgradeText(gatePath(await mint(server.url))))
  if ((await deaf.response())?.status !== 101) throw new Error('the handshake was refused')
  deaf.socket.pause()
  return deaf
}

/** Asks over an open connection until the server says that it is not ready. */
const untilNotReady = async (ready: RawConnection) => {
  for (;;) {
    ready.write(requestText('GET', '/readyz'))
    const response = await ready.response()
    if (response === undefined || response.status !== 200) return response
  }
}

t.test('on SIGTERM it refuses new clients, closes all sockets with 1012 and exits with 0', async t => {
  const server = await startServer(t, {
    env: { TICKETGATE_DRAIN_SECONDS: '10', TICKETGATE_TICKET_TTL_SECONDS: '120' },
  })
  t.equal((await request(server.url, '/readyz')).status, 200, 'it is ready before the signal')
  const clients = await openMany(server)
  // The listener stays open as long as this socket does.
  const deaf = await openDeaf(server)
  const ticket = await mint(server.url)
  const [ready, mintConnection, gate, health, idle] = await Promise.all([
    RawConnection.connect(server.url),
    RawConnection.connect(server.url),
    RawConnection.connect(server.url),
    RawConnection.connect(server.url),
    RawConnection.connect(server.url),
  ])
  idle.write('GET /healthz HTTP/1.1\r\nHost: never-finis')
  server.signal('SIGTERM')
  const notReady = await untilNotReady(ready)
  mintConnection.write(requestText('GET', '/ws_ticket', { authorization: `Bearer ${tokenFor('maggie')}` }))
  gate.write(upgradeText(gatePath(ticket)))
  health.write(requestText('GET', '/healthz'))
  const [minted, upgraded] = await Promise.all([mintConnection.response(), gate.response()])
  t.equal(notReady?.status, 503, '/readyz returns 503')
  for (const [name, response] of [
    ['mint', minted],
    ['gate', upgraded],
  ] as const) {
    if (response === undefined) t.fail(`${name}: there is a reply while draining`)
    else {
      isProblem(t, response, '503 draining', name)
      hasRetryAfter(t, response, name)
    }
  }
  const closes = await Promise.all(clients.map(client => client.closed))
  deaf.destroy()
  t.strictSame(
    closes.filter(({ code, reason }) => code !== 1012 || !/^retry_after_ms=[0-9]+$/.test(reason)),
    [],
    'every socket is closed with 1012 and a time to reconnect',
  )
  const delays = new Set(closes.map(({ reason }) => reason))
  t.ok(delays.size > sockets / 10, `the times are spread: ${delays.size} distinct ones`)
  t.strictSame(await server.exited, { code: 0, signal: null }, 'it exits with 0')
  await Promise.all([ready, mintConnection, gate, health, idle].map(connection => connection.closed))
})

t.test('it exits with 0 by the deadline even if a client never replies to its close', async t => {
  const server = await startServer(t, { env: { TICKETGATE_DRAIN_SECONDS: '1' } })
  const deaf = await openDeaf(server)
  t.strictSame(await server.stop(), { code: 0, signal: null })
  deaf.destroy()
})

t.test('it exits with 0 at once if there are no sockets', async t => {
  const server = await startServer(t, { env: { TICKETGATE_DRAIN_SECONDS: '3600' } })
  t.strictSame(await server.stop(), { code: 0, signal: null })
})

t.test('a login that waits for the next second gets its reply before the exit', async t => {
  // With a node name, the login waits until its token would not be revoked: up to two seconds.
  const server = await startServer(t, {
    users: { maggie: 'secret' },
    env: { TICKETGATE_NODE: 'gate-1', TICKETGATE_DRAIN_SECONDS: '60' },
  })
  await request(server.admin, '/disconnect', {
    method: 'POST',
    headers: bearer(adminKey),
    body: '{"user":"maggie"}',
  })
  const login = await RawConnection.connect(server.url)
  const body = '{"user":"maggie","pwd":"secret"}'
  login.write(requestText('POST', '/auth', { 'content-length': String(body.length) }, body))
  await serverHasRead(server.url)
  server.signal('SIGTERM')
  t.equal((await login.response())?.status, 200)
  t.strictSame(await server.exited, { code: 0, signal: null })
})

t.test('a second signal ends it at once', async t => {
  for (const [threads, verify] of [
    ['1', 'off'],
    ['2', 'off'],
    ['1', 'on'],
    ['2', 'on'],
  ] as const) {
    const server = await startServer(t, {
      env: {
        TICKETGATE_DRAIN_SECONDS: '3600',
        TICKETGATE_THREADS: threads,
        TICKETGATE_VERIFY: verify,
      },
    })
    const clients = await openMany(server, 20)
    for (const client of clients) client.socket.pause()
    const ready = await RawConnection.connect(server.url)
    server.signal('SIGTERM')
    await untilNotReady(ready)
    server.signal('SIGTERM')
    t.strictSame(await server.exited, { code: 1, signal: null }, `${threads} threads, verify ${verify}`)
    for (const client of clients) client.socket.terminate()
  }
})

t.test('with /verify on, it stays up long enough for a proxy to see that it is not ready', async t => {
  // It stays up for a tenth of this: long enough for a busy machine.
  const server = await startServer(t, { env: { TICKETGATE_DRAIN_SECONDS: '60', TICKETGATE_VERIFY: 'on' } })
  server.signal('SIGTERM')
  let status = 0
  while (status !== 503) status = (await request(server.url, '/readyz')).status
  isProblem(t, await request(server.url, '/verify?ticket=x'), '503 draining')
  t.strictSame(await server.exited, { code: 0, signal: null })
})

t.test('SIGHUP has no effect if there is nothing to reread', async t => {
  for (const threads of ['1', '2']) {
    const server = await startServer(t, { env: { TICKETGATE_THREADS: threads } })
    server.signal('SIGHUP')
    await server.logged('there is no user file')
    t.strictSame(await server.stop(), { code: 0, signal: null }, `${threads} threads`)
  }
})

t.test('the last log lines are written', async t => {
  const server = await startServer(t)
  await server.stop()
  t.match(server.output(), /"msg":"stopped"/)
})

t.test('SIGINT drains like SIGTERM', async t => {
  const server = await startServer(t)
  server.signal('SIGINT')
  t.strictSame(await server.exited, { code: 0, signal: null })
})

t.test('it exits even if its log is no longer read', async t => {
  const server = await startServer(t)
  server.hangUpOutput()
  t.strictSame(await server.stop(), { code: 0, signal: null })
})
