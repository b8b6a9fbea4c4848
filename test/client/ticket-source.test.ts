import { setImmediate as nextTurn } from 'node:timers/promises'
import t from 'tap'
import WebSocket from 'ws'
import {
  createTicketSource,
  type HandledSocketClass,
  type TicketSourceOptions,
  ticketedWebSocket,
} from '../../src/client/index.js'
import { first, htmlPage, problem, startFront } from '../support/front.js'
import { outcomeOf, requestUpgrade } from '../support/http.js'
import { startServer } from '../support/server.js'
import { openSession } from '../support/socket-client.js'
import { mint, nowSeconds, tokenFor } from '../support/tokens.js'

const server = await startServer(t)
const getToken = () => tokenFor('maggie')
const socketBase = server.url.replace('http', 'ws')

t.test('every call returns a fresh ticket, which opens one socket', async t => {
  const source = createTicketSource({ url: server.url, getToken, channel: 'lobby' })
  const urls = [await source.url(), await source.url()]
  t.equal(new Set(urls).size, 2)
  for (const url of urls) {
    t.match(url, /^ws:\/\/127\.0\.0\.1:\d+\/channel\/lobby\?ticket=[\w-]+$/)
    const { welcome, client } = await openSession(url)
    t.match(welcome, { user: 'maggie', channel: 'lobby' })
    await client.close()
    t.equal(outcomeOf(await requestUpgrade(server.url, url.slice(socketBase.length))), '401 ticket_used')
  }
  const protocols = await source.protocols()
  t.match(protocols, ['ticketgate.v1.json', /^ticket\.[\w-]+$/])
  const { client } = await openSession(`${socketBase}/channel/lobby`, { protocols })
  await client.close()
})

t.test('tickets are bound to the given channel, if any', async t => {
  const bound = createTicketSource({ url: server.url, getToken, channel: 'lobby' })
  const other = `/channel/other?ticket=${await bound.ticket()}`
  t.equal(outcomeOf(await requestUpgrade(server.url, other)), '403 channel_forbidden')
  const free = createTicketSource({ url: server.url, getToken })
  t.match(await free.url(), `${socketBase}/channel/?ticket=`)
  t.equal(outcomeOf(await requestUpgrade(server.url, `/channel/any?ticket=${await free.ticket()}`)), '101')
})

t.test('the socket may be on another server, with another protocol', async t => {
  const of = (socketUrl: string) => createTicketSource({ url: server.url, getToken, socketUrl })
  t.match(
    await of('https://app.example.com/graphql').url(),
    /^wss:\/\/app\.example\.com\/graphql\?ticket=[\w-]+$/,
  )
  t.match(await of('ws://localhost/ws?v=1#part').url(), /^ws:\/\/localhost\/ws\?v=1&ticket=[\w-]+$/)
  t.match(await of('wss://localhost/ws').protocols('chat', 'echo'), ['chat', 'echo', /^ticket\.[\w-]+$/])
  t.throws(() => of('nowhere'), { name: 'TypeError', message: /^socketUrl: / })
})

t.test('tickets may come from the back end', async t => {
  const source = createTicketSource({ url: server.url, getTicket: () => mint(server.url) })
  const { client, welcome } = await openSession(await source.url())
  t.match(welcome, { user: 'maggie' })
  await client.close()
})

t.test('a refused token is requested once more, in the same call', async t => {
  const asked: boolean[] = []
  const source = createTicketSource({
    url: server.url,
    getToken({ fresh }) {
      asked.push(fresh)
      return tokenFor('maggie', fresh ? {} : { iat: nowSeconds() - 10, exp: nowSeconds() - 1 })
    },
  })
  await source.ticket()
  t.strictSame(asked, [false, true])
  await source.ticket()
  t.strictSame(asked, [false, true, false, true], 'the next call starts again')
})

t.test('failures are typed errors that say whether to retry', async t => {
  const nothing = { channels: { publish: [], subscribe: [] } }
  const of = (options: Partial<TicketSourceOptions>) =>
    createTicketSource({ url: server.url, getToken, ...options })
  const busy = await startFront(t, server.url, problem(503, 'draining', { 'retry-after': '7' }))
  const wall = await startFront(t, server.url, htmlPage(403))
  const cases = [
    [
      of({ channel: 'red', getToken: () => tokenFor('maggie', nothing) }),
      { code: 'channel_forbidden', remedy: 'nothing' },
    ],
    [of({ getToken: () => 'no.token.here' }), { code: 'token_invalid', remedy: 'token' }],
    [of({ getToken: () => ({}) as never }), { code: 'token_unavailable', remedy: 'nothing' }],
    [
      of({ getToken: () => Promise.reject(new Error('down')) }),
      { code: 'token_unavailable', remedy: 'time' },
    ],
    [of({ url: busy.url }), { code: 'draining', remedy: 'time', retryAfterMs: 7000 }],
    [of({ url: wall.url }), { code: 'http_403', remedy: 'time' }],
    [of({ url: 'http://127.0.0.1:1' }), { code: 'unreachable', remedy: 'time' }],
  ] as const
  for (const [source, expected] of cases)
    for (const call of [() => source.ticket(), () => source.url(), () => source.protocols()])
      await t.rejects(async () => void (await call()), { name: 'GateError', ...expected })
})

