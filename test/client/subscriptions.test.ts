import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { WebSocketServer } from 'ws'
import { connectTo } from '../support/gate-client.js'
import type { Json } from '../support/http.js'

t.test('restores all subscriptions in one round trip', async t => {
  const channels = Array.from({ length: 128 }, (_, i) => `c${i}`)
  const held: (() => void)[] = []
  let onBatch = (): void => {}
  const { url, drop } = await serve(t, (_, reply) => {
    held.push(reply)
    if (held.length < channels.length) return
    for (const each of held.splice(0)) each()
    onBatch()
  })
  const gate = connectTo(t, url)
  await Promise.all(channels.map(channel => gate.subscribe(channel)))
  const batch = new Promise<void>(resolve => {
    onBatch = resolve
  })
  drop()
  await batch
  t.equal(gate.urls.length, 2)
})

t.test('a channel that is unsubscribed before its turn is not restored', async t => {
  const received: unknown[] = []
  let onLast = (): void => {}
  const { url, drop } = await serve(t, (message, reply) => {
    received.push([message.type, message.channel])
    reply()
    if (message.channel === 'd') onLast()
  })
  const gate = connectTo(t, url)
  for (const channel of ['a', 'b', 'c', 'd']) await gate.subscribe(channel)
  received.length = 0
  gate.on('open', () => void gate.unsubscribe('c'))
  const last = new Promise<void>(resolve => {
    onLast = resolve
  })
  drop(4429, 'retry_after_ms=50')
  await last
  t.strictSame(received, [
    ['subscribe', 'a'],
    ['subscribe', 'b'],
    ['unsubscribe', 'c'],
    ['subscribe', 'd'],
  ])
})

t.test('a channel that is unsubscribed before the connection is open is never subscribed', async t => {
  const received: unknown[] = []
  const { url } = await serve(t, (message, reply) => {
    received.push([message.type, message.channel])
    reply()
  })
  const gate = connectTo(t, url)
  const subscribing = gate.subscribe('news')
  await gate.unsubscribe('news')
  await subscribing
  await gate.publish('after that', 'x')
  t.strictSame(received, [['publish', 'x']])
})

t.test('a channel that is unsubscribed before the server has replied is not restored', async t => {
  const received: unknown[] = []
  const { url, drop } = await serve(t, (message, reply) => {
    received.push([message.type, message.channel])
    reply()
  })
  const gate = connectTo(t, url)
  await gate.next('open')
  await Promise.all([gate.subscribe('news'), gate.unsubscribe('news')])
  received.length = 0
  drop()
  await gate.next('open')
  await gate.publish('after that', 'x')
  t.strictSame(received, [['publish', 'x']])
})

/** A server that issues tickets; a test replies to the messages on its sockets, and drops them. */
async function serve(t: Test, onMessage: (message: Json, reply: () => void) => void) {
  const http = createServer((_, response) => {
    response.setHeader('content-type', 'application/json').end('{"ticket":"AAAA"}')
  }).listen(0, '127.0.0.1')
  await once(http, 'listening')
  const sockets = new WebSocketServer({ server: http, handleProtocols: () => 'ticketgate.v1.json' })
  const expires = Math.ceil(Date.now() / 1000) + 900
  sockets.on('connection', peer => {
    peer.send(JSON.stringify({ type: 'welcome', session: 's', user: 'maggie', channel: '', expires }))
    peer.on('message', data => {
      const message = JSON.parse(String(data)) as Json
      onMessage(message, () => peer.send(JSON.stringify({ type: 'ok', id: message.id })))
    })
  })
  t.teardown(() => {
    for (const peer of sockets.clients) peer.terminate()
    http.closeAllConnections()
    http.close()
  })
  return {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
    drop(code?: number, reason?: string) {
      for (const peer of sockets.clients) peer.close(code, reason)
    },
  }
}
