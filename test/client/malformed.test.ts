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

/** An object that neither `String` nor `Number` can convert: both throw. */
const unconvertible = { toString: 1, valueOf: 1 }

/** A server that issues tickets, and sends invalid frames on its first socket but not on later ones. */
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
  ['text that is not JSON', 'not json'],
  ['an empty text', ''],
  ['null', 'null'],
  ['a number', '1'],
  ['a string', '"welcome"'],
  ['an array', '[]'],
  ['bytes', Buffer.from(welcome)],
  ['no type', '{}'],
  ['a type that is not a string', JSON.stringify({ type: unconvertible })],
  ['a welcome without a user', '{"type":"welcome"}'],
  [
    'a welcome without an end',
    JSON.stringify({ type: 'welcome', session: '', user: '', channel: '', expires: unconvertible }),
  ],
  ['a message from nowhere', JSON.stringify({ type: 'message', data: 1 })],
  ['a message with an invalid channel', JSON.stringify({ type: 'message', channel: unconvertible, data: 1 })],
  ['an error without a code', JSON.stringify({ type: 'error', id: 1 })],
  [
    'an error with an invalid detail',
    JSON.stringify({ type: 'error', code: 'x', detail: unconvertible, id: 1 }),
  ],
  [
    'a required renewal without a time',
    JSON.stringify({ type: 'renew_required', withinSeconds: unconvertible }),
  ],
  ['a revoked channel without a name', JSON.stringify({ type: 'unsubscribed', channel: unconvertible })],
  ['a renewal without an end', JSON.stringify({ type: 'renewed', expires: unconvertible })],
]

t.test('an invalid frame ends the connection, and the client connects again', async t => {
  for (const [name, frame] of frames)
    for (const before of [[], [welcome]]) {
      const { url, left } = await serveOnce(t, peer => {
        for (const each of [...before, frame]) peer.send(each)
      })
      const gate = connectTo(t, url)
      if (before.length > 0) await gate.next('open')
      const { error, delayMs } = await gate.next('retry')
      t.match(error, { code: 'bad_reply', remedy: 'time' }, `${name}, after ${before.length} valid frames`)
      t.ok(delayMs <= 20, 'it waits as after any failure')
      await left
      await gate.next('open')
      await gate.close()
    }
})

t.test('a pending request is rejected', async t => {
  const { url } = await serveOnce(t, peer => {
    peer.send(welcome)
    peer.on('message', () =>
      peer.send(JSON.stringify({ type: 'error', id: 1, code: unconvertible, detail: [] })),
    )
  })
  const gate = connectTo(t, url)
  await gate.opened()
  await t.rejects(gate.publish('x'), { name: 'GateError', code: 'connection_lost' })
})

t.test('unknown types and unknown members are ignored', async t => {
  const { url } = await serveOnce(t, peer => {
    peer.send(welcome)
    peer.send(JSON.stringify({ type: 'of_a_later_version', id: unconvertible, code: unconvertible }))
    peer.send(
      JSON.stringify({
        type: 'message',
        channel: 'c',
        data: unconvertible,
        user: unconvertible,
        code: unconvertible,
      }),
    )
  })
  const gate = connectTo(t, url)
  t.strictSame(await gate.next('message'), { channel: 'c', data: unconvertible })
  t.equal(gate.state, 'open')
})
