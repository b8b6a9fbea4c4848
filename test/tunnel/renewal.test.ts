import t, { type Test } from 'tap'
import { bearer, type Json, jsonOf, postJson, type Reply, request } from '../support/http.js'
import { isProblem } from '../support/problem.js'
import { adminKey, startServer, type TestServer } from '../support/server.js'
import { openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, mintWith, nowSeconds, tokenFor, untilSecond } from '../support/tokens.js'
import { openThrough, startTunnels } from '../support/tunnel.js'
import { startUpstream } from '../support/upstream.js'

const start = async (t: Test, env = {}) => {
  const upstream = await startUpstream(t)
  return startTunnels(t, `/a/*=ws://127.0.0.1:${upstream.port}`, env)
}

/** Opens a tunnel whose session ends in `seconds`. */
const openFor = async (gate: TestServer, seconds: number, claims: Json, user = 'maggie') => {
  const { ticket } = await mintWith(gate.url, tokenFor(user, { exp: nowSeconds() + seconds, ...claims }))
  return openThrough(gate, '/a/b', { ticket })
}

const renew = ({ url }: TestServer, token: string, body: Json = {}): Promise<Reply> =>
  postJson(url, '/ws_ticket/renew', body, { headers: bearer(token) })

/** When the sessions of a user's sockets end, as listed by the gate. */
const endsOf = async ({ admin }: TestServer, user: string): Promise<number[]> => {
  const { text } = await request(admin, `/connections?user=${user}`, { headers: bearer(adminKey) })
  return JSON.parse(text).connections.map(({ expires }: { expires: number }) => expires)
}

t.test('a fresh token extends the sockets of its session, in every thread', async t => {
  const gate = await start(t, { TICKETGATE_THREADS: '2' })
  const open = await Promise.all(Array.from({ length: 10 }, () => openFor(gate, 100, { sid: 's1' })))
  const exp = nowSeconds() + 300
  const reply = await renew(gate, tokenFor('maggie', { sid: 's1', exp }))
  t.strictSame(
    [reply.status, jsonOf(reply)],
    [200, { expires: exp, session: 's1', extended: 10, forwarded: false }],
  )
  t.strictSame(await endsOf(gate, 'maggie'), Array(10).fill(exp))

  let soon: number
  let shortened: Reply
  // On a busy machine, a token can expire before it is presented.
  do {
    soon = nowSeconds() + 2
    shortened = await renew(gate, tokenFor('maggie', { sid: 's1', exp: soon }))
  } while (shortened.status === 401)
  t.equal(shortened.status, 200)
  for (const { closed } of open) t.strictSame(await closed, { code: 4401, reason: 'session_expired' })
  t.ok(nowSeconds() >= soon, 'the sockets close no earlier than their new end')
})

t.test(
  'a token of another session of the same user can renew, if the request names the session of the sockets',
  async t => {
    const gate = await start(t)
    const first = await openFor(gate, 100, { sid: 's1' })
    const exp = nowSeconds() + 300
    t.equal((await renew(gate, tokenFor('maggie', { sid: 's2', exp }), { session: 's1' })).status, 200)
    t.strictSame(await endsOf(gate, 'maggie'), [exp])
    const again = nowSeconds() + 400
    t.equal((await renew(gate, tokenFor('maggie', { sid: 's2', exp: again }))).status, 200)
    t.strictSame(await endsOf(gate, 'maggie'), [again], 'the socket now belongs to the new session')
    first.socket.terminate()
  },
)

t.test('a socket outlives its first token, and ends with the second', async t => {
  const gate = await start(t)
  const first = nowSeconds() + 10
  const { socket, closed } = await openFor(gate, 0, { sid: 's1', exp: first })
  const renewed = await renew(gate, tokenFor('maggie', { sid: 's1', exp: first + 300 }))
  t.match(jsonOf(renewed), { extended: 1 })
  await untilSecond(first + 2)
  t.equal(socket.readyState, socket.OPEN)
  let second: number
  let shortened: Reply
  do {
    second = nowSeconds() + 2
    shortened = await renew(gate, tokenFor('maggie', { sid: 's1', exp: second }))
  } while (shortened.status === 401)
  t.strictSame(await closed, { code: 4401, reason: 'session_expired' })
  t.ok(nowSeconds() >= second)
})

t.test('for a token without a session, the reply to a ticket request names one to renew', async t => {
  const gate = await start(t, { TICKETGATE_THREADS: '2' })
  const end = nowSeconds() + 100
  const minted = await Promise.all([1, 2].map(() => mintWith(gate.url, tokenFor('maggie', { exp: end }))))
  const [one, two] = minted
  if (one === undefined || two === undefined) throw new Error('no tickets')
  t.match(one, { session: /^~[\w-]{15}$/, sessionExpires: end })
  t.not(one.session, two.session, 'each socket has its own')
  const open = await Promise.all(minted.map(({ ticket }) => openThrough(gate, '/a/b', { ticket })))
  const exp = nowSeconds() + 300
  const reply = await renew(gate, tokenFor('maggie', { exp }), { session: one.session })
  t.strictSame(jsonOf(reply), { expires: exp, session: one.session, extended: 1, forwarded: false })
  t.strictSame(new Set(await endsOf(gate, 'maggie')), new Set([end, exp]))
  const foreign = await renew(gate, tokenFor('theo', { exp }), { session: two.session })
  t.match(jsonOf(foreign), { extended: 0 }, 'a token of another user extends nothing')
  t.strictSame(new Set(await endsOf(gate, 'maggie')), new Set([end, exp]))
  for (const { socket } of open) socket.terminate()
})

