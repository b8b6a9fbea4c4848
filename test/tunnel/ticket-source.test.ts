import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { buildSchema } from 'graphql'
import { createClient } from 'graphql-ws'
import { useServer } from 'graphql-ws/use/ws'
import ReconnectingModule from 'reconnecting-websocket'
import { Server as SocketIoServer } from 'socket.io'
import { NodeWebSocket as EngineSocket, io } from 'socket.io-client'
import t, { type Test } from 'tap'
import WebSocket, { WebSocketServer } from 'ws'
import { createTicketSource, type Fetch } from '../../src/client/index.js'
import { bearer, type Json, metric, request } from '../support/http.js'
import { adminKey, type TestServer } from '../support/server.js'
import { socketUrl } from '../support/socket-client.js'
import { mint, nowSeconds, tokenFor } from '../support/tokens.js'
import { listenTo, startTunnels } from '../support/tunnel.js'
import { startUpstream } from '../support/upstream.js'

// A CommonJS package: depending on the loader, its default export is the module itself or a member
// of it.
const ReconnectingWebSocket = (
  'default' in ReconnectingModule ? ReconnectingModule.default : ReconnectingModule
) as typeof ReconnectingModule.default

const firstSeconds = 60
const laterSeconds = 600

/** Sends a request, and makes the reply say that the session ends in two seconds: renewal is due. */
const fetchExpiringSoon: Fetch = async (url, options) => {
  const reply = await fetch(url, options as never)
  if (!url.endsWith('/ws_ticket')) return reply
  const body = (await reply.json()) as Json
  const json = async () => ({ ...body, sessionExpires: nowSeconds() + 2 })
  return { ok: reply.ok, status: reply.status, headers: reply.headers, json }
}

/** A gate in front of a server, and a ticket source whose first token expires soon. */
async function start(t: Test, attach: (server: Server) => void, path: string, sid?: string) {
  const http = createServer()
  attach(http)
  await once(http.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => {
    http.closeAllConnections()
    http.close()
  })
  const { port } = http.address() as AddressInfo
  const gate = await startTunnels(t, `${path}=ws://127.0.0.1:${port}${path};channel=app`, {
    TICKETGATE_THREADS: '2',
  })
  const asked: boolean[] = []
  const source = createTicketSource({
    url: gate.url,
    socketUrl: socketUrl(gate.url, path),
    fetch: fetchExpiringSoon,
    getToken({ fresh }) {
      asked.push(fresh)
      const exp = nowSeconds() + (fresh ? laterSeconds : firstSeconds)
      return tokenFor('maggie', { exp, ...(sid && { sid }) })
    },
  })
  t.teardown(() => source.close())
  return { gate, source, asked }
}

/** Resolves when maggie's only socket has been renewed past the end of its first token. */
async function untilRenewed(t: Test, { admin }: TestServer, asked: readonly boolean[]): Promise<void> {
  for (;;) {
    const { text } = await request(admin, '/connections?user=maggie', { headers: bearer(adminKey) })
    const ends: number[] = JSON.parse(text).connections.map(({ expires }: { expires: number }) => expires)
    if (ends.length !== 1) throw new Error(`${ends.length} sockets are open, not one`)
    if (ends.every(end => end > nowSeconds() + firstSeconds + 1)) break
    await delay(50)
  }
  t.strictSame(asked, [false, true], 'one token is requested for the ticket, and a fresh one to renew')
}

t.test('reconnecting-websocket keeps its socket across a renewal', async t => {
  const echo = (server: Server) =>
    new WebSocketServer({ server }).on('connection', peer => peer.on('message', data => peer.send(data)))
  const { gate, source, asked } = await start(t, echo, '/chat', 's1')
  const socket = new ReconnectingWebSocket(() => source.url(), [], { WebSocket })
  t.teardown(() => socket.close())
  let opened = 0
  await new Promise<void>(heard =>
    socket.addEventListener('open', () => {
      opened++
      heard()
    }),
  )
  await untilRenewed(t, gate, asked)
  t.equal(opened, 1)
})

