import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import t from 'tap'
import { bearer, jsonOf, postJson, type Reply, request } from '../support/http.js'
import { isProblem } from '../support/problem.js'
import { needs } from '../support/programs.js'
import { RawConnection, requestText, serverHasRead } from '../support/raw.js'
import { allowedOrigin, startServer } from '../support/server.js'
import { nowSeconds } from '../support/tokens.js'

const json = { 'content-type': 'application/json' }
const credentials = '{"user":"maggie","pwd":"secret"}'
const server = await startServer(t, {
  users: { maggie: 'secret', zoë: 'pässword: with colons' },
  env: { TICKETGATE_TOKEN_TTL_SECONDS: '120' },
})
const basic = (user: string, pwd: string): { authorization: string } => ({
  authorization: `Basic ${Buffer.from(`${user}:${pwd}`).toString('base64')}`,
})

t.test('a login in any form returns a token with the configured lifetime', async t => {
  const ways = [
    ['POST with JSON', { method: 'POST', headers: json, body: credentials }],
    ['GET with JSON', { method: 'GET', headers: json, body: credentials }],
    [
      'JSON with a charset',
      { method: 'POST', headers: { 'content-type': 'application/json; charset=utf-8' }, body: credentials },
    ],
    [
      'JSON in other case',
      { method: 'POST', headers: { 'content-type': 'Application/JSON' }, body: credentials },
    ],
    ['POST with Basic', { method: 'POST', headers: basic('maggie', 'secret') }],
    ['GET with Basic', { method: 'GET', headers: basic('maggie', 'secret') }],
    [
      'Basic in lower case',
      { headers: { authorization: basic('maggie', 'secret').authorization.replace('Basic', 'basic') } },
    ],
  ] as const
  for (const [name, options] of ways) {
    const before = nowSeconds()
    const reply = await request(server.url, '/auth', options)
    const after = nowSeconds()
    t.equal(reply.status, 200, name)
    t.equal(reply.headers['cache-control'], 'no-store', `${name}: the reply must not be stored`)
    t.match(reply.headers['content-type'], /^application\/json\b/, name)
    const body = jsonOf(reply)
    t.strictSame(Object.keys(body).sort(), ['expires', 'token'], name)
    const payload = JSON.parse(Buffer.from(String(body.token).split('.')[1] ?? '', 'base64url').toString())
    t.equal(payload.sub, 'maggie', name)
    t.equal(payload.exp, body.expires, `${name}: expires is that of the token`)
    t.equal(payload.exp - payload.iat, 120, `${name}: the lifetime is the configured one`)
    t.ok(payload.iat >= before - 1 && payload.iat <= after + 1, `${name}: issued now`)
    const minted = await request(server.url, '/ws_ticket', { headers: bearer(String(body.token)) })
    t.equal(minted.status, 200, `${name}: the token is accepted for a ticket`)
  }
})

t.test('user names and passwords can be non-ASCII, and passwords can contain colons', async t => {
  const byJson = await postJson(server.url, '/auth', { user: 'zoë', pwd: 'pässword: with colons' })
  t.equal(byJson.status, 200, 'JSON')
  const byBasic = await request(server.url, '/auth', { headers: basic('zoë', 'pässword: with colons') })
  t.equal(byBasic.status, 200, 'Basic, as UTF-8 (RFC 7617 section 2.1)')
})

t.test('wrong credentials get the same response whatever is wrong', async t => {
  const wrong = [
    ['a wrong password', 'maggie', 'secre'],
    ['a wrong password, longer', 'maggie', 'secret '],
    ['a wrong password in another case', 'maggie', 'Secret'],
    ['an empty password', 'maggie', ''],
    ['an unknown user', 'nobody', 'secret'],
    ['a user in another case', 'Maggie', 'secret'],
    ['an empty user', '', 'secret'],
    ['the prototype of an object', '__proto__', 'secret'],
    ['the constructor of an object', 'constructor', 'secret'],
    ['a method of an object', 'hasOwnProperty', 'secret'],
    ['a user with a NUL', 'maggie\0', 'secret'],
    ['the password of another user', 'maggie', 'pässword: with colons'],
  ] as const
  const replies: Reply[] = []
  for (const [name, user, pwd] of wrong) {
    const reply = await postJson(server.url, '/auth', { user, pwd })
    isProblem(t, reply, '401 bad_credentials', name)
    replies.push(reply)
  }
  t.equal(new Set(replies.map(({ text }) => text)).size, 1, 'all have the same body')
  const shapes = replies.map(({ headers }) => JSON.stringify({ ...headers, date: '' }))
  t.equal(new Set(shapes).size, 1, 'all have the same headers')
  isProblem(
    t,
    await request(server.url, '/auth', { headers: basic('maggie', 'wrong') }),
    '401 bad_credentials',
    'Basic',
  )
})

