import t from 'tap'
import WebSocket from 'ws'
import { openGate } from '../support/gate.js'
import { connectTo } from '../support/gate-client.js'
import { bearer, jsonOf, outcomeOf, postJson, type Reply, request, requestUpgrade } from '../support/http.js'
import { isProblem } from '../support/problem.js'
import { adminKey, startServer, type TestServer } from '../support/server.js'
import { gatePath, mint, mintWith, tokenFor } from '../support/tokens.js'

const longLived = { TICKETGATE_TICKET_TTL_SECONDS: '600' }

const statusOf = async ({ url }: { readonly url: string }, ticket: string): Promise<unknown> =>
  jsonOf(await postJson(url, '/ws_ticket/status', { ticket }))

const asAdmin = (server: TestServer, path: string, body: object): Promise<Reply> =>
  request(server.admin, path, {
    method: 'POST',
    headers: { ...bearer(adminKey), 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })

for (const [mode, env] of [
  ['one thread', {}],
  ['two threads', { TICKETGATE_THREADS: '2' }],
] as const) {
  t.test(`the status says that the session of a ticket was revoked, spent or not, ${mode}`, async t => {
    const server = await startServer(t, { env: { ...env, ...longLived } })
    const [unspent, spent] = [await mint(server.url), await mint(server.url)]
    t.equal(outcomeOf(await requestUpgrade(server.url, gatePath(spent))), '101')
    t.strictSame(await statusOf(server, spent), { state: 'used' })
    t.equal((await asAdmin(server, '/disconnect', { user: 'maggie' })).status, 200)
    for (const [ticket, state] of [
      [unspent, 'invalid'],
      [spent, 'used'],
    ] as const) {
      isProblem(t, await requestUpgrade(server.url, gatePath(ticket)), '401 token_revoked', state)
      t.strictSame(await statusOf(server, ticket), { state, refused: 'token_revoked' }, state)
    }
  })

  t.test(`the status says that the cache was full, for sockets and for /verify, ${mode}`, async t => {
    const server = await startServer(t, {
      env: { ...env, ...longLived, TICKETGATE_REPLAY_CAPACITY: '100', TICKETGATE_VERIFY: 'on' },
    })
    const verify = async (ticket: string) => request(server.url, `/verify?ticket=${ticket}`)
    // The shared cache is full slightly earlier or later than its capacity.
    for (let n = 0; (await verify(await mint(server.url, `user-${n}`))).status === 204; n++);
    for (const present of [verify, (ticket: string) => requestUpgrade(server.url, gatePath(ticket))]) {
      const ticket = await mint(server.url)
      isProblem(t, await present(ticket), '503 replay_cache_full')
      t.strictSame(await statusOf(server, ticket), { state: 'live', refused: 'replay_cache_full' })
    }
  })
}

t.test('the status says that a proxy did not pass the upgrade on', async t => {
  const server = await startServer(t, { env: longLived })
  const ticket = await mint(server.url)
  isProblem(t, await request(server.url, gatePath(ticket)), '426 upgrade_required')
  t.strictSame(await statusOf(server, ticket), { state: 'live', refused: 'upgrade_required' })
  t.equal(outcomeOf(await requestUpgrade(server.url, gatePath(ticket))), '101', 'the ticket is not spent')
})

t.test('the status says that the gate is draining', async t => {
  // With /verify it goes on listening for a tenth of the time, so that proxies notice.
  const env = { ...longLived, TICKETGATE_VERIFY: 'on', TICKETGATE_DRAIN_SECONDS: '600' }
  const server = await startServer(t, { env })
  const ticket = await mint(server.url)
  server.signal('SIGTERM')
  await server.logged('draining')
  isProblem(t, await requestUpgrade(server.url, gatePath(ticket)), '503 draining')
  t.strictSame(await statusOf(server, ticket), { state: 'live', refused: 'draining' })
})

t.test('the status says that the application refused the socket, or failed', async t => {
  const gate = await openGate(t, {
    authorize({ channel }) {
      if (channel === 'broken') throw new Error('broken')
      return false
    },
  })
  const { url } = await gate.listen()
  for (const [channel, code] of [
    ['lobby', '403 channel_forbidden'],
    ['broken', '500 internal_error'],
  ] as const) {
    const ticket = await mint(url)
    isProblem(t, await requestUpgrade(url, gatePath(ticket, channel)), code)
    const [, refused] = code.split(' ')
    t.strictSame(await statusOf({ url }, ticket), { state: 'live', refused })
  }
})

t.test('the client gives up at the first refusal that no retry can change', async t => {
  const server = await startServer(t, { env: longLived })
  const other = await asAdmin(server, '/tickets', {
    user: 'lisa',
    sessionSeconds: 600,
    origin: 'https://elsewhere.example',
  })
  const revoked = await mint(server.url)
  await asAdmin(server, '/disconnect', { user: 'maggie' })
  for (const [code, ticket] of [
    ['origin_forbidden', String(jsonOf(other).ticket)],
    ['token_revoked', revoked],
    ['channel_forbidden', await mint(server.url, 'bart', 'news')],
  ] as const) {
    const gate = connectTo(t, server.url, { channel: 'lobby', getTicket: () => ticket })
    t.match(await gate.next('close'), { code, remedy: 'nothing' }, code)
    t.equal(gate.tickets.length, 1, `${code}: there is one attempt`)
  }
})

t.test('the client requests another ticket after a temporary refusal', async t => {
  const server = await startServer(t, { env: { ...longLived, TICKETGATE_BIND: 'address' } })
  const token = tokenFor('maggie')
  const used = (await mintWith(server.url, token)).ticket
  t.equal(outcomeOf(await requestUpgrade(server.url, gatePath(used))), '101')
  const elsewhere = await request(server.url, '/ws_ticket', { headers: bearer(token), from: '127.8.0.1' })
  for (const [code, ticket] of [
    ['ticket_used', used],
    ['address_mismatch', String(jsonOf(elsewhere).ticket)],
    ['ticket_invalid', 'AQAB'],
  ] as const) {
    const tickets = [ticket]
    const gate = connectTo(t, server.url, {
      getTicket: async () => tickets.shift() ?? (await mintWith(server.url, token)).ticket,
      WebSocket,
    })
    t.match(await gate.next('retry'), { error: { code, remedy: 'time' } }, code)
    await gate.opened()
    await gate.close()
  }
})
