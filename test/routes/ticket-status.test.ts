import t from 'tap'
import { jsonOf, postJson, type Reply, request, requestUpgrade } from '../support/http.js'
import { hasRetryAfter, isProblem } from '../support/problem.js'
import { allowedOrigin, startServer, type TestServer } from '../support/server.js'
import { gatePath, mint, mintWith, tokenFor } from '../support/tokens.js'

const ask = (server: TestServer, ticket: unknown, from?: string): Promise<Reply> =>
  postJson(server.url, '/ws_ticket/status', { ticket }, from === undefined ? {} : { from })

const stateOf = async (server: TestServer, ticket: string): Promise<unknown> => {
  const reply = await ask(server, ticket)
  return reply.status === 200 ? jsonOf(reply) : `${reply.status} ${reply.text}`
}

for (const replay of ['memory', 'shared'])
  t.test(`what has become of a ticket, with ${replay}`, async t => {
    const server = await startServer(t, {
      env: { TICKETGATE_REPLAY: replay, TICKETGATE_TICKET_TTL_SECONDS: '600' },
    })
    const ticket = await mint(server.url)
    t.strictSame(await stateOf(server, ticket), { state: 'live' })
    t.strictSame(await stateOf(server, ticket), { state: 'live' }, 'to ask spends nothing')
    t.equal((await requestUpgrade(server.url, gatePath(ticket))).status, 101)
    t.strictSame(await stateOf(server, ticket), { state: 'used' })
    for (const [name, text] of [
      ['empty', ''],
      ['garbage', 'hello'],
      ['a token', tokenFor('maggie')],
      ['one bit off', `${ticket.slice(0, -8)}${ticket.at(-8) === 'A' ? 'B' : 'A'}${ticket.slice(-7)}`],
      ['of another gate', `other.${ticket}`],
    ] as const)
      t.strictSame(await stateOf(server, text), { state: 'invalid' }, name)
  })

for (const replay of ['memory', 'shared'])
  t.test(`a ticket that is over is expired, used or not, with ${replay}`, async t => {
    const server = await startServer(t, {
      env: { TICKETGATE_REPLAY: replay, TICKETGATE_TICKET_TTL_SECONDS: '1' },
    })
    const unused = await mint(server.url)
    let used: string
    // Until one was used in time.
    do used = await mint(server.url)
    while ((await requestUpgrade(server.url, gatePath(used))).status !== 101)
    for (const ticket of [unused, used]) {
      let state: unknown
      do state = await stateOf(server, ticket)
      while (/live|used/.test(JSON.stringify(state)))
      t.strictSame(state, { state: 'expired' })
    }
  })

t.test('the question', async t => {
  const server = await startServer(t)
  for (const [body, code] of [
    ['{}', '400 bad_request'],
    ['{"ticket":5}', '400 bad_request'],
    ['{"ticket":"a","tickets":"b"}', '400 bad_request'],
    ['', '400 bad_request'],
    ['[]', '400 bad_request'],
  ] as const)
    isProblem(t, await postJson(server.url, '/ws_ticket/status', body), code, body)
  isProblem(t, await request(server.url, '/ws_ticket/status'), '405 method_not_allowed')
  const preflight = await request(server.url, '/ws_ticket/status', {
    method: 'OPTIONS',
    headers: { origin: allowedOrigin, 'access-control-request-method': 'POST' },
  })
  t.equal(preflight.status, 204)
  t.equal(preflight.headers['access-control-allow-origin'], allowedOrigin)
})

t.test('one address may ask so often, whatever it asks, and takes nothing from others', async t => {
  const server = await startServer(t, { env: { TICKETGATE_TICKET_RATE: '5/3600' } })
  const { ticket } = await mintWith(server.url, tokenFor('127.0.0.1'))
  for (let n = 0; n < 5; n++) t.equal((await ask(server, ticket, '127.0.0.2')).status, 200)
  const reply = await ask(server, ticket, '127.0.0.2')
  isProblem(t, reply, '429 rate_limited')
  hasRetryAfter(t, reply, 'after the fifth', 720)
  t.equal((await ask(server, ticket, '127.0.0.3')).status, 200, 'another address')
  t.equal(
    typeof (await mintWith(server.url, tokenFor('maggie'))).ticket,
    'string',
    'tickets are counted apart',
  )
})
