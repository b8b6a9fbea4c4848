import t from 'tap'
import { jsonOf, metric, outcomeOf, postJson, request, requestUpgrade } from '../support/http.js'
import { isProblem } from '../support/problem.js'
import { RawConnection, upgradeText } from '../support/raw.js'
import { adminKey, startServer, type TestServer } from '../support/server.js'
import { type Client, openSession, socketUrl } from '../support/socket-client.js'
import { tally } from '../support/tally.js'
import { gatePath, mint, mintWith, tokenFor } from '../support/tokens.js'

const two = { TICKETGATE_THREADS: '2' }
const accepted = '"handshake accepted"'

const connectionsOf = async (server: TestServer): Promise<number> =>
  Number(
    jsonOf(await request(server.admin, '/connections', { headers: { authorization: `Bearer ${adminKey}` } }))
      .connections,
  )

/** Opens this many sockets. The kernel spreads them over both threads by port. */
const joinMany = async (server: TestServer, count: number, channel: string): Promise<Client[]> => {
  const clients: Client[] = []
  for (let n = 0; n < count; n++) {
    const path = gatePath(await mint(server.url, `user-${n}`), channel)
    clients.push((await openSession(socketUrl(server.url, path))).client)
  }
  return clients
}

/** Resolves when both threads have logged a line with these words. */
const bothLogged = async (server: TestServer, words: string): Promise<void> => {
  for (const thread of [0, 1])
    await server.log.entriesThat(entry => entry.thread === thread && JSON.stringify(entry).includes(words))
}

t.test('of 100 attempts with one ticket on two threads, exactly one succeeds', async t => {
  const server = await startServer(t, { env: { ...two, TICKETGATE_LOG_LEVEL: 'debug' } })
  const racers = 100
  for (let round = 1; round <= 10; round++) {
    const ticket = await mint(server.url)
    const sockets = await Promise.all(Array.from({ length: racers }, () => RawConnection.connect(server.url)))
    for (const socket of sockets) socket.write(upgradeText(gatePath(ticket)))
    const answers = await Promise.all(sockets.map(socket => socket.response()))
    t.strictSame(tally(answers.map(outcomeOf)), { '101': 1, '401 ticket_used': racers - 1 }, `round ${round}`)
    for (const socket of sockets) socket.destroy()
  }
  await bothLogged(server, 'ticket_used')
})

t.test('a ticket of one thread opens a socket on the other, and a login is valid on both', async t => {
  const server = await startServer(t, {
    users: { maggie: 'secret' },
    env: { ...two, TICKETGATE_LOG_LEVEL: 'debug' },
  })
  const { token } = jsonOf(await postJson(server.url, '/auth', { user: 'maggie', pwd: 'secret' }))
  const results: string[] = []
  for (let n = 0; n < 40; n++) {
    const { ticket } = await mintWith(server.url, String(token))
    results.push(outcomeOf(await requestUpgrade(server.url, gatePath(ticket))))
    results.push(outcomeOf(await requestUpgrade(server.url, gatePath(ticket))))
  }
  t.strictSame(tally(results), { '101': 40, '401 ticket_used': 40 })
  await bothLogged(server, accepted)
  t.strictSame(
    {
      tokens: await metric(server, 'ticketgate_tokens_issued_total'),
      tickets: await metric(server, 'ticketgate_tickets_issued_total'),
      accepted: await metric(server, 'ticketgate_handshakes_accepted_total'),
      used: await metric(server, 'ticketgate_handshakes_refused_total{code="ticket_used"}'),
      spent: (await metric(server, 'ticketgate_replay_cache_high_water')) > 0,
    },
    { tokens: 1, tickets: 40, accepted: 40, used: 40, spent: true },
    'the metrics add up those of both threads',
  )
})