t.test('options that cannot work are refused at once', async t => {
  const cases: [Partial<TicketSourceOptions>, RegExp][] = [
    [{ url: 'nowhere' }, /^url: /],
    [{ channel: 'a b' }, /^channel: /],
    [{ getToken: 'x' as never }, /^getToken: must be a function, not a string/],
  ]
  for (const [options, message] of cases)
    t.throws(() => createTicketSource({ url: server.url, getToken, ...options }), {
      name: 'TypeError',
      message,
    })
})

t.test('a socket class that fetches its own tickets', async t => {
  const Ticketed = ticketedWebSocket(
    createTicketSource({ url: server.url, getToken }),
    WebSocket as unknown as HandledSocketClass,
  )
  const opened = async (url: string, protocols?: string[]) => {
    const socket = new Ticketed(url, protocols)
    socket.binaryType = 'arraybuffer'
    t.equal(socket.readyState, 0)
    t.throws(() => socket.send('too early' as never), /not open yet/)
    const welcome = await new Promise(resolve => {
      socket.onmessage = ({ data }: { data: unknown }) => resolve(JSON.parse(String(data)))
    })
    t.match(welcome, { type: 'welcome', channel: 'lobby' })
    t.match(socket, { readyState: 1, bufferedAmount: 0, binaryType: 'arraybuffer' })
    const closed = new Promise(resolve => {
      socket.onclose = ({ code }: { code: number }) => resolve(code)
    })
    const { protocol } = socket
    socket.close(1000, 'done')
    t.equal(await closed, 1000)
    t.equal(socket.readyState, 3)
    return protocol
  }
  t.equal(await opened(`${socketBase}/channel/lobby`), '')
  t.equal(await opened(`${socketBase}/channel/lobby?v=1`, ['ticketgate.v1.json']), 'ticketgate.v1.json')
})

t.test('a socket that gets no ticket fails like any socket, and says why', async t => {
  const source = createTicketSource({
    url: server.url,
    getToken: () => tokenFor('maggie', { channels: { publish: [], subscribe: [] } }),
    channel: 'lobby',
  })
  const socket = new (ticketedWebSocket(source, WebSocket as unknown as HandledSocketClass))(socketBase)
  const events: unknown[] = []
  await new Promise<void>(resolve => {
    socket.onerror = event => events.push(event)
    socket.onclose = event => {
      events.push(event)
      resolve()
    }
  })
  t.match(events, [
    { type: 'error', error: { code: 'channel_forbidden', remedy: 'nothing' } },
    { type: 'close', code: 1006, wasClean: false },
  ])
  t.equal(socket.readyState, 3)
})

t.test('a socket closed before it has a ticket opens nothing', async t => {
  let resolveAsked = (): void => {}
  const asked = new Promise<void>(resolve => {
    resolveAsked = resolve
  })
  const front = await startFront(
    t,
    server.url,
    first(1, '/ws_ticket', () => {
      resolveAsked()
      return false
    }),
  )
  const made: string[] = []
  class Spy extends WebSocket {
    constructor(url: string) {
      super(url)
      made.push(url)
    }
  }
  const source = createTicketSource({ url: front.url, getToken })
  const taken: Promise<string>[] = []
  const spied = {
    ticket: () => {
      const ticket = source.ticket()
      taken.push(ticket)
      return ticket
    },
  }
  const socket = new (ticketedWebSocket(spied, Spy as unknown as HandledSocketClass))(socketBase)
  const closed = new Promise(resolve => {
    socket.onclose = ({ code }: { code: number }) => resolve(code)
  })
  await asked
  socket.close()
  t.equal(socket.readyState, 3)
  t.equal(await closed, 1006)
  await Promise.all(taken)
  await new Promise(setImmediate)
  t.strictSame(made, [])
})

t.test('close() while the token for a renewal is requested ends the renewal', async t => {
  const paths: string[] = []
  await new Promise<void>(resolve => {
    const source = createTicketSource({
      url: server.url,
      getToken({ fresh }) {
        if (fresh) {
          source.close()
          resolve()
        }
        return getToken()
      },
      async fetch(url) {
        paths.push(url.slice(server.url.length))
        const reply = { ticket: 'AAAA', session: 's1', sessionExpires: Date.now() / 1000 + 1.5 }
        return { ok: true, status: 200, headers: new Headers(), json: async () => reply }
      },
    })
    void source.ticket()
  })
  await nextTurn()
  t.strictSame(paths, ['/ws_ticket'])
})
