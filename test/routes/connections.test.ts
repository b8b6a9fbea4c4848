import t, { type Test } from 'tap'
import { adminKey } from '../support/fixtures.js'
import { bearer, type Json, jsonOf, type Reply, request } from '../support/http.js'
import { isProblem } from '../support/problem.js'
import { type Environment, startServer, type TestServer } from '../support/server.js'
import { type Client, open, openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, mintWith, nowSeconds, tokenFor } from '../support/tokens.js'

const ask = (server: TestServer, path: string): Promise<Reply> =>
  request(server.admin, path, { headers: bearer(adminKey) })

interface Listed extends Json {
  readonly id: string
  readonly user?: string
}

interface Page {
  readonly connections: readonly Listed[]
  readonly next?: string
}

const list = async (server: TestServer, query: string): Promise<Page> =>
  jsonOf(await ask(server, `/connections?${query}`)) as unknown as Page

/** All pages, one after another; `between` is called after each. */
const listAll = async (server: TestServer, query: string, between = async () => {}): Promise<Listed[]> => {
  const all: Listed[] = []
  for (let after = ''; ; ) {
    const { connections, next } = await list(server, `${query}${after}`)
    all.push(...connections)
    if (next === undefined) return all
    after = `&after=${next}`
    await between()
  }
}

const connectAs = async (
  server: TestServer,
  user: string,
  channel = '',
  claims: Json = {},
): Promise<Client> => {
  const { ticket } = await mintWith(server.url, tokenFor(user, claims))
  const { client } = await openSession(socketUrl(server.url, gatePath(ticket, channel)))
  return client
}

const usersOf = (connections: readonly Listed[]): string[] =>
  connections.map(({ user }) => String(user)).sort()

const modes: readonly [string, Environment][] = [
  ['one thread', {}],
  ['two threads', { TICKETGATE_THREADS: '2' }],
]

/** Pages through all sockets while others open, close and are renewed. */
async function pageThrough(t: Test, server: TestServer, clients: Client[]): Promise<void> {
  const steady = Array.from({ length: 18 }, (_, n) => `user-${n}`).sort()
  const renewed = async (n: number): Promise<void> => {
    const { ticket } = await mintWith(
      server.url,
      tokenFor(`user-${n}`, { sid: `s-${n % 2}`, exp: nowSeconds() + 700 + n }),
    )
    await clients[n]?.ask({ type: 'renew', ticket, id: 1 })
  }
  let turns = 0
  const all = await listAll(server, 'limit=3', async () => {
    turns++
    await renewed(turns % 18)
    if (turns === 1) clients.push(await connectAs(server, 'late'))
    if (turns === 2) await clients[19]?.close()
  })
  t.ok(turns >= 6)
  t.equal(new Set(all.map(({ id }) => id)).size, all.length, 'no socket is listed twice')
  t.strictSame(
    usersOf(all).filter(user => steady.includes(user)),
    steady,
    'no socket is left out',
  )
}

for (const [mode, env] of modes)
  t.test(`open sockets are listed, ${mode}`, async t => {
    const server = await startServer(t, { env: { TICKETGATE_NODE: 'gate-1', ...env } })
    const clients: Client[] = []
    const since = nowSeconds()
    for (let n = 0; n < 20; n++)
      clients.push(await connectAs(server, `user-${n}`, 'lobby', { sid: `s-${n % 2}` }))
    t.strictSame(
      jsonOf(await ask(server, '/connections')),
      { connections: 20 },
      'without parameters, the reply is a count',
    )

    await t.test('with the details of each', async t => {
      await clients[3]?.ask({ type: 'subscribe', channel: 'news', id: 1 })
      const [connection, ...others] = (await list(server, 'user=user-3')).connections
      t.strictSame(others, [])
      t.match(connection, {
        id: /^[\w-]{8}\.\d+$/,
        user: 'user-3',
        session: 's-1',
        channel: 'lobby',
        address: '127.0.0.1',
        node: 'gate-1',
        subscriptions: ['lobby', 'news'],
        claims: {},
      })
      t.ok(Number(connection?.since) >= since - 1 && Number(connection?.since) <= nowSeconds() + 1)
      t.ok(Number(connection?.expires) > since + 500)
    })

    await t.test('by user, session and channel', async t => {
      t.strictSame(usersOf((await list(server, 'channel=news')).connections), ['user-3'], 'the subscribers')
      t.equal((await list(server, 'channel=lobby')).connections.length, 20, 'the sockets opened on it')
      t.equal((await list(server, 'session=s-0')).connections.length, 10)
      t.strictSame((await list(server, 'session=s-0&user=user-3')).connections, [])
      t.strictSame((await list(server, 'user=nobody')).connections, [])
    })

    await t.test('in pages, each exactly once, even if sockets open, close and are renewed meanwhile', t =>
      pageThrough(t, server, clients),
    )

    await t.test('the id works with POST /disconnect', async t => {
      const [connection] = (await list(server, 'user=user-5')).connections
      const body = JSON.stringify({ socket: connection?.id })
      await request(server.admin, '/disconnect', { method: 'POST', headers: bearer(adminKey), body })
      t.equal((await clients[5]?.closed)?.code, 4403)
      t.strictSame((await list(server, 'user=user-5')).connections, [])
    })
    for (const client of clients) client.socket.terminate()
  })

