import t, { type Test } from 'tap'
import { request } from '../support/http.js'
import { RawConnection, type RawResponse, requestText, serverHasRead, upgradeText } from '../support/raw.js'
import { startServer } from '../support/server.js'
import { mint, tokenFor } from '../support/tokens.js'

const server = await startServer(t, { users: { maggie: 'secret' } })
const credentials = '{"user":"maggie","pwd":"secret"}'

/** What an attacker hides behind a request: an answer 200 that only this request can have. */
const smuggled = requestText('GET', '/readyz')
const chunked = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n0\r\n\r\n`

/** Sends bytes on a connection of their own, and returns all that came back once there was time for all of it. */
const exchange = async (text: string): Promise<{ answers: RawResponse[]; isOpen: boolean }> => {
  const connection = await RawConnection.connect(server.url)
  connection.write(Buffer.from(text, 'latin1'))
  await serverHasRead(server.url)
  const answers = connection.arrived()
  await serverHasRead(server.url)
  answers.push(...connection.arrived())
  const { isOpen } = connection
  connection.destroy()
  return { answers, isOpen }
}

const request11 = (lines: readonly string[], body = ''): string =>
  `${lines[0]} HTTP/1.1\r\nHost: gate.test\r\n${lines
    .slice(1)
    .map(line => `${line}\r\n`)
    .join('')}\r\n${body}`

/** Refused or hung up, at most one answer, and none of it the smuggled request's. */
const nothingPasses = async (t: Test, name: string, text: string): Promise<void> => {
  const { answers } = await exchange(text)
  t.ok(
    answers.length <= 1 && answers.every(({ status }) => status >= 400),
    `${name}: ${answers.map(({ status }) => status).join(', ') || 'hung up'}`,
  )
}

t.test('the smuggled request has its answer when it is not hidden', async t => {
  const { answers } = await exchange(smuggled)
  t.strictSame(
    answers.map(({ status }) => status),
    [200],
  )
  const pipelined = await exchange(smuggled + requestText('GET', '/healthz') + smuggled)
  t.strictSame(
    pipelined.answers.map(({ status }) => status),
    [200, 200, 200],
    'honest pipelining is served',
  )
})

t.test('the length of a body has one reading or none', async t => {
  const long = String(smuggled.length)
  const json = 'Content-Type: application/json'
  const cases = [
    [
      'two lengths, the shorter first',
      ['POST /auth', json, 'Content-Length: 0', `Content-Length: ${long}`],
      smuggled,
    ],
    [
      'two lengths, the longer first',
      ['POST /auth', json, `Content-Length: ${long}`, 'Content-Length: 0'],
      smuggled,
    ],
    ['two lengths on a GET', ['GET /auth', json, 'Content-Length: 0', `Content-Length: ${long}`], smuggled],
    ['two lengths in a list', ['POST /auth', json, `Content-Length: 0, ${long}`], smuggled],
    [
      'a length and chunks',
      ['POST /auth', json, `Content-Length: ${chunked('').length}`, 'Transfer-Encoding: chunked'],
      `0\r\n\r\n${smuggled}`,
    ],
    [
      'chunks and a length',
      ['POST /auth', json, 'Transfer-Encoding: chunked', 'Content-Length: 4'],
      `0\r\n\r\n${smuggled}`,
    ],
    ['an unknown coding', ['POST /auth', json, 'Transfer-Encoding: xchunked'], `0\r\n\r\n${smuggled}`],
    [
      'chunked, then identity',
      ['POST /auth', json, 'Transfer-Encoding: chunked, identity'],
      `0\r\n\r\n${smuggled}`,
    ],
    [
      'two codings in two lines',
      ['POST /auth', json, 'Transfer-Encoding: identity', 'Transfer-Encoding: chunked'],
      `0\r\n\r\n${smuggled}`,
    ],
    [
      'a tab before the coding',
      ['POST /auth', json, 'Transfer-Encoding:\x0bchunked'],
      `0\r\n\r\n${smuggled}`,
    ],
    ['a space before the colon', ['POST /auth', json, `Content-Length : ${long}`], smuggled],
    [
      'a space before the colon of the coding',
      ['POST /auth', json, 'Transfer-Encoding : chunked'],
      `0\r\n\r\n${smuggled}`,
    ],
    ['a negative length', ['POST /auth', json, 'Content-Length: -1'], smuggled],
    ['a signed length', ['POST /auth', json, 'Content-Length: +0'], smuggled],
    ['a hexadecimal length', ['POST /auth', json, 'Content-Length: 0x0'], smuggled],
    ['a length of words', ['POST /auth', json, 'Content-Length: none'], smuggled],
    ['a length beyond 64 bits', ['POST /auth', json, 'Content-Length: 18446744073709551616'], smuggled],
    [
      'a chunk size beyond 64 bits',
      ['POST /auth', json, 'Transfer-Encoding: chunked'],
      `10000000000000000\r\n${smuggled}`,
    ],
    [
      'a chunk size that is no number',
      ['POST /auth', json, 'Transfer-Encoding: chunked'],
      `zz\r\n${smuggled}`,
    ],
    ['a negative chunk size', ['POST /auth', json, 'Transfer-Encoding: chunked'], `-1\r\n${smuggled}`],
  ] as const
  for (const [name, lines, body] of cases) await nothingPasses(t, name, request11(lines, body))
})

t.test('header lines have one reading or none', async t => {
  const cases = [
    ['a folded line', request11(['GET /readyz', 'X-One: a', ' X-Two: b'])],
    ['a line that begins with a tab', request11(['GET /readyz', 'X-One: a', '\tb'])],
    ['a folded first line', 'GET /readyz HTTP/1.1\r\n Host: gate.test\r\n\r\n'],
    ['a line without a colon', request11(['GET /readyz', 'nonsense'])],
    ['a name with a space', request11(['GET /readyz', 'X One: a'])],
    ['a zero byte in a value', request11(['GET /readyz', 'X-One: a\0b'])],
    ['a bare carriage return in a value', request11(['GET /readyz', 'X-One: a\rX-Two: b'])],
    ['bare line feeds', `GET /readyz HTTP/1.1\nHost: gate.test\n\n${smuggled}`],
    ['no Host', 'GET /readyz HTTP/1.1\r\n\r\n'],
    ['two Hosts', request11(['GET /readyz', 'Host: other.test'])],
    ['a head of 64 KB', request11(['GET /readyz', `X-One: ${'a'.repeat(65_536)}`])],
    ['a thousand lines', request11(['GET /readyz', ...Array.from({ length: 1000 }, (_, n) => `X-${n}: a`)])],
    ['a path of 64 KB', request11([`GET /readyz?${'a'.repeat(65_536)}`])],
    ['HTTP/0.9', 'GET /readyz\r\n\r\n'],
    ['HTTP/1.0', 'GET /readyz HTTP/1.0\r\nHost: gate.test\r\n\r\n'],
    ['HTTP/1.2', 'GET /readyz HTTP/1.2\r\nHost: gate.test\r\n\r\n'],
    ['HTTP/2.0', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    ['two spaces after the method', 'GET  /readyz HTTP/1.1\r\nHost: gate.test\r\n\r\n'],
    ['a space in the path', 'GET /readyz x HTTP/1.1\r\nHost: gate.test\r\n\r\n'],
    ['no path', 'GET HTTP/1.1\r\nHost: gate.test\r\n\r\n'],
    ['an asterisk', 'GET * HTTP/1.1\r\nHost: gate.test\r\n\r\n'],
    ['CONNECT', 'CONNECT gate.test:80 HTTP/1.1\r\nHost: gate.test\r\n\r\n'],
    ['TRACE', 'TRACE /readyz HTTP/1.1\r\nHost: gate.test\r\n\r\n'],
    ['a method of 20 KB', `${'A'.repeat(20_000)} / HTTP/1.1\r\nHost: gate.test\r\n\r\n`],
  ] as const
  for (const [name, text] of cases) await nothingPasses(t, name, text)
})

t.test('what follows a malformed request on its connection is not served', async t => {
  const cases = [
    ['a broken request line', 'BROKEN\r\n\r\n'],
    ['a missing Host', 'GET /readyz HTTP/1.1\r\n\r\n'],
    ['a broken header', request11(['GET /readyz', 'nonsense'])],
    [
      'broken chunks',
      request11(['POST /auth', 'Content-Type: application/json', 'Transfer-Encoding: chunked'], 'zz\r\n'),
    ],
    ['two lengths', request11(['GET /readyz', 'Content-Length: 0', 'Content-Length: 1'])],
    ['HTTP/1.0', 'GET /readyz HTTP/1.0\r\nHost: gate.test\r\n\r\n'],
  ] as const
  for (const [name, text] of cases) await nothingPasses(t, name, text + smuggled)
})

t.test('the body of a refused request is never read as the next request', async t => {
  const length = `Content-Length: ${smuggled.length}`
  const json = 'Content-Type: application/json'
  const chunks = 'Transfer-Encoding: chunked'
  const upgrade = [
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
  ]
  const cases = [
    ['404', ['POST /nothing', length], smuggled],
    ['404 with chunks', ['POST /nothing', chunks], chunked(smuggled)],
    ['405', ['PUT /auth', json, length], smuggled],
    ['405 with chunks', ['DELETE /ws_ticket', chunks], chunked(smuggled)],
    ['400', ['POST /auth', json, length], smuggled],
    ['415', ['POST /auth', 'Content-Type: text/plain', length], smuggled],
    ['415 with chunks', ['POST /auth', 'Content-Type: text/plain', chunks], chunked(smuggled)],
    ['413 by its length', ['POST /auth', json, `Content-Length: ${10_000_000}`], smuggled.repeat(100)],
    [
      '413 by its size',
      ['POST /auth', json, `Content-Length: ${smuggled.length * 1000}`],
      smuggled.repeat(1000),
    ],
    ['401 at the mint', ['POST /ws_ticket', json, length], smuggled],
    ['401 at the mint by GET', ['GET /ws_ticket', length], smuggled],
    ['a refused upgrade with a body', ['GET /channel/?ticket=AAAA', ...upgrade, length], smuggled],
    ['426 with a body', ['GET /channel/', length], smuggled],
    ['a refused preflight with a body', ['OPTIONS /nothing', length], smuggled],
  ] as const
  for (const [name, lines, body] of cases) await nothingPasses(t, name, request11(lines, body))
})

t.test(
  'a HEAD has a head for its answer and nothing else, so that no body is taken for the next',
  async t => {
    for (const path of ['/healthz', '/readyz', '/auth', '/ws_ticket', '/channel/', '/nothing']) {
      const connection = await RawConnection.connect(server.url)
      connection.write(requestText('HEAD', path) + smuggled)
      await serverHasRead(server.url)
      const [head = '', ...next] = connection.rest.split('\r\n\r\n')
      t.match(head, /^HTTP\/1\.1 \d{3} /, path)
      t.match(
        next.join('\r\n\r\n'),
        /^(HTTP\/1\.1 200 |$)/,
        `${path}: what follows is the next answer, or nothing`,
      )
      connection.destroy()
    }
  },
)

t.test('an opened socket takes what follows as frames, not as requests', async t => {
  const ticket = await mint(server.url)
  const connection = await RawConnection.connect(server.url)
  connection.write(upgradeText(`/channel/?ticket=${ticket}`) + smuggled)
  t.equal((await connection.response())?.status, 101)
  await serverHasRead(server.url)
  t.strictSame(connection.arrived(), [], 'the smuggled request has no answer')
  connection.destroy()
})

t.test('a socket opens once though its upgrade is pipelined after others', async t => {
  const ticket = await mint(server.url)
  const connection = await RawConnection.connect(server.url)
  connection.write(upgradeText('/channel/?ticket=AAAA') + upgradeText(`/channel/?ticket=${ticket}`))
  await serverHasRead(server.url)
  const statuses = connection.arrived().map(({ status }) => status)
  t.match(JSON.stringify(statuses), /^\[401(,101)?\]$/)
  connection.destroy()
})

t.test('an honest body in chunks logs in, and the connection is kept', async t => {
  const connection = await RawConnection.connect(server.url)
  for (const method of ['POST', 'GET']) {
    connection.write(
      request11(
        [`${method} /auth`, 'Content-Type: application/json', 'Transfer-Encoding: chunked'],
        chunked(credentials),
      ),
    )
    t.equal((await connection.response())?.status, 200, method)
  }
  connection.write(requestText('GET', '/ws_ticket', { authorization: `Bearer ${tokenFor('maggie')}` }))
  t.equal((await connection.response())?.status, 200, 'and a ticket after it')
  connection.destroy()
})

t.test('the server is as well as before', async t => {
  t.equal((await request(server.url, '/healthz')).status, 200)
  t.notMatch(server.output(), /internal_error|uncaught|"level":"(error|fatal)"/i)
})
