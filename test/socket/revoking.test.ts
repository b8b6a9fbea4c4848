import { App, us_socket_local_port } from 'uWebSockets.js'
import t, { type Test } from 'tap'
import { ChannelTopics } from '../../src/socket/channel-topics.js'
import { SocketRevoker } from '../../src/socket/revoking.js'
import { Session, type SocketData } from '../../src/socket/session.js'
import { SocketIds } from '../../src/socket/socket-ids.js'
import { SocketTable } from '../../src/socket/socket-table.js'
import { createRevocations, type Revocation } from '../../src/token/revocation.js'
import { encodings } from '../../src/wire/encoding.js'
import { noSocketEvents } from '../support/no-events.js'
import { type Client, open } from '../support/socket-client.js'

const now = 1_764_000_000
const ends = now + 600

/**
 * Starts a uWS server with paths USER/ISSUED/CHANNEL, whose sockets are subscribed to the channel and
 * to `news`.
 */
const start = async (t: Test) => {
  const table = new SocketTable()
  const ids = new SocketIds()
  const app = App()
  const topics = new ChannelTopics(app)
  const revocations = createRevocations()
  const revoker = new SocketRevoker({ table, topics, events: noSocketEvents(), ids, revocations })
  let opened = 0
  app.ws<SocketData>('/*', {
    upgrade(res, req, context) {
      const [, user = '', issued = '0', channel = ''] = req.getUrl().split('/')
      const session = new Session({
        id: `session-of-${user}`,
        user,
        channel,
        rights: {},
        issuedAtSeconds: Number(issued),
        expiresAtSeconds: ends,
        encoding: encodings.json,
        origin: '',
        address: '',
        openedAtSeconds: 0,
      })
      res.upgrade<SocketData>({ session }, req.getHeader('sec-websocket-key'), '', '', context)
    },
    open(ws) {
      const { session } = ws.getUserData()
      session.socket = ids.next()
      opened = session.socket
      table.add(ws)
      topics.join(ws, 'json', session.channel)
      topics.subscribe(ws, 'json', 'news')
    },
    message: (ws, message) => void ws.send(message),
    close: ws => table.delete(ws),
  })
  const port = await new Promise<number>(resolve => {
    app.listen('127.0.0.1', 0, socket => resolve(socket ? us_socket_local_port(socket) : 0))
  })
  t.teardown(() => app.close())
  return {
    revocations,
    subscribersOf: (channel: string) => app.numSubscribers(`j${channel}`),
    revoke: (revocation: Partial<Revocation>) =>
      revoker.carryOut(
        { type: 'revoke', subject: 'all', name: '', atSeconds: now, untilSeconds: ends, ...revocation },
        now,
      ),
    closeExpired: (seconds: number) => table.closeExpired(seconds),
    /** Opens a socket, and returns it with its id at the server. */
    async enter(user: string, issued = now, channel = 'lobby') {
      const client = await open(`ws://127.0.0.1:${port}/${user}/${issued}/${channel}`)
      await echoes(client)
      return { client, id: ids.idOf(opened) }
    },
  }
}

const echoes = async (client: Client): Promise<boolean> =>
  (await client.ask({ text: 'hello' })).text === 'hello'

const none = { disconnected: 0, unsubscribed: 0, renewRequired: 0 }

t.test('sockets with older tokens are disconnected by user, by session, or all', async t => {
  const { revoke, enter } = await start(t)
  const [before, at, after] = [
    await enter('maggie', now - 1),
    await enter('maggie', now),
    await enter('maggie', now + 1),
  ]
  const other = await enter('theo')
  t.strictSame(revoke({ subject: 'user', name: 'session-of-maggie' }), none)
  t.strictSame(revoke({ subject: 'session', name: 'maggie' }), none)
  t.strictSame(revoke({ subject: 'user', name: 'maggie' }), { ...none, disconnected: 2 })
  for (const { client } of [before, at]) t.strictSame(await client.closed, { code: 4403, reason: 'revoked' })
  t.ok((await echoes(after.client)) && (await echoes(other.client)))
  t.strictSame(revoke({ subject: 'session', name: 'session-of-theo', reason: 'größer' }), {
    ...none,
    disconnected: 1,
  })
  t.strictSame(await other.client.closed, { code: 4403, reason: 'größer' })
  const silent = await enter('')
  const bart = await enter('bart')
  t.strictSame(revoke({}), { ...none, disconnected: 1 })
  t.equal((await bart.client.closed).code, 4403)
  t.ok((await echoes(after.client)) && (await echoes(silent.client)), 'an unauthenticated socket stays open')
})