t.test('a client that waits for a challenge gets one, a web page does not', async t => {
  const challenge = /^Basic realm="ticketgate"/
  for (const method of ['GET', 'POST']) {
    const reply = await request(server.url, '/auth', { method })
    isProblem(t, reply, '401 bad_credentials', method)
    t.match(reply.headers['www-authenticate'], challenge, method)
  }
  for (const [name, headers, body, expected] of [
    ['a page', { origin: allowedOrigin }, undefined, '415 unsupported_media_type'],
    ['a client with other credentials', { authorization: 'Bearer x' }, undefined, '400 bad_request'],
    ['a client that announces JSON', json, '', '400 bad_request'],
    ['a client that sends JSON', json, '{}', '400 bad_request'],
    ['a body without a type', {}, '{}', '400 bad_request'],
  ] as const) {
    const reply = await request(server.url, '/auth', {
      method: 'POST',
      headers,
      ...(body === undefined ? {} : { body }),
    })
    isProblem(t, reply, expected, name)
    t.equal(reply.headers['www-authenticate'], undefined, name)
  }
  const wrong = await postJson(server.url, '/auth', { user: 'maggie', pwd: 'wrong' })
  t.equal(wrong.headers['www-authenticate'], undefined, 'a login by JSON')
})

t.test('requesting the challenge does not count as a login', async t => {
  const { url } = await startServer(t, {
    users: { maggie: 'secret' },
    env: { TICKETGATE_LOGIN_RATE: '1/600' },
  })
  for (let n = 0; n < 3; n++) t.equal((await request(url, '/auth')).status, 401)
  t.equal((await request(url, '/auth', { headers: basic('maggie', 'secret') })).status, 200)
})

t.test('curl logs in when challenged', needs('curl'), async t => {
  const args = ['--silent', '--show-error', '--anyauth', '--user', 'maggie:secret', `${server.url}/auth`]
  const { stdout } = await promisify(execFile)('curl', args)
  t.match(JSON.parse(stdout), { token: /^ey/ })
})

t.test('malformed logins are refused', async t => {
  const cases = [
    ['an unknown member', '{"user":"maggie","pwd":"secret","password":"x"}', '400 bad_request'],
    ['not JSON', '{"user":', '400 bad_request'],
    ['an empty body', '', '400 bad_request'],
    ['a list', '["maggie","secret"]', '400 bad_request'],
    ['a string', '"maggie"', '400 bad_request'],
    ['null', 'null', '400 bad_request'],
    ['no user', '{"pwd":"secret"}', '400 bad_request'],
    ['no password', '{"user":"maggie"}', '400 bad_request'],
    ['a user that is a number', '{"user":5,"pwd":"secret"}', '400 bad_request'],
    ['a password that is a list', '{"user":"maggie","pwd":["secret"]}', '400 bad_request'],
    ['a password that is null', '{"user":"maggie","pwd":null}', '400 bad_request'],
    ['credentials in a prototype', '{"__proto__":{"user":"maggie","pwd":"secret"}}', '400 bad_request'],
    ['text after the JSON', `${credentials}x`, '400 bad_request'],
    ['JSON in UTF-16', Buffer.from(credentials, 'utf16le').toString('latin1'), '400 bad_request'],
  ] as const
  for (const [name, body, expected] of cases)
    for (const method of ['POST', 'GET'])
      isProblem(
        t,
        await request(server.url, '/auth', { method, headers: json, body }),
        expected,
        `${name}, by ${method}`,
      )
})

