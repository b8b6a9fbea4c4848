import { buildSchema } from 'graphql'
import { createClient } from 'graphql-ws'
import { useServer } from 'graphql-ws/use/ws'
import PartySocket from 'partysocket/ws'
import { Socket as Phoenix } from 'phoenix'
import ReconnectingModule from 'reconnecting-websocket'
import { Server as SocketIoServer } from 'socket.io'
import { NodeWebSocket as EngineSocket, io } from 'socket.io-client'
import t, { type Test } from 'tap'
import WebSocket, { WebSocketServer } from 'ws'
import { WebsocketProvider } from 'y-websocket'
import * as Y from 'yjs'
import {
  createTicketSource,
  GateError,
  type HandledSocketClass,
  type TicketSource,
  ticketedWebSocket,
} from '../../src/client/index.js'
import { type Guarded, startGuarded } from '../support/guarded.js'
import { startServer } from '../support/server.js'
import { tokenFor } from '../support/tokens.js'

const gate = await startServer(t, { env: { TICKETGATE_VERIFY: 'on' } })
const RealSocket = WebSocket as unknown as HandledSocketClass
// A CommonJS package: its default export is the module itself, or a member of it, depending on who
// loads it.
const ReconnectingWebSocket = (
  'default' in ReconnectingModule ? ReconnectingModule.default : ReconnectingModule
) as typeof ReconnectingModule.default

const unreachable = new GateError('unreachable', 'The network is down.', 'time')

const noRights = () => tokenFor('maggie', { channels: { publish: [], subscribe: [] } })

/** Whether a client must give up, because no further ticket will come. */
const isFinal = (error: unknown): boolean => error instanceof GateError && error.remedy === 'nothing'

const sourceFor = (app: Guarded, path: string): TicketSource =>
  createTicketSource({ url: gate.url, socketUrl: app.url + path, getToken: () => tokenFor('maggie') })

/** A source that never returns a ticket: the refusal is permanent. */
const forbidden = (): TicketSource =>
  createTicketSource({ url: gate.url, channel: 'red', getToken: noRights })

/** Echoes each message to all sockets. */
const attachEcho =
  (subprotocol?: string) =>
  (server: import('node:http').Server): void => {
    const sockets = new WebSocketServer({ server, handleProtocols: () => subprotocol ?? false })
    sockets.on('connection', peer =>
      peer.on('message', (data, isBinary) => {
        for (const each of sockets.clients) each.send(data, { binary: isBinary })
      }),
    )
  }

/** Each attempt used its own ticket, and the gate accepted all of them. */
function proveFresh(t: Test, { tickets, verdicts }: Guarded): void {
  t.ok(tickets.length >= 2, `${tickets.length} attempts`)
  t.equal(new Set(tickets).size, tickets.length, 'no ticket is presented twice')
  t.strictSame(new Set(verdicts), new Set([204]), 'the gate accepts every ticket')
}

/** Waits for an event of one of these clients, once. */
const once = <Event>(listen: (heard: (event: Event) => void) => void): Promise<Event> => new Promise(listen)

t.test('graphql-ws', async t => {
  const schema = buildSchema('type Query { hello: String }')
  const app = await startGuarded(t, gate, server => {
    useServer({ schema, roots: { query: { hello: () => 'world' } } }, new WebSocketServer({ server }))
  })
  const source = sourceFor(app, '/graphql')
  const client = createClient({
    url: () => source.url(),
    webSocketImpl: WebSocket,
    lazy: false,
    retryAttempts: Number.POSITIVE_INFINITY,
    retryWait: async () => {},
    shouldRetry: error => !isFinal(error),
  })
  t.teardown(() => client.dispose())
  const ask = () => client.iterate({ query: '{ hello }' }).next()
  t.match(await ask(), { value: { data: { hello: 'world' } } })
  const again = once<unknown>(heard => client.on('connected', heard))
  app.cut()
  await again
  t.match(await ask(), { value: { data: { hello: 'world' } } })
  proveFresh(t, app)

  // It waits forever for a URL that never resolves, but accepts a class whose sockets fail.
  const failing = (source: TicketSource) =>
    createClient({
      url: app.url.replace('http', 'ws'),
      webSocketImpl: ticketedWebSocket(source, RealSocket),
      retryWait: async () => {},
      shouldRetry: event => !isFinal((event as { error?: unknown }).error),
    })
  let calls = 0
  const flaky = failing({
    ...source,
    ticket: () => (++calls < 3 ? Promise.reject(unreachable) : source.ticket()),
  })
  t.teardown(() => flaky.dispose())
  t.match(await flaky.iterate({ query: '{ hello }' }).next(), { value: { data: { hello: 'world' } } })
  t.equal(calls, 3)
  const refused = failing(forbidden()).iterate({ query: '{ hello }' })
  t.match(
    await refused.next().catch(event => event.error),
    { code: 'channel_forbidden' },
    'gives up and says why',
  )
})

