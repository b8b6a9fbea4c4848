import t from 'tap'
import { bearer, jsonOf, postJson, request, requestUpgrade } from '../support/http.js'
import { isProblem } from '../support/problem.js'
import { startServer } from '../support/server.js'
import { gatePath, mintWith, nowSeconds, tokenFor } from '../support/tokens.js'

const server = await startServer(t, {
  env: { TICKETGATE_PUBLIC_URL: 'https://gate.example', TICKETGATE_TICKET_TTL_SECONDS: '70' },
})
const token = tokenFor('maggie')

t.test('a ticket can be requested by GET and by POST, for any channel or for one', async t => {
  const ways = [
    ['GET', () => request(server.url, '/ws_ticket', { headers: bearer(token) }), ''],
    [
      'GET for a channel',
      () => request(server.url, '/ws_ticket?channel=red', { headers: bearer(token) }),
      'red',
    ],
    [
      'POST without a body',
      () => request(server.url, '/ws_ticket', { method: 'POST', headers: bearer(token) }),
      '',
    ],
    [
      'POST with an empty object',
      () => postJson(server.url, '/ws_ticket', {}, { headers: bearer(token) }),
      '',
    ],
    [
      'POST for a channel',
      () => postJson(server.url, '/ws_ticket', { channel: 'red' }, { headers: bearer(token) }),
      'red',
    ],
    [
      'POST with the channel in the query',
      () => request(server.url, '/ws_ticket?channel=red', { method: 'POST', headers: bearer(token) }),
      'red',
    ],
  ] as const
  for (const [name, take, channel] of ways) {
    const before = nowSeconds()
    const reply = await take()
    const after = nowSeconds()
    t.equal(reply.status, 200, name)
    t.equal(reply.headers['cache-control'], 'no-store', `${name}: the reply must not be stored`)
    t.match(reply.headers['content-type'], /^application\/json\b/, name)
    const { ticket, expires, url, ...rest } = jsonOf(reply)
    t.strictSame(rest, {}, `${name}: there are no other members`)
    t.match(ticket, /^[A-Za-z0-9_-]+$/, name)
    t.ok(Number.isInteger(expires), `${name}: expires is in whole seconds`)
    const issued = Number(expires) - 70
    t.ok(issued >= before - 1 && issued <= after + 1, `${name}: the lifetime is the configured one`)
    t.equal(url, `wss://gate.example/channel/${channel}?ticket=${ticket}`, `${name}: the URL to open`)
    const other = channel === '' ? '' : await requestUpgrade(server.url, gatePath(String(ticket), 'blue'))
    if (other !== '') isProblem(t, other, '403 channel_forbidden', `${name}: it opens no other channel`)
    t.equal(
      (await requestUpgrade(server.url, gatePath(String(ticket), channel))).status,
      101,
      `${name}: it opens its channel`,
    )
  }
})

t.test('no two tickets are alike', async t => {
  const tickets = new Set<string>()
  for (let n = 0; n < 200; n++) tickets.add((await mintWith(server.url, token)).ticket)
  t.equal(tickets.size, 200)
})

t.test('the channel must be a channel name', async t => {
  const cases = [
    ['129 characters', 'a'.repeat(129)],
    ['a space, percent-encoded', 'a%20b'],
    ['percent-encoded twice', '%2561'],
    ['bytes that are not UTF-8', 'a%ff'],
    ['truncated percent-encoding', 'a%3'],
    ['a slash', 'a/b'],
    ['a slash, percent-encoded', 'a%2fb'],
    ['a plus', 'a+b'],
    ['an asterisk', 'chat.*'],
    ['a comma', 'a,b'],
  ] as const
  for (const [name, channel] of cases)
    isProblem(
      t,
      await request(server.url, `/ws_ticket?channel=${channel}`, { headers: bearer(token) }),
      '400 channel_invalid',
      name,
    )
  for (const [name, channel] of [
    ['a space in JSON', 'a b'],
    ['a letter beyond ASCII in JSON', 'é'],
    ['a line break in JSON', 'a\n'],
    ['129 characters in JSON', 'a'.repeat(129)],
  ] as const)
    isProblem(
      t,
      await postJson(server.url, '/ws_ticket', { channel }, { headers: bearer(token) }),
      '400 channel_invalid',
      name,
    )
  for (const good of ['a'.repeat(128), 'A-Za-z0-9._~:@-', '..'])
    t.equal(
      (await request(server.url, `/ws_ticket?channel=${good}`, { headers: bearer(token) })).status,
      200,
      good,
    )
})