t.test('other media types are refused', async t => {
  for (const type of [
    'text/plain',
    'application/x-www-form-urlencoded',
    'application/jsonp',
    'text/json',
    'application/json-patch+json',
  ])
    isProblem(
      t,
      await request(server.url, '/auth', {
        method: 'POST',
        headers: { 'content-type': type },
        body: credentials,
      }),
      '415 unsupported_media_type',
      type,
    )
})

t.test('an oversized body is refused', async t => {
  const body = JSON.stringify({ user: 'maggie', pwd: 'x'.repeat(200_000) })
  isProblem(t, await postJson(server.url, '/auth', body), '413 body_too_large')
})

t.test('a chunked body is refused', async t => {
  const reply = await request(server.url, '/auth', {
    method: 'POST',
    headers: { ...json, 'transfer-encoding': 'chunked', 'content-length': [] },
    body: credentials,
  })
  isProblem(t, reply, '411 length_required')
})

t.test(
  'a client that sends far too much gets the refusal, and the next request uses a new connection',
  async t => {
    for (const [method, path, status] of [
      ['POST', '/auth', 413],
      ['POST', '/nothing', 404],
      ['POST', '/healthz', 405],
    ] as const) {
      const connection = await RawConnection.connect(server.url)
      const body = Buffer.alloc(1_000_000, 0x20)
      connection.write(requestText(method, path, { ...json, 'content-length': String(body.length) }))
      const { socket } = connection
      for (let at = 0; at < body.length; at += 50_000) {
        socket.write(body.subarray(at, at + 50_000))
        await serverHasRead(server.url)
        if (at + 50_000 < body.length && connection.arrived().length > 0)
          t.fail(`${path}: answered before the whole body was sent`)
      }
      const response = await connection.response()
      t.match(response, { status, headers: { connection: 'close' } }, path)
      await connection.closed
    }
  },
)

t.test('a client that sends a large chunked body gets the refusal too', async t => {
  const piece = `400\r\n${'x'.repeat(1024)}\r\n`
  for (const path of ['/auth', '/nothing']) {
    const connection = await RawConnection.connect(server.url)
    connection.write(requestText('POST', path, { ...json, 'transfer-encoding': 'chunked' }))
    for (let n = 0; n < 900; n++) connection.write(piece)
    await serverHasRead(server.url)
    if (connection.arrived().length > 0) t.fail(`${path}: answered before the whole body was sent`)
    connection.write('0\r\n\r\n')
    t.equal((await connection.response())?.status, 411, path)
  }
})

t.test('a refused request whose body never arrives gets its response', async t => {
  const connection = await RawConnection.connect(server.url)
  connection.write(requestText('POST', '/nothing', { 'content-length': '9' }))
  t.equal((await connection.response())?.status, 404)
  await connection.closed
})

t.test('an overlong password is refused', async t => {
  const reply = await postJson(server.url, '/auth', { user: 'maggie', pwd: 'p'.repeat(3000) })
  t.match(String(reply.status), /^(400|401|413)$/)
})

t.test('malformed Basic credentials are refused', async t => {
  for (const value of [
    'Basic',
    'Basic ',
    'Basic !!!',
    `Basic ${Buffer.from('nocolon').toString('base64')}`,
    'Basic bWFnZ2ll OnNlY3JldA==',
  ]) {
    const reply = await request(server.url, '/auth', { method: 'POST', headers: { authorization: value } })
    t.match(reply.text, /"code":\s*"(bad_request|bad_credentials)"/, `${value}: ${reply.status}`)
    t.match(reply.headers['content-type'], /^application\/problem\+json/, value)
  }
})

t.test('logins beyond the queue are told to retry', async t => {
  const replies = await Promise.all(
    Array.from({ length: 300 }, () => postJson(server.url, '/auth', { user: 'maggie', pwd: 'wrong' })),
  )
  const busy = replies.filter(({ status }) => status === 503)
  const others = replies.filter(({ status }) => status !== 503)
  t.ok(busy.length > 0 && others.length > 0, `${busy.length} busy, ${others.length} served`)
  t.ok(others.every(({ status }) => status === 401))
  const [first] = busy
  if (first !== undefined) {
    isProblem(t, first, '503 login_busy')
    t.match(first.headers['retry-after'], /^[1-9][0-9]*$/, 'the refusal has Retry-After')
  }
  t.equal((await postJson(server.url, '/auth', credentials)).status, 200, 'later logins succeed')
})