t.test('reconnecting-websocket', async t => {
  const app = await startGuarded(t, gate, attachEcho())
  const options = { WebSocket, minReconnectionDelay: 1, maxReconnectionDelay: 50 }
  const open = (source: TicketSource) => {
    // It waits forever for a URL that never resolves; but if a URL without a ticket is refused, it
    // tries again.
    const socket = new ReconnectingWebSocket(
      () =>
        source.url().catch(error => {
          if (isFinal(error)) socket.close()
          return app.url.replace('http', 'ws')
        }),
      [],
      options,
    )
    t.teardown(() => socket.close())
    return socket
  }
  const socket = open(sourceFor(app, '/chat'))
  const opened = () => once(heard => socket.addEventListener('open', heard))
  await opened()
  const again = opened()
  app.cut()
  await again
  const echo = once<{ data: unknown }>(heard => socket.addEventListener('message', heard as never))
  socket.send('hello')
  t.equal(String((await echo).data), 'hello')
  proveFresh(t, app)

  const asked = app.tickets.length
  let calls = 0
  const failing = sourceFor(app, '/chat')
  const flaky = open({
    ...failing,
    url: () => (++calls === 1 ? Promise.reject(unreachable) : failing.url()),
  })
  await once(heard => flaky.addEventListener('open', heard))
  t.strictSame(app.verdicts.slice(asked), [401, 204], 'one attempt is without a ticket, the next has one')

  let refusals = 0
  const isRefused = once<void>(heard => {
    const source = forbidden()
    const url = () => {
      refusals++
      return source.url().finally(heard)
    }
    open({ ...source, url })
  })
  await isRefused
  const reopened = once(heard => flaky.addEventListener('open', heard))
  app.cut()
  await reopened
  t.equal(refusals, 1, 'it gives up')
})

t.test('partysocket', async t => {
  const app = await startGuarded(t, gate, attachEcho('echo.v1'))
  const options = { WebSocket, minReconnectionDelay: 1, maxReconnectionDelay: 50 }
  const source = sourceFor(app, '/party')
  // The ticket in the query, or among the subprotocols.
  const target = `${app.url.replace('http', 'ws')}/party`
  for (const [url, protocols] of [
    [() => source.url(), ['echo.v1']],
    [target, () => source.protocols('echo.v1')],
  ] as const) {
    const socket = new PartySocket(url, protocols as never, options)
    const opened = () => once(heard => socket.addEventListener('open', heard))
    await opened()
    t.equal(socket.protocol, 'echo.v1')
    const again = opened()
    app.cut()
    await again
    const echo = once<{ data: unknown }>(heard => socket.addEventListener('message', heard as never))
    socket.send('hello')
    t.equal(String((await echo).data), 'hello')
    socket.close()
  }
  t.ok(app.tickets.length >= 4)
  proveFresh(t, app)

  const refused = new PartySocket(
    () =>
      forbidden()
        .url()
        .catch(error => {
          if (isFinal(error)) refused.close()
          throw error
        }),
    [],
    options,
  )
  const { message } = await once<{ message: string }>(heard =>
    refused.addEventListener('error', heard as never),
  )
  t.match(message, /no right on this channel/, 'it is told why')
})

