import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { type WebSocket as Peer, WebSocketServer } from 'ws'
import { connectTo } from '../support/gate-client.js'
import type { Json } from '../support/http.js'

const expires = Math.ceil(Date.now() / 1000) + 900

/** A server that issues tickets and renews sessions; a test can send more on its first socket. */
async function serve(t: Test): Promise<{ url: string; received: Json[]; peer: () => Promise<Peer> }> {
  const http = createServer((_, response) => {
    response.setHeader('content-type', 'application/json').end('{"ticket":"AAAA"}')
  }).listen(0, '127.0.0.1')
  await once(http, 'listening')
  const sockets = new WebSocketServer({ server: http, handleProtocols: () => 'ticketgate.v1.json' })
  const received: Json[] = []
  let resolveFirst: (peer: Peer) => void = () => {}
  const first = new Promise<Peer>(resolve => {
    resolveFirst = resolve
  })
  sockets.on('connection', peer => {
    peer.send(JSON.stringify({ type: 'welcome', session: 's', user: 'maggie', channel: '', expires }))
    peer.on('message', data => {
      const message = JSON.parse(String(data)) as Json
      received.push(message)
      const type = message.type === 'renew' ? 'renewed' : 'ok'
      peer.send(JSON.stringify({ type, id: message.id, expires: expires + 900 }))
    })
    resolveFirst(peer)
  })
  t.teardown(() => {
    for (const peer of sockets.clients) peer.terminate()
    http.closeAllConnections()
    http.close()
  })
  return { url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`, received, peer: () => first }
}

t.test('a required renewal uses a fresh token, on the same socket', async t => {
  const { url, received, peer } = await serve(t)
  const gate = connectTo(t, url)
  await gate.next('open')
  const server = await peer()
  server.send(JSON.stringify({ type: 'renew_required', withinSeconds: 1 }))
  t.match(await gate.next('renewed'), { expires: expires + 900 })
  t.match(received, [{ type: 'renew', ticket: 'AAAA' }])
  t.strictSame(gate.asked, [false, true])
  t.equal(gate.urls.length, 1)
})

t.test('a failed renewal is retried while there is time', async t => {
  const { url, received, peer } = await serve(t)
  let times = 0
  const gate = connectTo(t, url, {
    getToken({ fresh }) {
      if (fresh && ++times === 1) throw new Error('the login server is down')
      return 'token'
    },
  })
  await gate.next('open')
  ;(await peer()).send(JSON.stringify({ type: 'renew_required', withinSeconds: 10 }))
  await gate.next('renewed')
  t.strictSame(gate.asked, [false, true, true])
  t.equal(received.length, 1)
})

/** Its first renewal waits for `release`, while the server requires another one. */
async function renewingTwice(t: Test, withinSeconds: number) {
  const { url, peer } = await serve(t)
  let release: (token: string | Promise<string>) => void = () => {}
  const held = new Promise<string>(resolve => {
    release = resolve
  })
  let onHeld: () => void = () => {}
  const asking = new Promise<void>(resolve => {
    onHeld = resolve
  })
  let times = 0
  const gate = connectTo(t, url, {
    getToken({ fresh }) {
      if (!fresh || ++times > 1) return 'token'
      onHeld()
      return held
    },
  })
  await gate.next('open')
  const server = await peer()
  server.send(JSON.stringify({ type: 'renew_required', withinSeconds: 0.01 }))
  await asking
  server.send(JSON.stringify({ type: 'renew_required', withinSeconds }))
  server.send(JSON.stringify({ type: 'message', channel: '', data: 'after both' }))
  await gate.next('message')
  return { gate, release }
}

t.test('a renewal required during another one fails with it only if that succeeds', async t => {
  const { gate, release } = await renewingTwice(t, 2)
  release(Promise.reject(new Error('the login server is down')))
  await gate.next('renewed')
  t.strictSame(gate.asked, [false, true, true])
})

t.test('a renewal required during another one leaves no timer behind', async t => {
  // Long enough that no other timer is as long; a renewal is due in a random part of it.
  const withinSeconds = 2_000_000
  const { setTimeout, clearTimeout } = globalThis
  const long = new Set<unknown>()
  t.intercept(globalThis, 'setTimeout', {
    value: (run: () => void, ms: number) => {
      const timer = setTimeout(run, ms)
      if (ms > 3_000_000) long.add(timer)
      return timer
    },
  })
  t.intercept(globalThis, 'clearTimeout', {
    value: (timer: NodeJS.Timeout) => {
      long.delete(timer)
      clearTimeout(timer)
    },
  })
  const { gate, release } = await renewingTwice(t, withinSeconds)
  t.ok(long.size, 'it has a timer')
  release('token')
  await gate.next('renewed')
  t.equal(long.size, 0, 'it has been renewed')
  await gate.close()
  t.equal(long.size, 0)
})

t.test('a revoked channel is reported as lost, and not subscribed to again', async t => {
  const { url, received, peer } = await serve(t)
  const gate = connectTo(t, url)
  await gate.subscribe('news')
  await gate.subscribe('sport')
  const server = await peer()
  server.send(JSON.stringify({ type: 'unsubscribed', channel: 'news' }))
  t.match(await gate.next('lost'), { channel: 'news', error: { code: 'unsubscribed' } })
  received.length = 0
  server.terminate()
  await gate.next('open')
  await gate.next('open')
  await gate.publish('later')
  t.match(received, [{ type: 'subscribe', channel: 'sport' }, { type: 'publish' }])
})
