import { App, us_socket_local_port } from 'uWebSockets.js'
import t, { type Test } from 'tap'
import { RefusalMemory } from '../../src/admission/refusal-memory.js'
import { TicketAdmission } from '../../src/admission/ticket-admission.js'
import { createMemoryReplayCache } from '../../src/replay/memory.js'
import { ChannelRights } from '../../src/socket/channel-rights.js'
import { ChannelTopics } from '../../src/socket/channel-topics.js'
import { FanOut } from '../../src/socket/fan-out.js'
import { MessageLimits } from '../../src/socket/message-limits.js'
import { MessageRate } from '../../src/socket/message-rate.js'
import { MessageHandler } from '../../src/socket/messages.js'
import { Publisher } from '../../src/socket/publisher.js'
import { SessionRenewal } from '../../src/socket/renewal.js'
import { Session, type SocketData } from '../../src/socket/session.js'
import { SocketTable } from '../../src/socket/socket-table.js'
import { createLog } from '../../src/telemetry/log.js'
import { createCounters } from '../../src/telemetry/metrics.js'
import { issueTicket } from '../../src/ticket/issuer.js'
import { ownTicketsOnly } from '../../src/ticket/verifier.js'
import { createRevocations } from '../../src/token/revocation.js'
import { encodings } from '../../src/wire/encoding.js'
import { newBootKey } from '../support/boot-key.js'
import { noSocketEvents } from '../support/no-events.js'
import { type Client, open } from '../support/socket-client.js'

const startMs = 1_764_000_000_000
const endSeconds = startMs / 1000 + 100
const key = newBootKey()

interface Parts {
  readonly app: ReturnType<typeof App>
  readonly table: SocketTable
  readonly admission: TicketAdmission
  readonly revocations: ReturnType<typeof createRevocations>
  readonly counters: ReturnType<typeof createCounters>
  readonly clock: () => number
  readonly log: ReturnType<typeof createLog>
}

/** The message handler of a gate without an application, relay or message rate. */
const messageHandler = ({ app, table, admission, revocations, counters, clock, log }: Parts) => {
  const topics = new ChannelTopics(app)
  const events = noSocketEvents()
  const rights = new ChannelRights(revocations, topics)
  const fanOut = new FanOut({ topics, compresses: false, maxMessageBytes: 1024, counters, onMalformed() {} })
  return new MessageHandler({
    limits: new MessageLimits({
      rate: new MessageRate(undefined, { at: () => 0 }),
      maxMessageBytes: 1024,
      counters,
      clock,
    }),
    topics,
    rights,
    events,
    publisher: new Publisher({ fanOut, relay: { send() {} }, counters, log }),
    renewal: new SessionRenewal({
      admission,
      table,
      topics,
      rights,
      events,
      application: undefined,
      clock,
      log,
    }),
    firstMessage: undefined,
    application: undefined,
    log,
  })
}

/** Starts a server whose sessions end at `endSeconds`, with a clock that the test sets. */
const start = async (t: Test) => {
  let nowMs = startMs
  const table = new SocketTable()
  const replay = createMemoryReplayCache(100)
  const log = createLog('fatal')
  const clock = (): number => nowMs
  const counters = createCounters()
  const revocations = createRevocations()
  const admission = new TicketAdmission({
    keys: { ring: () => new Map([[0, key]]), policy: ownTicketsOnly },
    revocations,
    replay,
    spendDurations: counters.durations.spend,
    refusals: new RefusalMemory(),
    log,
  })
  const app = App()
  const messages = messageHandler({ app, table, admission, revocations, counters, clock, log })
  app.ws<SocketData>('/*', {
    upgrade(res, req, context) {
      const session = new Session({
        id: 's',
        user: 'maggie',
        channel: '',
        rights: {},
        issuedAtSeconds: 0,
        expiresAtSeconds: endSeconds,
        encoding: encodings.json,
        origin: '',
        address: '',
        openedAtSeconds: 0,
      })
      res.upgrade<SocketData>({ session }, req.getHeader('sec-websocket-key'), '', '', context)
    },
    open(ws) {
      table.add(ws)
      messages.open(ws)
    },
    message: (ws, bytes, isBinary) => messages.message(ws, bytes, isBinary),
    close: ws => table.delete(ws),
  })
  const port = await new Promise<number>(resolve => {
    app.listen('127.0.0.1', 0, socket => resolve(socket ? us_socket_local_port(socket) : 0))
  })
  t.teardown(() => app.close())
  return {
    table,
    at(ms: number) {
      nowMs = ms
    },
    sweep: () => table.closeExpired(Math.floor(nowMs / 1000)),
    async enter(): Promise<Client> {
      const client = await open(`ws://127.0.0.1:${port}/`)
      await client.next()
      return client
    },
    ticket: (sessionEndsAtSeconds: number, ttlSeconds = 10): string =>
      issueTicket({ user: 'maggie', sessionEndsAtSeconds }, { key, node: '', nowMs, ttlSeconds }) ?? '',
  }
}