t.test('the channel in the query can be percent-encoded', async t => {
  const cases = [
    [`?${new URLSearchParams({ channel: 'room:a@b' })}`, 'room:a@b'],
    ['?channel=%72ed', 'red'],
    ['?chann%65l=red', 'red'],
    ['?channel=', ''],
    ['?', undefined],
  ] as const
  for (const [query, channel] of cases) {
    const reply = await request(server.url, `/ws_ticket${query}`, { headers: bearer(token) })
    t.match(jsonOf(reply).url, `/channel/${channel ?? ''}?ticket=`, query)
    const path = gatePath(String(jsonOf(reply).ticket), 'blue')
    if (channel === undefined) t.equal((await requestUpgrade(server.url, path)).status, 101, query)
    else isProblem(t, await requestUpgrade(server.url, path), '403 channel_forbidden', query)
  }
  const { ticket } = await mintWith(server.url, token)
  for (const path of [
    `/channel/%72ed?ticket=${ticket}`,
    `/channel/red?ticket=%${ticket.charCodeAt(0).toString(16)}${ticket.slice(1)}`,
  ])
    t.match(
      String((await requestUpgrade(server.url, path)).status),
      /^4/,
      `the URL of the socket is strict: ${path}`,
    )
  t.equal((await requestUpgrade(server.url, gatePath(ticket, 'red'))).status, 101)
})

t.test('an unknown name is refused, since a misspelt one would widen the ticket', async t => {
  const ask = (path: string) => request(server.url, path, { headers: bearer(token) })
  for (const [query, name] of [
    ['chanel=red', 'chanel'],
    ['channel=red&chanel=blue', 'chanel'],
    ['Channel=red', 'Channel'],
    ['channel%20=red', undefined],
    ['_=1', '_'],
    ['channel', 'none'],
  ] as const) {
    const reply = await ask(`/ws_ticket?${query}`)
    if (name === 'none') {
      t.equal(reply.status, 200, query)
      continue
    }
    isProblem(t, reply, '400 bad_request', query)
    t.match(
      jsonOf(reply).detail,
      name === undefined ? 'Unknown parameter:' : `Unknown parameter "${name}"`,
      query,
    )
  }
  const secret = 'canary'.repeat(8)
  const stray = await ask(`/ws_ticket?${secret}`)
  isProblem(t, stray, '400 bad_request')
  t.notMatch(stray.text, 'canary', 'an overlong name may be a secret, so it is not quoted')
  for (const body of [
    { chanel: 'red' },
    { channel: 'red', ttl: 5 },
    JSON.parse('{"__proto__":{"channel":"red"}}'),
  ]) {
    const reply = await postJson(server.url, '/ws_ticket', body, { headers: bearer(token) })
    isProblem(t, reply, '400 bad_request', JSON.stringify(body))
    t.match(jsonOf(reply).detail, /Unknown member "(chanel|ttl|__proto__)"/)
  }
})

t.test('invalid bodies are refused', async t => {
  const cases = [
    ['a channel that is a number', '{"channel":5}', '400'],
    ['a channel that is null', '{"channel":null}', '400'],
    ['a list', '[]', '400'],
    ['not JSON', '{"channel":', '400'],
  ] as const
  for (const [name, body, status] of cases) {
    const reply = await postJson(server.url, '/ws_ticket', body, { headers: bearer(token) })
    t.match(reply.text, /"code":\s*"(bad_request|channel_invalid)"/, name)
    t.equal(String(reply.status), status, name)
  }
  isProblem(
    t,
    await request(server.url, '/ws_ticket', {
      method: 'POST',
      headers: { ...bearer(token), 'content-type': 'text/plain' },
      body: '{}',
    }),
    '415 unsupported_media_type',
  )
  isProblem(
    t,
    await postJson(server.url, '/ws_ticket', { channel: 'a'.repeat(200_000) }, { headers: bearer(token) }),
    '413 body_too_large',
  )
})

t.test('a request for two channels is refused', async t => {
  const reply = await request(server.url, '/ws_ticket?channel=red&channel=blue', { headers: bearer(token) })
  t.ok(reply.status === 400, `${reply.status} ${reply.text}`)
})

t.test('without a token the challenge names no error (RFC 6750 section 3.1)', async t => {
  for (const method of ['GET', 'POST']) {
    const reply = await request(server.url, '/ws_ticket', { method })
    isProblem(t, reply, '401 token_missing', method)
    t.match(reply.headers['www-authenticate'], /^Bearer\b/, method)
    t.notMatch(reply.headers['www-authenticate'], /error=/, method)
  }
})