t.test('rate limits apply across both threads', async t => {
  const server = await startServer(t, {
    env: { ...two, TICKETGATE_TICKET_RATE: '15/600', TICKETGATE_LOGIN_RATE: '12/600' },
  })
  const tickets: number[] = []
  for (let n = 0; n < 40; n++)
    tickets.push(
      (
        await request(server.url, '/ws_ticket', {
          headers: { authorization: `Bearer ${tokenFor('maggie', { jti: n })}` },
        })
      ).status,
    )
  t.strictSame(tally(tickets), { '200': 15, '429': 25 }, 'tickets of a user')
  const logins: number[] = []
  for (let n = 0; n < 30; n++)
    logins.push((await postJson(server.url, '/auth', { user: 'maggie', pwd: 'wrong' })).status)
  t.strictSame(tally(logins), { '401': 12, '429': 18 }, 'logins from an address')
})

t.test('caps apply across both threads, and a closed socket makes room', async t => {
  const cases = [
    ['in total', { TICKETGATE_MAX_CONNECTIONS: '7' }],
    ['per user', { TICKETGATE_MAX_CONNECTIONS_PER_USER: '7' }],
    ['per address', { TICKETGATE_MAX_CONNECTIONS_PER_ADDRESS: '7' }],
  ] as const
  for (const [name, cap] of cases) {
    const server = await startServer(t, { env: { ...two, ...cap } })
    const enterOne = async () =>
      (await openSession(socketUrl(server.url, gatePath(await mint(server.url))))).client
    const clients: Client[] = []
    for (let n = 0; n < 7; n++) clients.push(await enterOne())
    t.equal(await connectionsOf(server), 7)
    for (let n = 0; n < 10; n++)
      isProblem(
        t,
        await requestUpgrade(server.url, gatePath(await mint(server.url))),
        '429 too_many_connections',
        name,
      )
    await clients.pop()?.close()
    while ((await connectionsOf(server)) > 6);
    clients.push(await enterOne())
    isProblem(
      t,
      await requestUpgrade(server.url, gatePath(await mint(server.url))),
      '429 too_many_connections',
      name,
    )
    for (const client of clients) client.socket.terminate()
    await server.stop()
  }
})

t.test('messages published on one thread arrive on both, once and in order', async t => {
  const server = await startServer(t, { env: { ...two, TICKETGATE_LOG_LEVEL: 'debug' } })
  const clients = await joinMany(server, 16, 'red')
  await bothLogged(server, accepted)
  const elsewhere = (await joinMany(server, 1, 'blue'))[0]
  for (const [index, publisher] of clients.entries()) {
    publisher.send({ type: 'publish', data: `${index} first` })
    publisher.send({ type: 'publish', data: `${index} second` })
    for (const [other, client] of clients.entries()) {
      if (client === publisher) continue
      const heard = [(await client.next()).data, (await client.next()).data]
      if (String(heard) !== `${index} first,${index} second`) t.fail(`${index} to ${other}: ${heard}`)
    }
  }
  // A message from another channel, or back to its publisher, would arrive before the pong.
  for (const client of [...clients, elsewhere])
    t.match(await client?.ask({ type: 'ping', id: 'anything before?' }), { type: 'pong' })
  for (const client of [...clients, elsewhere]) client?.socket.terminate()
})

t.test(
  'on SIGTERM the sockets of both threads are closed with 1012, and the server exits with 0',
  async t => {
    const server = await startServer(t, {
      env: { ...two, TICKETGATE_DRAIN_SECONDS: '10', TICKETGATE_LOG_LEVEL: 'debug' },
    })
    const clients = await joinMany(server, 30, 'red')
    await bothLogged(server, accepted)
    const exit = server.stop()
    const closes = await Promise.all(clients.map(client => client.closed))
    t.strictSame(
      closes.filter(({ code, reason }) => code !== 1012 || !/^retry_after_ms=\d+$/.test(reason)),
      [],
    )
    t.strictSame(await exit, { code: 0, signal: null })
  },
)