const expired = { code: 4401, reason: 'session_expired' }

t.test('a message in the last millisecond of the session is accepted, a later one is not', async t => {
  const { at, enter } = await start(t)
  const client = await enter()
  at(endSeconds * 1000 - 1)
  t.match(await client.ask({ type: 'ping' }), { type: 'pong' })
  at(endSeconds * 1000)
  client.send({ type: 'ping' })
  t.strictSame(await client.closed, expired, 'it is closed even before the next sweep')
})

t.test('a silent socket is closed at the end of its session, not before', async t => {
  const { at, sweep, table, enter } = await start(t)
  const client = await enter()
  at(endSeconds * 1000 - 1)
  sweep()
  t.equal(table.size, 1)
  at(endSeconds * 1000)
  sweep()
  t.strictSame(await client.closed, expired)
})

t.test('a renewal in the last millisecond is accepted, a later one is not', async t => {
  const { at, sweep, enter, ticket } = await start(t)
  const [early, late] = [await enter(), await enter()]
  at(endSeconds * 1000 - 1)
  t.match(await early.ask({ type: 'renew', ticket: ticket(endSeconds + 50) }), {
    type: 'renewed',
    expires: endSeconds + 50,
  })
  at(endSeconds * 1000)
  late.send({ type: 'renew', ticket: ticket(endSeconds + 50) })
  t.strictSame(await late.closed, expired)
  at((endSeconds + 50) * 1000 - 1)
  sweep()
  t.match(await early.ask({ type: 'ping' }), { type: 'pong' }, 'the session lasts until its new end')
  at((endSeconds + 50) * 1000)
  sweep()
  t.strictSame(await early.closed, expired)
})

t.test('the ticket of a renewal must not have expired, nor its session', async t => {
  const { at, enter, ticket } = await start(t)
  const client = await enter()
  const [first, second] = [ticket(endSeconds + 50), ticket(endSeconds + 50)]
  const short = ticket(startMs / 1000 + 5)
  at(startMs + 4_999)
  t.match(await client.ask({ type: 'renew', ticket: first }), { type: 'renewed' })
  at(startMs + 5_000)
  t.match(await client.ask({ type: 'renew', ticket: short }), { code: 'ticket_expired' })
  at(startMs + 10_000)
  t.match(await client.ask({ type: 'renew', ticket: second }), { code: 'ticket_expired' })
  at(endSeconds * 1000)
  t.match(
    await client.ask({ type: 'ping' }),
    { type: 'pong' },
    'the session is still that of the first renewal',
  )
  await client.close()
})

t.test('a session renewed to an earlier end ends then', async t => {
  const { at, sweep, enter, ticket } = await start(t)
  const client = await enter()
  t.match(await client.ask({ type: 'renew', ticket: ticket(endSeconds - 50) }), { expires: endSeconds - 50 })
  at((endSeconds - 50) * 1000)
  sweep()
  t.strictSame(await client.closed, expired)
})
