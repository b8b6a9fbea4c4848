import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { type WebSocket as Peer, WebSocketServer } from 'ws'
import { connectTo } from '../support/gate-client.js'

const welcome = JSON.stringify({
  type: 'welcome',
  session: 's1',
  user: 'maggie',
  channel: '',
  expires: Math.ceil(Date.now() / 1000) + 900,
})

/**
 * An object that no conversion survives: neither `String` nor `Number` gets a primitive value out
 * of it.
 */
const thorny = { toString: 1, valueOf: 1 }

/**
 * A server that issues tickets and sends an invalid frame on its first socket, and `welcome` on all
 * later ones.
 */
async function serveOnce(
  t: Test,
  speak: (peer: Peer) => void,
): Promise<{ url: string; left: Promise<unknown> }> {
  const http = createServer((_, response) => {
    response.setHeader('content-type', 'application/json')
    response.end('{"ticket":"AAAA","state":"used"}')
  }).listen(0, '127.0.0.1')
  await once(http, 'listening')
  const sockets = new WebSocketServer({ server: http, handleProtocols: () => 'ticketgate.v1.json' })
  t.teardown(() => {
    for (const peer of sockets.clients) peer.terminate()
    http.closeAllConnections()
    http.close()
  })
  const left = new Promise(resolve => {
    sockets.once('connection', peer => {
      peer.once('close', resolve)
      speak(peer)
      sockets.on('connection', next => next.send(welcome))
    })
  })
  return { url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`, left }
}

const frames: readonly (readonly [name: string, frame: string | Buffer])[] = [
  ['no JSON', 'not json'],
  ['nothing', ''],
  ['null', 'null'],
  ['a number', '1'],
  ['a string', '"welcome"'],
  ['an array', '[]'],
  ['bytes', Buffer.from(welcome)],
  ['no type', '{}'],
  ['a type that is no text', JSON.stringify({ type: thorny })],
  ['a welcome without a user', '{"type":"welcome"}'],
  [
    'a welcome without an end',
    JSON.stringify({ type: 'welcome', session: '', user: '', channel: '', expires: thorny }),
  ],
  ['a message from nowhere', JSON.stringify({ type: 'message', data: 1 })],
  ['a message from a thorny channel', JSON.stringify({ type: 'message', channel: thorny, data: 1 })],
  ['an error without a code', JSON.stringify({ type: 'error', id: 1 })],
  ['an error with a thorny detail', JSON.stringify({ type: 'error', code: 'x', detail: thorny, id: 1 })],
  ['a demand without a time', JSON.stringify({ type: 'renew_required', withinSeconds: thorny })],
  ['a channel taken away without its name', JSON.stringify({ type: 'unsubscribed', channel: thorny })],
  ['a renewal without an end', JSON.stringify({ type: 'renewed', expires: thorny })],
]

t.test('a frame that is not a message ends the connection, and it is retried', async t => {
  for (const [name, frame] of frames)
    for (const before of [[], [welcome]]) {
      const { url, left } = await serveOnce(t, peer => {
        for (const each of [...before, frame]) peer.send(each)
      })
      const gate = connectTo(t, url)
      if (before.length > 0) await gate.next('open')
      const { error, delayMs } = await gate.next('retry')
      t.match(error, { code: 'bad_reply', remedy: 'time' }, `${name}, ${before.length} before`)
      t.ok(delayMs <= 20, 'after a wait as after any failure')
      await left
      await gate.next('open')
      await gate.close()
    }
})

t.test('a pending request is told that there will be no reply', async t => {
  const { url } = await serveOnce(t, peer => {
    peer.send(welcome)
    peer.on('message', () => peer.send(JSON.stringify({ type: 'error', id: 1, code: thorny, detail: [] })))
  })
  const gate = connectTo(t, url)
  await gate.opened()
  await t.rejects(gate.publish('x'), { name: 'GateError', code: 'connection_lost' })
})

t.test('unknown types and unknown members are ignored', async t => {
  const { url } = await serveOnce(t, peer => {
    peer.send(welcome)
    peer.send(JSON.stringify({ type: 'later version', id: thorny, code: thorny }))
    peer.send(JSON.stringify({ type: 'message', channel: 'c', data: thorny, user: thorny, code: thorny }))
  })
  const gate = connectTo(t, url)
  t.strictSame(await gate.next('message'), { channel: 'c', data: thorny })
  t.equal(gate.state, 'open')
})