t.test('a single socket is extended by its id, with a token of its user', async t => {
  const gate = await start(t, { TICKETGATE_THREADS: '2' })
  const end = nowSeconds() + 100
  const open = await Promise.all([1, 2].map(() => openFor(gate, 0, { sid: 's1', exp: end })))
  const { text } = await request(gate.admin, '/connections?user=maggie', { headers: bearer(adminKey) })
  const [{ id: socket }] = JSON.parse(text).connections
  const exp = nowSeconds() + 300
  t.match(jsonOf(await renew(gate, tokenFor('theo', { sid: 's1', exp }), { socket })), { extended: 0 })
  t.match(jsonOf(await renew(gate, tokenFor('maggie', { exp }), { socket: `${socket}0` })), { extended: 0 })
  const reply = await renew(gate, tokenFor('maggie', { exp }), { socket })
  t.strictSame(jsonOf(reply), { expires: exp, extended: 1, forwarded: false })
  t.strictSame(new Set(await endsOf(gate, 'maggie')), new Set([end, exp]))
  for (const each of open) each.socket.terminate()
})

t.test('only the sockets of the session and user are extended', async t => {
  const gate = await start(t)
  const end = nowSeconds() + 100
  const open = await Promise.all([
    openFor(gate, 0, { sid: 's1', exp: end }, 'theo'),
    openFor(gate, 0, { sid: 's2', exp: end }, 'maggie'),
  ])
  const { ticket } = await mintWith(gate.url, tokenFor('maggie', { sid: 's1', exp: end }))
  const { client } = await openSession(socketUrl(gate.url, gatePath(ticket)))
  const exp = nowSeconds() + 300
  t.equal((await renew(gate, tokenFor('maggie', { sid: 's1', exp }))).status, 200)
  t.strictSame(await endsOf(gate, 'theo'), [end], 'not a session of the same name of another user')
  t.strictSame(
    await endsOf(gate, 'maggie'),
    [end, end],
    'not another session, nor a socket that renews in band',
  )
  const channels = { publish: [], subscribe: ['other'] }
  t.equal((await renew(gate, tokenFor('maggie', { sid: 's2', exp, channels }))).status, 200)
  t.strictSame(
    await endsOf(gate, 'maggie'),
    [end, end],
    'not with a token that no longer has the right to the channel',
  )
  await client.close()
  for (const { socket } of open) socket.terminate()
})

t.test('tokens that are refused renew nothing', async t => {
  const gate = await start(t)
  const end = nowSeconds() + 100
  const { closed } = await openFor(gate, 0, { sid: 's1', exp: end })
  const exp = nowSeconds() + 300
  const cases = [
    ['none', await postJson(gate.url, '/ws_ticket/renew', { session: 's1' }), '401 token_missing'],
    [
      'forged',
      await renew(gate, `${tokenFor('maggie', { sid: 's1', exp }).slice(0, -4)}AAAA`),
      '401 token_invalid',
    ],
    [
      'expired',
      await renew(gate, tokenFor('maggie', { sid: 's1', iat: nowSeconds() - 10, exp: nowSeconds() - 1 })),
      '401 token_expired',
    ],
    ['without a session', await renew(gate, tokenFor('maggie', { exp })), '400 bad_request'],
    [
      'an invalid session',
      await renew(gate, tokenFor('maggie', { exp }), { session: 'a b' }),
      '400 bad_request',
    ],
    [
      'an invalid socket id',
      await renew(gate, tokenFor('maggie', { sid: 's1', exp }), { socket: 'x' }),
      '400 bad_request',
    ],
    [
      'a socket and a session',
      await renew(gate, tokenFor('maggie', { exp }), { socket: 'abcdefgh.1', session: 's1' }),
      '400 bad_request',
    ],
    [
      'an unknown member',
      await renew(gate, tokenFor('maggie', { sid: 's1', exp }), { user: 'maggie' }),
      '400 bad_request',
    ],
    ['another method', await request(gate.url, '/ws_ticket/renew'), '405 method_not_allowed'],
  ] as const
  for (const [name, reply, expected] of cases) isProblem(t, reply, expected, name)
  t.strictSame(await endsOf(gate, 'maggie'), [end])
  const token = tokenFor('maggie', { sid: 's1', exp })
  await postJson(gate.admin, '/disconnect', { session: 's1' }, { headers: bearer(adminKey) })
  isProblem(t, await renew(gate, token), '401 token_revoked')
  t.equal((await closed).code, 4403)
})

t.test('without tunnels, the renewal route does not exist', async t => {
  const gate = await startServer(t)
  isProblem(t, await renew(gate, tokenFor('maggie', { sid: 's1' })), '404 not_found')
})
