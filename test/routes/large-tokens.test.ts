import t from 'tap'
import { otherHeaderBytes } from '../../src/http/header-limit.js'
import { connectTo } from '../support/gate-client.js'
import { bearer, jsonOf, metric, postJson, type Reply, request } from '../support/http.js'
import { isProblem } from '../support/problem.js'
import { allowedOrigin, type Environment, startServer, type TestServer } from '../support/server.js'
import { tokenFor } from '../support/tokens.js'

/**
 * A valid token of exactly this length. Not every length is possible in base64url, so the header
 * varies too.
 */
const tokenOf = (length: number): string => {
  for (let filler = 0; filler < 8; filler++) {
    const header = { x: 'x'.repeat(filler) }
    const rest = Math.floor(((length - tokenFor('maggie', { pad: '' }, header).length) * 3) / 4)
    for (const pad of [rest - 1, rest, rest + 1, rest + 2]) {
      const token = tokenFor('maggie', { pad: 'p'.repeat(Math.max(0, pad)) }, header)
      if (token.length === length) return token
    }
  }
  throw new Error(`no token of ${length} characters`)
}

const origin = allowedOrigin
const byHeader = (at: TestServer, token: string): Promise<Reply> =>
  request(at.url, '/ws_ticket', { headers: { ...bearer(token), origin } })
const byBody = (at: TestServer, token: unknown, headers = {}): Promise<Reply> =>
  postJson(at.url, '/ws_ticket', { token, channel: 'lobby' }, { headers: { origin, ...headers } })

t.test('tokens up to the limit are accepted in the header and in the body, larger ones refused', async t => {
  const settings: [name: string, limit: number, env: Environment][] = [
    ['by default', 16_384, {}],
    ['on two threads', 16_384, { TICKETGATE_THREADS: '2' }],
    ['the largest limit', 65_536, { TICKETGATE_MAX_TOKEN_BYTES: '65536' }],
    ['the smallest limit', 1024, { TICKETGATE_MAX_TOKEN_BYTES: '1024' }],
  ]
  for (const [name, limit, env] of settings) {
    const server = await startServer(t, { env })
    for (const [way, present] of [
      ['header', byHeader],
      ['body', byBody],
    ] as const) {
      for (const length of [limit - 1, limit])
        t.equal((await present(server, tokenOf(length))).status, 200, `${name}: ${length} by ${way}`)
      const refused = await present(server, tokenOf(limit + 1))
      isProblem(t, refused, '431 token_too_large', `${name}: ${limit + 1} by ${way}`)
      t.equal(refused.headers['access-control-allow-origin'], origin, 'the page may read the refusal')
    }
    t.equal(await metric(server, 'ticketgate_token_refusals_total{reason="too_large"}'), 2)
    t.equal(await metric(server, 'ticketgate_requests_refused_total{code="token_too_large"}'), 2)
    await server.stop()
    t.match(server.output(), /"level":"warn".*TICKETGATE_MAX_TOKEN_BYTES/)
  }
})

t.test('a token can be sent in the body, if there is none in the header', async t => {
  const server = await startServer(t)
  const token = tokenFor('maggie')
  const { ticket } = jsonOf(await byBody(server, token))
  t.type(ticket, 'string')
  isProblem(t, await byBody(server, token, bearer(token)), '400 bad_request', 'both')
  isProblem(t, await byBody(server, 'x', bearer(token)), '400 bad_request', 'both, even if invalid')
  for (const wrong of [5, null, [token], { token }, true])
    isProblem(t, await byBody(server, wrong), '400 bad_request', JSON.stringify(wrong))
  isProblem(t, await byBody(server, ''), '401 token_invalid')
  isProblem(t, await byBody(server, `${token}x`), '401 token_invalid')
  isProblem(t, await byBody(server, undefined), '401 token_missing')
  isProblem(t, await byBody(server, 'a'.repeat(100_000)), '413 body_too_large')
  const proxied = await byBody(server, token, { authorization: 'Basic bTpw' })
  t.equal(proxied.status, 200, 'other credentials in Authorization are ignored')
})

t.test('cookies and other headers fit in addition to a token', async t => {
  const server = await startServer(t)
  const headers = { ...bearer(tokenOf(16_384)), cookie: `a=${'c'.repeat(otherHeaderBytes - 1024)}` }
  t.equal((await request(server.url, '/ws_ticket', { headers })).status, 200)
})

t.test('headers beyond the limit of uWebSockets.js get its own 431, and the limit can be raised', async t => {
  const headers = { ...bearer(tokenFor('maggie')), cookie: `a=${'c'.repeat(60_000)}` }
  const usual = await startServer(t)
  const refused = await request(usual.url, '/ws_ticket', { headers })
  t.equal(refused.status, 431)
  t.match(refused.text, /Request Header Fields Too Large/)
  const raised = await startServer(t, { env: { UWS_HTTP_MAX_HEADERS_SIZE: '70000' } })
  t.equal((await request(raised.url, '/ws_ticket', { headers })).status, 200)
  const low = await startServer(t, { env: { UWS_HTTP_MAX_HEADERS_SIZE: '1000' } })
  t.equal((await byHeader(low, tokenOf(16_384))).status, 200, 'but it cannot be lower than tokens need')
})

t.test('the client gets a ticket for a large token, and gives up with an oversized one', async t => {
  const server = await startServer(t)
  const opened = connectTo(t, server.url, { getToken: () => tokenOf(16_000) })
  await opened.opened()
  for (const [length, code] of [
    [17_000, 'token_too_large'],
    [200_000, 'body_too_large'],
  ] as const) {
    const gate = connectTo(t, server.url, { getToken: () => 'a'.repeat(length) })
    t.match(await gate.next('close'), { code })
    t.equal(gate.state, 'closed')
  }
})