for (const [mode, env] of modes)
  t.test(`channels are listed with their subscribers, ${mode}`, async t => {
    const server = await startServer(t, { env })
    const channels = async (query: string) => jsonOf(await ask(server, `/channels${query}`))
    t.strictSame(await channels(''), { channels: [] })
    const clients: Client[] = []
    for (let n = 0; n < 6; n++) {
      const client = await connectAs(server, `user-${n}`, n % 2 === 0 ? '' : `room.${n}`)
      await client.ask({ type: 'subscribe', channel: 'news', id: 1 })
      clients.push(client)
    }
    const deaf = await mintWith(server.url, tokenFor('deaf', { channels: { publish: ['*'], subscribe: [] } }))
    const { client } = await openSession(socketUrl(server.url, gatePath(deaf.ticket, 'unheard')))
    clients.push(client)
    const counts = { '': 3, news: 6, 'room.1': 1, 'room.3': 1, 'room.5': 1 }
    const all = Object.entries(counts).map(([channel, subscribers]) => ({ channel, subscribers }))
    t.strictSame(await channels(''), { channels: all })
    t.strictSame(await channels('?prefix=room.'), { channels: all.slice(2) })
    t.strictSame(await channels('?prefix=room.&limit=2'), { channels: all.slice(2, 4), next: 'room.3' })
    t.strictSame(await channels('?prefix=room.&limit=2&after=room.3'), { channels: all.slice(4) })
    t.strictSame(
      await channels('?limit=1'),
      { channels: all.slice(0, 1), next: '' },
      'the empty name comes first',
    )
    t.strictSame(await channels('?limit=1&after='), { channels: all.slice(1, 2), next: 'news' })
    for (const each of clients) each.socket.terminate()
  })

t.test('a socket that has not authenticated yet is listed without a user', async t => {
  const server = await startServer(t, { env: { TICKETGATE_FIRST_MESSAGE_SECONDS: '60' } })
  const client = await open(socketUrl(server.url, '/channel/lobby'))
  const [connection] = (await list(server, 'limit=1')).connections
  t.match(connection, { channel: 'lobby', subscriptions: [] })
  t.notOk(connection !== undefined && ('user' in connection || 'session' in connection))
  client.socket.terminate()
})

t.test('refusals name the parameter', async t => {
  const server = await startServer(t)
  const cases = [
    [
      '/connections?usr=maggie',
      'Unknown parameter "usr": this route takes user, channel, session, after and limit.',
    ],
    ['/connections?user=maggie&user=lisa', 'user may be given only once.'],
    ['/connections?user=', 'user must be a user.'],
    ['/connections?session=a%20b', 'session must be a session.'],
    ['/connections?channel=a/b', 'channel must be a channel.'],
    ['/connections?after=1', 'after must be the id of a connection, as next has it.'],
    ['/connections?limit=0', 'limit must be 1 to 1000.'],
    ['/connections?limit=1001', 'limit must be 1 to 1000.'],
    ['/connections?limit=1e2', 'limit must be 1 to 1000.'],
    ['/channels?user=maggie', 'Unknown parameter "user": this route takes prefix, after and limit.'],
    ['/channels?prefix=a*', 'prefix must be the start of a channel.'],
    ['/channels?after=a/b', 'after must be a channel, as next has it.'],
  ] as const
  for (const [path, detail] of cases) {
    const reply = await ask(server, path)
    isProblem(t, reply, '400 bad_request', path)
    t.equal(jsonOf(reply).detail, detail)
  }
  isProblem(t, await request(server.admin, '/channels'), '401 admin_key_invalid')
})
