import { once } from 'node:events'
import t from 'tap'
import { metric, outcomeOf, requestUpgrade } from '../support/http.js'
import { hasRetryAfter, isProblem } from '../support/problem.js'
import { RawConnection, upgradeText } from '../support/raw.js'
import { startServer } from '../support/server.js'
import { tally } from '../support/tally.js'
import { gatePath, mint, mintWith, tokenFor } from '../support/tokens.js'

const rounds = 20
const racers = 100

t.test('of 100 sockets with the same ticket exactly one opens, in every round', async t => {
  const server = await startServer(t)
  for (let round = 1; round <= rounds; round++) {
    const ticket = await mint(server.url)
    const sockets = await Promise.all(Array.from({ length: racers }, () => RawConnection.connect(server.url)))
    const texts = sockets.map((_, index) =>
      index % 2 === 0
        ? upgradeText(gatePath(ticket))
        : upgradeText('/channel/', {
            'sec-websocket-protocol': `ticketgate.v1.json, ticket.${ticket}`,
          }),
    )
    sockets.forEach((socket, index) => {
      socket.write(texts[index] ?? '')
    })
    const answers = await Promise.all(sockets.map(socket => socket.response()))
    t.strictSame(tally(answers.map(outcomeOf)), { '101': 1, '401 ticket_used': racers - 1 }, `round ${round}`)
    for (const socket of sockets) socket.destroy()
  }
})

t.test('a ticket stays spent after its socket is gone, however it left', async t => {
  const server = await startServer(t, { env: { TICKETGATE_TICKET_TTL_SECONDS: '600' } })
  const departures = {
    'by FIN': (socket: RawConnection) => void socket.socket.end(),
    'by RST': (socket: RawConnection) => socket.reset(),
    'before it read the 101': (socket: RawConnection) => socket.destroy(),
  }
  for (const [name, leave] of Object.entries(departures)) {
    const ticket = await mint(server.url)
    const socket = await RawConnection.connect(server.url)
    socket.write(upgradeText(gatePath(ticket)))
    await once(socket.socket, 'data')
    leave(socket)
    await socket.closed
    isProblem(t, await requestUpgrade(server.url, gatePath(ticket)), '401 ticket_used', name)
  }
})

t.test('a full cache refuses fresh tickets and never forgets used ones', async t => {
  const capacity = 100
  const server = await startServer(t, {
    env: { TICKETGATE_REPLAY_CAPACITY: String(capacity), TICKETGATE_TICKET_TTL_SECONDS: '600' },
  })
  const token = tokenFor('maggie')
  const fresh = async (): Promise<string> => (await mintWith(server.url, token)).ticket
  const used: string[] = []
  for (let n = 0; n < capacity; n++) {
    const ticket = await fresh()
    used.push(ticket)
    const { status } = await requestUpgrade(server.url, gatePath(ticket))
    if (status !== 101) t.fail(`ticket ${n}: ${status}`)
  }
  const refused = await requestUpgrade(server.url, gatePath(await fresh()))
  isProblem(t, refused, '503 replay_cache_full', 'a fresh ticket')
  hasRetryAfter(t, refused, 'a fresh ticket', 600)
  for (const index of [0, 1, capacity - 1])
    isProblem(
      t,
      await requestUpgrade(server.url, gatePath(used[index] ?? '')),
      '401 ticket_used',
      `used ticket ${index}`,
    )

  t.equal(await metric(server, 'ticketgate_replay_cache_capacity'), capacity, 'the capacity is a metric')
  t.equal(await metric(server, 'ticketgate_replay_cache_high_water'), capacity, 'so is the high-water mark')
})
