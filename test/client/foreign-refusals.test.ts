import t from 'tap'
import { first, htmlPage, type Intercept, problem, startFront } from '../support/front.js'
import { connectTo } from '../support/gate-client.js'
import { startServer } from '../support/server.js'
import { tokenFor } from '../support/tokens.js'

const server = await startServer(t)
const route = '/ws_ticket'

t.test('an error page of a proxy, with any status, does not end connections', async t => {
  const clients = 20
  for (const status of [400, 401, 403, 404, 405, 410, 413, 431, 451, 500, 502, 503]) {
    const front = await startFront(t, server.url, first(clients * 3, route, htmlPage(status)))
    const gates = Array.from({ length: clients }, () => connectTo(t, front.url, { maxDelayMs: 50 }))
    await Promise.all(gates.map(gate => gate.opened()))
    t.match(await gates[0]?.next('retry'), { error: { code: `http_${status}` } }, `${status}: is retried`)
    await Promise.all(gates.map(gate => gate.close()))
  }
})

t.test('a refusal that only looks like one of the server’s is retried too', async t => {
  const json =
    (status: number, type: string, body: object): Intercept =>
    (_, response) => {
      response.writeHead(status, { 'content-type': type }).end(JSON.stringify(body))
      return true
    }
  const code = 'channel_forbidden'
  const cases = [
    ['JSON that is not a problem document', json(403, 'application/json', { code }), 'http_403'],
    [
      'a problem of another server',
      problem(404, 'not_found', {}, { type: 'https://api.test/404' }),
      'http_404',
    ],
    ['a problem without a code', json(403, 'application/problem+json', { title: 'No' }), 'http_403'],
    ['an unknown code', problem(403, 'from_a_later_version'), 'from_a_later_version'],
    ['a token code from a gateway', json(401, 'application/json', { code: 'token_invalid' }), 'http_401'],
  ] as const
  for (const [name, answer, heard] of cases) {
    const front = await startFront(t, server.url, first(3, route, answer))
    const gate = connectTo(t, front.url)
    await gate.opened()
    t.match(await gate.next('retry'), { error: { code: heard } }, name)
    await gate.close()
  }
})

t.test('a refusal by the server that no retry can change ends the connection at once', async t => {
  const cases = [
    [400, 'bad_request'],
    [400, 'channel_invalid'],
    [401, 'token_revoked'],
    [403, 'channel_forbidden'],
    [403, 'origin_forbidden'],
    [404, 'not_found'],
    [405, 'method_not_allowed'],
    [413, 'body_too_large'],
    [415, 'unsupported_media_type'],
    [431, 'token_too_large'],
  ] as const
  for (const [status, code] of cases) {
    const front = await startFront(t, server.url, problem(status, code))
    const gate = connectTo(t, front.url)
    t.match(await gate.next('close'), { code }, code)
    t.equal(gate.asked.length, 1, `${code}: getToken is called once`)
  }
})

t.test('a gateway that refuses a token gets a fresh one each time, however often', async t => {
  const front = await startFront(t, server.url, first(12, route, htmlPage(401)))
  const gate = connectTo(t, front.url, { maxDelayMs: 30 })
  await gate.opened()
  t.strictSame(gate.asked, [false, ...Array(12).fill(true)])
})

t.test('repeated token refusals do not end the connection at once', async t => {
  // Four: behind a balancer, one gate may have fetched the new keys while another has not.
  const front = await startFront(t, server.url, first(4, route, problem(401, 'token_invalid')))
  const gate = connectTo(t, front.url)
  await gate.opened()
  const delays: number[] = []
  for (let count = 0; count < 4; count++) delays.push((await gate.next('retry')).delayMs)
  t.equal(delays[0], 0, 'the first retry is immediate')
  t.ok(
    delays.slice(1).every(delayMs => delayMs > 0),
    `later retries wait: ${delays}`,
  )
  t.strictSame(gate.asked, [false, true, true, true, true])
})

t.test('while keys are unavailable, it waits as long as the server says', async t => {
  const answer = problem(503, 'keys_unavailable', { 'retry-after': '1' })
  const front = await startFront(t, server.url, first(1, route, answer))
  const gate = connectTo(t, front.url)
  const { error, delayMs } = await gate.next('retry')
  t.match(error, { code: 'keys_unavailable', remedy: 'time', retryAfterMs: 1000 })
  t.ok(delayMs >= 1000 && delayMs <= 1020, `${delayMs}`)
  await gate.opened()
  t.strictSame(gate.asked, [false, false], 'no fresh token is requested, as this one is good')
})

t.test('waits that the server asks for do not lengthen later ones', async t => {
  // Waits of the client's own would have doubled the limit eight times by the end.
  const draining = problem(503, 'draining')
  const front = await startFront(t, server.url, first(8, route, draining))
  const gate = connectTo(t, front.url, { minDelayMs: 10, maxDelayMs: 3_600_000 })
  await gate.opened()
  for (let failures = 1; failures <= 8; failures++) {
    const retry = await gate.next('retry')
    t.match(retry, { failures, error: { code: 'draining' } })
    t.ok(retry.delayMs <= 10, `${retry.delayMs}`)
  }
})

t.test('a token that stays refused ends the connection eventually, and says why', async t => {
  const gate = connectTo(t, server.url, { getToken: () => tokenFor('maggie', { aud: 1 }, { alg: 'none' }) })
  t.match(await gate.next('close'), { code: 'token_invalid' })
  t.equal(gate.asked.length, 8)
})
