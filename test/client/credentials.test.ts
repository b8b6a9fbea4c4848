import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { type ConnectOptions, connect, GateError } from '../../src/client/index.js'
import { connectTo } from '../support/gate-client.js'
import { startServer } from '../support/server.js'
import { mint, tokenFor } from '../support/tokens.js'

const server = await startServer(t)

t.test('an invalid token is never sent, and is reported', async t => {
  const cases = [
    ['an object', { token: tokenFor('maggie') }],
    ['an array', [tokenFor('maggie')]],
    ['undefined', undefined],
    ['null', null],
    ['a number', 1],
    ['a boolean', true],
    ['a function', () => tokenFor('maggie')],
    ['a string', `${tokenFor('maggie')}\n`],
    ['a string', `${tokenFor('maggie')}ü`],
  ] as const
  for (const [kind, value] of cases)
    for (const returned of [value, Promise.resolve(value)]) {
      const requests: string[] = []
      const gate = connectTo(t, server.url, {
        getToken: () => returned as never,
        fetch: (url, options) => {
          requests.push(url)
          return fetch(url, options)
        },
      })
      const error = await gate.next('close')
      t.match(error, { code: 'token_unavailable', message: `getToken returned ${kind}, not a token.` })
      t.notMatch(error.message, tokenFor('maggie').slice(0, 20), 'the message does not contain the token')
      t.strictSame(requests, [])
    }
})

t.test('an invalid ticket is never presented, and is reported', async t => {
  for (const [kind, value] of [
    ['an object', { ticket: 'AQAB' }],
    ['undefined', undefined],
    ['a string', ''],
    ['a string', 'two words'],
  ] as const) {
    const gate = connectTo(t, server.url, { getTicket: () => value as never })
    t.match(await gate.next('close'), {
      code: 'ticket_unavailable',
      message: `getTicket returned ${kind}, not a ticket.`,
    })
    t.strictSame(gate.tickets, [])
  }
})

t.test('a ticket from the back end opens the socket; every attempt uses a fresh one', async t => {
  const asked: boolean[] = []
  const gate = connectTo(t, server.url, {
    channel: 'lobby',
    getTicket({ fresh }) {
      asked.push(fresh)
      if (asked.length === 1) throw new Error('the back end is down')
      return mint(server.url)
    },
  })
  const retry = await gate.next('retry')
  t.match(retry.error, { code: 'ticket_unavailable', remedy: 'time' })
  t.match(await gate.next('open'), { user: 'maggie', channel: 'lobby' })
  t.strictSame(asked, [false, false])
  t.equal(gate.tickets.length, 1)
})

t.test('a session opened with a back-end ticket is renewed with another one', async t => {
  const asked: boolean[] = []
  const gate = connectTo(t, server.url, {
    async getTicket({ fresh }) {
      asked.push(fresh)
      const seconds = fresh ? 600 : 12
      const exp = Math.floor(Date.now() / 1000) + seconds
      const reply = await fetch(`${server.url}/ws_ticket`, {
        method: 'POST',
        headers: { authorization: `Bearer ${tokenFor('maggie', { exp })}` },
      })
      return ((await reply.json()) as { ticket: string }).ticket
    },
  })
  const { expires } = await gate.next('open')
  t.ok((await gate.next('renewed')).expires > expires + 500)
  t.strictSame(asked, [false, true])
})

t.test('an HTML 401 from the back end’s token route ends the connection, as documented', async t => {
  let asked = 0
  const backEnd = createServer((_, response) => {
    asked++
    response.writeHead(401, { 'content-type': 'text/html' }).end('<h1>Log in</h1>')
  }).listen(0, '127.0.0.1')
  await once(backEnd, 'listening')
  t.teardown(() => backEnd.close())
  t.teardown(() => backEnd.closeAllConnections())
  const gate = connectTo(t, server.url, {
    async getToken() {
      const reply = await fetch(`http://127.0.0.1:${(backEnd.address() as AddressInfo).port}/my/own/token`)
      if (reply.status === 401) throw new GateError('logged_out', 'Log in again.')
      if (!reply.ok) throw new Error(`status ${reply.status}`)
      return ((await reply.json()) as { token: string }).token
    },
  })
  t.match(await gate.next('close'), { code: 'logged_out', remedy: 'nothing' })
  t.equal(asked, 1)
})

t.test('getToken can ask to retry, and say when', async t => {
  let times = 0
  const gate = connectTo(t, server.url, {
    getToken() {
      if (++times === 1) throw new GateError('login_slow', 'Come back.', 'time', 300)
      return tokenFor('maggie')
    },
  })
  const { error, delayMs } = await gate.next('retry')
  t.equal(error.code, 'login_slow')
  t.ok(delayMs >= 300 && delayMs <= 320, `${delayMs}`)
  await gate.opened()
})

t.test('credentials that cannot work are refused at once', async t => {
  const getToken = (): string => ''
  const cases: [Record<string, unknown>, RegExp][] = [
    [{}, /^getToken: must be a function, not undefined$/],
    [{ getToken: undefined }, /^getToken: must be a function, not undefined$/],
    [{ getToken: tokenFor('maggie') }, /^getToken: must be a function, not a string$/],
    [{ getToken: Promise.resolve('') }, /^getToken: must be a function, not an object$/],
    [{ getToken: null }, /^getToken: must be a function, not null$/],
    [{ getTicket: 'AQAB' }, /^getTicket: must be a function, not a string$/],
    [{ getToken, getTicket: getToken }, /^getTicket: /],
  ]
  for (const [options, message] of cases)
    t.throws(() => connect({ url: server.url, WebSocket: class {} as never, ...options } as ConnectOptions), {
      name: 'TypeError',
      message,
    })
})