t.test('Socket.IO', async t => {
  let server: SocketIoServer | undefined
  const app = await startGuarded(t, gate, http => {
    server = new SocketIoServer(http, { transports: ['websocket'] })
    server.on('connection', socket => socket.on('echo', (data, reply) => reply(data)))
  })
  t.teardown(() => server?.close())
  const transportOf = (source: TicketSource) =>
    class extends EngineSocket {
      override doOpen(): this {
        source.ticket().then(
          ticket => {
            this.query.ticket = ticket
            super.doOpen()
          },
          error => this.onError('no ticket', error),
        )
        return this
      }
    }
  const options = { forceNew: true, reconnectionDelay: 1, reconnectionDelayMax: 50 }
  const socket = io(app.url, { ...options, transports: [transportOf(sourceFor(app, '')) as never] })
  t.teardown(() => socket.close())
  const connected = () => once<void>(heard => socket.once('connect', heard))
  await connected()
  const again = connected()
  app.cut()
  await again
  t.equal(await socket.emitWithAck('echo', 'hello'), 'hello')
  proveFresh(t, app)

  const refused = io(app.url, { ...options, transports: [transportOf(forbidden()) as never] })
  t.teardown(() => refused.close())
  const error = await once<{ description?: unknown }>(heard => refused.once('connect_error', heard as never))
  if (isFinal(error.description)) refused.close()
  t.match(error.description, { code: 'channel_forbidden' }, 'it is told why, and gives up')
})

t.test('y-websocket', async t => {
  const app = await startGuarded(t, gate, attachEcho())
  const url = `${app.url.replace('http', 'ws')}/docs`
  const visit = (source = sourceFor(app, '')) => {
    const doc = new Y.Doc()
    const provider = new WebsocketProvider(url, 'room', doc, {
      WebSocketPolyfill: ticketedWebSocket(source, RealSocket) as never,
      disableBc: true,
    })
    t.teardown(() => {
      provider.destroy()
      doc.destroy()
    })
    return { text: doc.getText('text'), provider }
  }
  const connected = (provider: WebsocketProvider) =>
    once<unknown>(heard =>
      provider.on('status', ({ status }: { status: string }) => {
        if (status === 'connected') heard(status)
      }),
    )
  const [maggie, theo] = [visit(), visit()]
  await Promise.all([connected(maggie.provider), connected(theo.provider)])
  const seen = (text: string) =>
    once<void>(heard =>
      theo.text.observe(() => {
        if (theo.text.toString() === text) heard()
      }),
    )
  const first = seen('hello')
  maggie.text.insert(0, 'hello')
  await first
  const again = Promise.all([connected(maggie.provider), connected(theo.provider)])
  app.cut()
  await again
  const second = seen('hello again')
  maggie.text.insert(5, ' again')
  await second
  t.ok(app.tickets.length >= 4)
  proveFresh(t, app)

  const refused = visit(forbidden())
  const event = await once<{ error?: unknown }>(heard =>
    refused.provider.on('connection-error', heard as never),
  )
  if (isFinal(event.error)) refused.provider.disconnect()
  t.match(event.error, { code: 'channel_forbidden' }, 'it is told why, and gives up')
})

t.test('Phoenix', async t => {
  const app = await startGuarded(t, gate, server => {
    new WebSocketServer({ server }).on('connection', peer =>
      peer.on('message', data => {
        const [join, ref, topic, event, payload] = JSON.parse(String(data)) as unknown[]
        const response = event === 'echo' ? payload : {}
        peer.send(JSON.stringify([join, ref, topic, 'phx_reply', { status: 'ok', response }]))
      }),
    )
  })
  const url = `${app.url.replace('http', 'ws')}/socket`
  const visit = (source: TicketSource) => {
    const socket = new Phoenix(url, {
      transport: ticketedWebSocket(source, RealSocket),
      reconnectAfterMs: () => 1,
      rejoinAfterMs: () => 1,
    })
    t.teardown(() => socket.disconnect())
    return socket
  }
  const socket = visit(sourceFor(app, ''))
  socket.connect()
  const channel = socket.channel('room:lobby')
  await once(heard => channel.join().receive('ok', heard))
  const again = once<void>(heard => socket.onOpen(heard))
  app.cut()
  await again
  t.strictSame(await once(heard => channel.push('echo', { say: 'hello' }).receive('ok', heard)), {
    say: 'hello',
  })
  proveFresh(t, app)

  const refused = visit(forbidden())
  refused.connect()
  const event = await once<{ error?: unknown }>(heard => refused.onError(heard))
  if (isFinal(event.error)) refused.disconnect()
  t.match(event.error, { code: 'channel_forbidden' }, 'it is told why, and gives up')
})
