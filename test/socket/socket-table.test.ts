import { App, us_socket_local_port } from 'uWebSockets.js'
import t, { type Test } from 'tap'
import { drainSockets } from '../../src/socket/drain.js'
import { Session, type Socket, type SocketData } from '../../src/socket/session.js'
import { SocketTable } from '../../src/socket/socket-table.js'
import { encodings } from '../../src/wire/encoding.js'
import { type Client, open } from '../support/socket-client.js'

/**
 * Starts a uWS server that keeps a table of its sockets. The path of a socket is the second in which
 * its session ends.
 */
const start = async (t: Test) => {
  const table = new SocketTable()
  const reasons: string[] = []
  let opened: (ws: Socket) => void = () => {}
  const app = App().ws<SocketData>('/*', {
    upgrade(res, req, context) {
      const [, second, user = 'maggie', issued = '0'] = req.getUrl().split('/')
      const session = new Session({
        id: `session-of-${user}`,
        user,
        channel: '',
        rights: {},
        issuedAtSeconds: Number(issued),
        expiresAtSeconds: Number(second),
        encoding: encodings.json,
        origin: '',
        address: '',
        openedAtSeconds: 0,
      })
      res.upgrade<SocketData>(
        { session },
        req.getHeader('sec-websocket-key'),
        '',
        req.getHeader('sec-websocket-extensions'),
        context,
      )
    },
    open(ws) {
      table.add(ws)
      opened(ws)
    },
    message: (ws, message) => void ws.send(message),
    close(ws) {
      table.delete(ws)
      reasons.push(ws.getUserData().session.closeReason ?? 'other')
    },
  })
  const port = await new Promise<number>(resolve => {
    app.listen('127.0.0.1', 0, socket => resolve(socket ? us_socket_local_port(socket) : 0))
  })
  t.teardown(() => app.close())
  /** Opens a socket, and returns both of its ends. */
  const enter = async (endsAtSeconds: number, more = ''): Promise<{ client: Client; ws: Socket }> => {
    const serverEnd = new Promise<Socket>(resolve => {
      opened = resolve
    })
    const client = await open(`ws://127.0.0.1:${port}/${endsAtSeconds}${more}`)
    return { client, ws: await serverEnd }
  }
  return { table, reasons, enter }
}

const echoes = async ({ client }: { client: Client }): Promise<boolean> =>
  (await client.ask({ text: 'hello' })).text === 'hello'

t.test('sockets are closed exactly in the second in which their session ends', async t => {
  const { table, reasons, enter } = await start(t)
  const [first, second, third] = [await enter(100), await enter(101), await enter(102)]
  const twin = await enter(101)
  t.equal(table.size, 4)
  table.closeExpired(99)
  t.ok(await echoes(first), 'it is open a second before')
  table.closeExpired(101)
  for (const { client } of [first, second, twin])
    t.strictSame(await client.closed, { code: 4401, reason: 'session_expired' })
  t.strictSame(reasons, ['session_expired', 'session_expired', 'session_expired'])
  t.equal(table.size, 1)
  t.ok(await echoes(third), 'a socket whose session continues stays open')
  table.closeExpired(1_000_000)
  t.strictSame(
    await third.client.closed,
    { code: 4401, reason: 'session_expired' },
    'a late sweep closes it too',
  )
  t.equal(table.size, 0)
  table.closeExpired(1_000_000)
})

t.test('a closed socket is no longer in the table', async t => {
  const { table, reasons, enter } = await start(t)
  const leaving = await enter(100)
  const staying = await enter(100)
  const { ws } = leaving
  await leaving.client.close()
  t.ok(await echoes(staying))
  t.equal(table.size, 1)
  t.strictSame(table.take(10), [staying.ws])
  t.strictSame(reasons, ['other'])
  table.delete(staying.ws)
  table.delete(staying.ws)
  t.equal(table.size, 0, 'deleting twice has no effect')
  t.not(ws, staying.ws)
})

t.test('sockets that end in one second can leave in any order', async t => {
  const { table, enter } = await start(t)
  const all: Socket[] = []
  for (let n = 0; n < 5; n++) all.push((await enter(100)).ws)
  const remaining = new Set(all)
  for (const gone of [2, 0, 4, 3, 1].flatMap(index => all[index] ?? [])) {
    table.delete(gone)
    remaining.delete(gone)
    t.strictSame(new Set(table.take(10)), remaining)
    t.equal(table.size, remaining.size)
  }
})

t.test('a renewed socket is listed under its new end', async t => {
  const { table, enter } = await start(t)
  const [one, two, three] = [await enter(100), await enter(100), await enter(100)]
  table.renew(two.ws, 200)
  t.equal(two.ws.getUserData().session.expiresAtSeconds, 200)
  table.renew(one.ws, 50)
  t.equal(table.size, 3)
  table.closeExpired(150)
  for (const { client } of [one, three]) t.equal((await client.closed).code, 4401)
  t.ok(await echoes(two))
  table.closeExpired(200)
  t.equal((await two.client.closed).code, 4401)
})

t.test('a socket that does not authenticate in time is closed with 4408', async t => {
  const { table, reasons, enter } = await start(t)
  const silent = await enter(100, '/')
  table.closeExpired(99)
  t.ok(await echoes(silent))
  table.closeExpired(100)
  t.strictSame(await silent.client.closed, { code: 4408, reason: 'auth_timeout' })
  t.strictSame(reasons, ['auth_timeout'])
})

t.test('take returns at most as many sockets as requested', async t => {
  const { table, enter } = await start(t)
  const all = new Set<Socket>()
  for (const second of [100, 100, 100, 101, 102]) all.add((await enter(second)).ws)
  for (const [count, expected] of [
    [0, 0],
    [1, 1],
    [2, 2],
    [4, 4],
    [5, 5],
    [100, 5],
  ] as const) {
    const taken = table.take(count)
    t.equal(taken.length, expected, `${count} are requested`)
    t.equal(new Set(taken).size, expected, 'they are all different')
    t.ok(taken.every(ws => all.has(ws)))
  }
  t.equal(table.size, 5, 'take removes none')
})

t.test('a drain closes all with 1012 and tells each when to reconnect', async t => {
  const { table, reasons, enter } = await start(t)
  const clients: Client[] = []
  for (let n = 0; n < 30; n++) clients.push((await enter(1000 + (n % 3))).client)
  // More than enough: a socket still open at the deadline is not told.
  await drainSockets(table, 10_000)
  t.equal(table.size, 0)
  const closed = await Promise.all(clients.map(client => client.closed))
  t.ok(closed.every(({ code }) => code === 1012))
  const waits = closed.map(({ reason }) => Number(/^retry_after_ms=(\d+)$/.exec(reason)?.[1] ?? Number.NaN))
  t.ok(
    waits.every(ms => ms >= 0 && ms < 1000),
    'so few reconnect within a second',
  )
  t.ok(new Set(waits).size > 10, 'the times are spread')
  t.strictSame(new Set(reasons), new Set(['draining']))
})

t.test('a drain ends at once without sockets, and when the last one leaves by itself', async t => {
  const { table, enter } = await start(t)
  await drainSockets(table, 3_600_000)
  const { client } = await enter(1000)
  const drained = drainSockets(table, 60_000)
  await client.close()
  await drained
  t.equal(table.size, 0)
})
