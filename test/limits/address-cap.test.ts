import t from 'tap'
import { bearer, jsonOf, postJson, request, requestUpgrade } from '../support/http.js'
import { isProblem } from '../support/problem.js'
import { RawConnection, upgradeText } from '../support/raw.js'
import { adminKey, startServer, type TestServer } from '../support/server.js'
import { attempt, Client, open, socketUrl } from '../support/socket-client.js'
import { gatePath, mint, nowSeconds, tokenFor } from '../support/tokens.js'

const cap = 3
const env = {
  TICKETGATE_FIRST_MESSAGE_SECONDS: '60',
  TICKETGATE_MAX_CONNECTIONS_PER_ADDRESS: String(cap),
  TICKETGATE_MAX_CONNECTIONS_PER_USER: '1',
}

const path = '/channel/lobby'

const admin = (server: TestServer) => ({
  count: async () => jsonOf(await request(server.admin, '/connections', { headers: bearer(adminKey) })),
  disconnect: (user: string) =>
    postJson(server.admin, '/disconnect', { user }, { headers: bearer(adminKey) }),
})

/** Resolves once the server has noticed that all sockets are closed. */
async function allGone(server: TestServer): Promise<void> {
  for (const { count } = admin(server); (await count()).connections !== 0; );
}

const silent = (server: TestServer): Promise<Client> => open(socketUrl(server.url, path))

async function identified(server: TestServer, user = 'maggie'): Promise<Client> {
  const client = await silent(server)
  const welcome = await client.ask({ type: 'auth', payload: tokenFor(user, { iat: nowSeconds() - 1 }) })
  if (welcome.type !== 'welcome') throw new Error(`no welcome: ${JSON.stringify(welcome)}`)
  return client
}

const ticketed = async (server: TestServer): Promise<Client> =>
  open(socketUrl(server.url, gatePath(await mint(server.url, 'theo'), 'lobby')))

/** How many sockets this address gets now, at most one more than the cap. */
async function room(server: TestServer): Promise<number> {
  const clients: Client[] = []
  while (clients.length <= cap) {
    const outcome = await attempt(socketUrl(server.url, path))
    if (!(outcome instanceof Client)) break
    clients.push(outcome)
  }
  await Promise.all(clients.map(client => client.close()))
  await allGone(server)
  return clients.length
}

/** The same, repeated while it is below the cap: the server may notice an aborted handshake late. */
async function roomEventually(server: TestServer): Promise<number> {
  let found = 0
  for (let tries = 0; tries < 50 && found < cap; tries++) found = await room(server)
  return found
}

/** Ways for a socket, or a handshake, to begin and end. */
const ways: readonly (readonly [name: string, go: (server: TestServer) => Promise<unknown>])[] = [
  ['sends nothing and closes', async server => (await silent(server)).close()],
  [
    'sends nothing and disconnects',
    async server => {
      const client = await silent(server)
      client.socket.terminate()
      await client.closed
    },
  ],
  [
    'sends an invalid message',
    async server => {
      const client = await silent(server)
      client.send('hello')
      await client.closed
    },
  ],
  [
    'sends too large a message',
    async server => {
      const client = await silent(server)
      client.send('x'.repeat(20_000))
      await client.closed
    },
  ],
  [
    'has no right to the channel',
    async server => {
      const client = await silent(server)
      client.send({ type: 'auth', payload: tokenFor('m', { channels: { publish: ['x'] } }) })
      await client.closed
    },
  ],
  ['authenticates and closes', async server => (await identified(server)).close()],
  [
    'authenticates and disconnects',
    async server => {
      const client = await identified(server)
      client.socket.terminate()
      await client.closed
    },
  ],
  [
    'is one too many of its user',
    async server => {
      const [first, second] = [await identified(server), await silent(server)]
      second.send({ type: 'auth', payload: tokenFor('maggie') })
      await second.closed
      await first.close()
    },
  ],
  [
    'is disconnected',
    async server => {
      const client = await identified(server, 'bart')
      await admin(server).disconnect('bart')
      await client.closed
    },
  ],
  ['has a ticket', async server => (await ticketed(server)).close()],
  [
    'is one too many of its address',
    async server => {
      const clients = [await silent(server), await identified(server), await ticketed(server)]
      await requestUpgrade(server.url, path)
      await requestUpgrade(server.url, gatePath(await mint(server.url, 'lisa'), 'lobby'))
      await Promise.all(clients.map(client => client.close()))
    },
  ],
  ['has a bad ticket', server => requestUpgrade(server.url, `${path}?ticket=no`)],
  [
    'has a forbidden origin',
    server => requestUpgrade(server.url, path, { headers: { origin: 'https://evil.example' } }),
  ],
  [
    'hangs up during the handshake',
    async server => {
      const connection = await RawConnection.connect(server.url)
      connection.write(upgradeText(path))
      connection.reset()
      await connection.closed
    },
  ],
]

for (const threads of ['1', '2'])
  t.test(`the cap of an address counts each socket once until its end, with ${threads} threads`, async t => {
    const server = await startServer(t, { env: { ...env, TICKETGATE_THREADS: threads } })
    t.equal(await room(server), cap, 'unauthenticated sockets count')
    for (const [name, go] of ways) {
      await go(server)
      await allGone(server)
      t.equal(await roomEventually(server), cap, name)
    }
    await Promise.all(
      ways.filter(([name]) => !name.includes('one too many')).map(([, go]) => go(server).catch(() => {})),
    )
    await allGone(server)
    t.equal(await roomEventually(server), cap, 'all at once')
  })

t.test('a socket that does not authenticate in time no longer counts', async t => {
  const server = await startServer(t, {
    env: { ...env, TICKETGATE_FIRST_MESSAGE_SECONDS: '1', TICKETGATE_MAX_CONNECTIONS_PER_ADDRESS: '1' },
  })
  t.equal((await (await silent(server)).closed).code, 4408)
  await (await silent(server)).close()
})

t.test('a socket that authenticates is counted once', async t => {
  const server = await startServer(t, { env: { ...env, TICKETGATE_MAX_CONNECTIONS_PER_ADDRESS: '1' } })
  const client = await identified(server)
  isProblem(t, await requestUpgrade(server.url, path), '429 too_many_connections')
  t.ok(await client.hearsNothing())
  await client.close()
})