t.test('Socket.IO keeps its socket across a renewal', async t => {
  let server: SocketIoServer | undefined
  const { gate, source, asked } = await start(
    t,
    http => {
      server = new SocketIoServer(http, { transports: ['websocket'] })
    },
    '/socket.io/',
  )
  t.teardown(() => server?.close())
  class TicketTransport extends EngineSocket {
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
  const socket = io(gate.url, { transports: [TicketTransport as never], forceNew: true })
  t.teardown(() => socket.close())
  let connected = 0
  socket.on('connect', () => connected++)
  await new Promise<void>(heard => socket.once('connect', () => heard()))
  await untilRenewed(t, gate, asked)
  t.equal(connected, 1)
})

t.test('graphql-ws keeps its socket across a renewal', async t => {
  const schema = buildSchema('type Query { hello: String }')
  const { gate, source, asked } = await start(
    t,
    server => {
      useServer({ schema, roots: { query: { hello: () => 'world' } } }, new WebSocketServer({ server }))
    },
    '/graphql',
  )
  const client = createClient({ url: () => source.url(), webSocketImpl: WebSocket, lazy: false })
  t.teardown(() => client.dispose())
  let connected = 0
  client.on('connected', () => connected++)
  await new Promise<void>(heard => client.on('connected', () => heard()))
  await untilRenewed(t, gate, asked)
  t.equal(connected, 1)
  t.match(await client.iterate({ query: '{ hello }' }).next(), { value: { data: { hello: 'world' } } })
})

t.test('sockets that are not renewed end with their first token', async t => {
  const upstream = await startUpstream(t)
  const gate = await startTunnels(t, `/a/*=ws://127.0.0.1:${upstream.port}`)
  const exp = nowSeconds() + 10
  const options = { url: gate.url, socketUrl: socketUrl(gate.url, '/a/b') }
  const closing = createTicketSource({ ...options, getToken: () => tokenFor('maggie', { exp, sid: 's1' }) })
  const url = await closing.url()
  closing.close()
  // Two that cannot renew: the fresh token is of another user, or there is none.
  const other = createTicketSource({
    ...options,
    getToken: ({ fresh }) =>
      fresh ? tokenFor('theo', { sid: 's2' }) : tokenFor('maggie', { exp, sid: 's2' }),
  })
  const failing = createTicketSource({
    ...options,
    getToken({ fresh }) {
      if (fresh) throw new Error('the provider is down')
      return tokenFor('maggie', { exp, sid: 's3' })
    },
  })
  const minted = createTicketSource({ ...options, getTicket: () => mint(gate.url) })
  t.teardown(() => {
    for (const source of [other, failing, minted]) source.close()
  })
  const open = [url, await other.url(), await failing.url()].map(each => listenTo(new WebSocket(each)))
  for (const { closed } of open) t.strictSame(await closed, { code: 4401, reason: 'session_expired' })
  const last = new WebSocket(await minted.url())
  await once(last, 'open')
  last.terminate()
})

t.test('a session without sockets is not renewed again', async t => {
  const upstream = await startUpstream(t)
  const gate = await startTunnels(t, `/a/*=ws://127.0.0.1:${upstream.port}`)
  const asked: boolean[] = []
  let replies = 0
  let heard = (): void => {}
  const renewed = new Promise<void>(resolve => {
    heard = resolve
  })
  const source = createTicketSource({
    url: gate.url,
    socketUrl: socketUrl(gate.url, '/a/b'),
    getToken({ fresh }) {
      asked.push(fresh)
      return tokenFor('maggie', { exp: nowSeconds() + 8, sid: 's1' })
    },
    async fetch(url, options) {
      const reply = await fetch(url, options as never)
      if (!url.endsWith('/ws_ticket/renew')) return reply
      replies++
      heard()
      return reply
    },
  })
  t.teardown(() => source.close())
  await source.ticket()
  await renewed
  // This socket closes after a second renewal would have been due.
  const other = createTicketSource({
    url: gate.url,
    socketUrl: socketUrl(gate.url, '/a/b'),
    getToken: () => tokenFor('theo', { exp: nowSeconds() + 10, sid: 's2' }),
  })
  const { closed } = listenTo(new WebSocket(await other.url()))
  other.close()
  t.equal((await closed).code, 4401)
  t.equal(replies, 1)
  t.strictSame(asked, [false, true])
  t.equal(await metric(gate, 'ticketgate_connections'), 0)
})