t.test('one of several sockets of a session can be disconnected', async t => {
  const { revoke, enter } = await start(t)
  const [one, two] = [await enter('maggie'), await enter('maggie')]
  t.not(one.id, two.id)
  const session = { subject: 'session', name: 'session-of-maggie' } as const
  t.strictSame(revoke({ ...session, socket: 'AAAAAAAA.1' }), none, 'an id of another thread')
  t.strictSame(revoke({ ...session, socket: two.id }), { ...none, disconnected: 1 })
  t.equal((await two.client.closed).code, 4403)
  t.ok(await echoes(one.client))
})

t.test('revoking a channel ends sockets opened on it, and unsubscribes others', async t => {
  const { revoke, enter, subscribersOf } = await start(t)
  const [onChannel, subscriber, later] = [
    await enter('maggie', now, 'news'),
    await enter('theo'),
    await enter('bart', now + 1),
  ]
  t.strictSame(revoke({ subject: 'channel', name: 'news', reason: 'over' }), {
    ...none,
    disconnected: 1,
    unsubscribed: 1,
  })
  t.strictSame(await onChannel.client.closed, { code: 4403, reason: 'over' })
  t.strictSame(await subscriber.client.next(), { type: 'unsubscribed', channel: 'news', reason: 'over' })
  t.ok(await echoes(later.client))
  t.equal(subscribersOf('news'), 1, 'a socket with a later token stays subscribed')
  t.strictSame(revoke({ subject: 'channel', name: 'news' }), none, 'a second revocation has no effect')
})

t.test('revoking a channel from a user closes no socket, not even those opened on it', async t => {
  const { revoke, enter, subscribersOf } = await start(t)
  const [onChannel, subscriber, other] = [
    await enter('maggie', now, 'news'),
    await enter('maggie'),
    await enter('theo'),
  ]
  const revocation = { subject: 'user_channel', name: 'maggie', channel: 'news' } as const
  t.strictSame(revoke(revocation), { ...none, unsubscribed: 2 })
  for (const { client } of [onChannel, subscriber])
    t.strictSame(await client.next(), { type: 'unsubscribed', channel: 'news' })
  t.ok(await echoes(other.client))
  t.equal(subscribersOf('news'), 1)
})

t.test('a required renewal can only move the end of the session earlier', async t => {
  const { revoke, enter, closeExpired } = await start(t)
  const { client } = await enter('maggie')
  t.strictSame(revoke({ renewBySeconds: ends + 100, reason: 'new rights' }), { ...none, renewRequired: 1 })
  t.strictSame(await client.next(), { type: 'renew_required', withinSeconds: 600, reason: 'new rights' })
  t.strictSame(revoke({ renewBySeconds: now + 30 }), { ...none, renewRequired: 1 })
  t.strictSame(await client.next(), { type: 'renew_required', withinSeconds: 30 })
  closeExpired(now + 29)
  t.ok(await echoes(client))
  closeExpired(now + 30)
  t.strictSame(await client.closed, { code: 4401, reason: 'session_expired' })
})

t.test('a renewal whose deadline has passed ends the socket', async t => {
  const { revoke, enter } = await start(t)
  const { client } = await enter('maggie')
  t.strictSame(revoke({ renewBySeconds: now }), { ...none, disconnected: 1 })
  t.strictSame(await client.closed, { code: 4401, reason: 'session_expired' })
})

t.test('a channel stays revoked while there is a socket that could join it again', async t => {
  const { revoke, enter, revocations } = await start(t)
  const [maggie] = [await enter('maggie'), await enter('theo', now + 1)]
  const tokensEnd = ends - 500
  for (const revocation of [
    { subject: 'channel', name: 'news' },
    { subject: 'user_channel', name: 'maggie', channel: 'news' },
  ] as const) {
    revoke({ ...revocation, untilSeconds: tokensEnd })
    t.match(revocations.list(ends - 1), [{ ...revocation, untilSeconds: ends }])
    t.strictSame(revocations.list(ends), [])
  }
  revoke({ subject: 'user_channel', name: 'theo', channel: 'news', untilSeconds: tokensEnd })
  revoke({ subject: 'user', name: 'bart', untilSeconds: tokensEnd })
  t.strictSame(revocations.list(0), [], 'no socket could join it')
  await maggie.client.close()
  revoke({ subject: 'channel', name: 'news', untilSeconds: tokensEnd })
  t.strictSame(revocations.list(0), [], 'no socket can join it any more')
})
