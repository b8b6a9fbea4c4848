import t, { type Test } from 'tap'
import { request, requestUpgrade } from '../support/http.js'
import { RawConnection, type RawResponse, requestText, serverHasRead, upgradeText } from '../support/raw.js'
import { adminKey, allowedOrigin, startServer } from '../support/server.js'
import { gatePath, mint, tokenFor } from '../support/tokens.js'

const server = await startServer(t, { users: { maggie: 'secret' } })
const credentials = '{"user":"maggie","pwd":"secret"}'

/** The request that an attacker hides in another one: only this one can get a response 200. */
const smuggled = requestText('GET', '/readyz')
const chunked = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n0\r\n\r\n`

/** Sends bytes on a new connection, and returns all responses once the server has read everything. */
const exchange = async (
  text: string,
  base = server.url,
): Promise<{ answers: RawResponse[]; isOpen: boolean }> => {
  const connection = await RawConnection.connect(base)
  connection.write(Buffer.from(text, 'latin1'))
  await serverHasRead(base)
  const answers = connection.arrived()
  await serverHasRead(base)
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

/** Checks for at most one response, and none to the smuggled request. */
const nothingPasses = async (t: Test, name: string, text: string): Promise<void> => {
  const { answers } = await exchange(text)
  t.ok(
    answers.length <= 1 && answers.every(({ status }) => status >= 400),
    `${name}: ${answers.map(({ status }) => status).join(', ') || 'the connection is closed'}`,
  )
}

t.test('the smuggled request gets a response if it is sent openly', async t => {
  const { answers } = await exchange(smuggled)
  t.strictSame(
    answers.map(({ status }) => status),
    [200],
  )
  const pipelined = await exchange(smuggled + requestText('GET', '/healthz') + smuggled)
  t.strictSame(
    pipelined.answers.map(({ status }) => status),
    [200, 200, 200],
    'pipelined requests are served',
  )
})

const json = 'Content-Type: application/json'

t.test('an ambiguous or invalid Content-Length is refused', async t => {
  const long = String(smuggled.length)
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
    ['an empty length', ['POST /auth', json, 'Content-Length:'], smuggled],
    [
      'an empty length, then another',
      ['POST /auth', json, 'Content-Length:', `Content-Length: ${long}`],
      smuggled,
    ],
    [
      'an empty length, then another, on a GET',
      ['GET /healthz', 'Content-Length:', `Content-Length: ${long}`],
      smuggled,
    ],
    [
      'an empty length, then another, on an unknown route',
      ['GET /nothing', 'Content-Length:', `Content-Length: ${long}`],
      smuggled,
    ],
    [
      'an empty length, then another, on a preflight',
      ['OPTIONS /auth', 'Content-Length:', `Content-Length: ${long}`],
      smuggled,
    ],
    ['two lengths in a list', ['POST /auth', json, `Content-Length: 0, ${long}`], smuggled],
    ['a space before the colon', ['POST /auth', json, `Content-Length : ${long}`], smuggled],
    ['a negative length', ['POST /auth', json, 'Content-Length: -1'], smuggled],
    ['a signed length', ['POST /auth', json, 'Content-Length: +0'], smuggled],
    ['a hexadecimal length', ['POST /auth', json, 'Content-Length: 0x0'], smuggled],
    ['a length of words', ['POST /auth', json, 'Content-Length: none'], smuggled],
    ['a length beyond 64 bits', ['POST /auth', json, 'Content-Length: 18446744073709551616'], smuggled],
  ] as const
  for (const [name, lines, body] of cases) await nothingPasses(t, name, request11(lines, body))
})

t.test('an ambiguous or invalid Transfer-Encoding is refused', async t => {
  const long = String(smuggled.length)
  const cases = [
    [
      'an empty coding, then chunks',
      ['POST /auth', json, 'Transfer-Encoding:', 'Transfer-Encoding: chunked'],
      `${long}\r\n${smuggled}\r\n0\r\n\r\n`,
    ],
    [
      'an empty coding and a length',
      ['POST /auth', json, 'Transfer-Encoding:', `Content-Length: ${long}`],
      smuggled,
    ],
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
      'a vertical tab before the coding',
      ['POST /auth', json, 'Transfer-Encoding:\x0bchunked'],
      `0\r\n\r\n${smuggled}`,
    ],
    [
      'a space before the colon of the coding',
      ['POST /auth', json, 'Transfer-Encoding : chunked'],
      `0\r\n\r\n${smuggled}`,
    ],
    [
      'a chunk size beyond 64 bits',
      ['POST /auth', json, 'Transfer-Encoding: chunked'],
      `10000000000000000\r\n${smuggled}`,
    ],
    [
      'a chunk size that is not a number',
      ['POST /auth', json, 'Transfer-Encoding: chunked'],
      `zz\r\n${smuggled}`,
    ],
    ['a negative chunk size', ['POST /auth', json, 'Transfer-Encoding: chunked'], `-1\r\n${smuggled}`],
  ] as const
  for (const [name, lines, body] of cases) await nothingPasses(t, name, request11(lines, body))
})

t.test('malformed or oversized request heads are refused', async t => {
  const cases = [
    ['a folded line', request11(['GET /readyz', 'X-One: a', ' X-Two: b'])],
    ['a line that begins with a tab', request11(['GET /readyz', 'X-One: a', '\tb'])],
    ['a folded first line', 'GET /readyz HTTP/1.1\r\n Host: gate.test\r\n\r\n'],
    ['a line without a colon', request11(['GET /readyz', 'nonsense'])],
    ['a name with a space', request11(['GET /readyz', 'X One: a'])],
    ['a NUL in a value', request11(['GET /readyz', 'X-One: a\0b'])],
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

t.test('requests that follow a malformed one on its connection are not served', async t => {
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

/** Resolves once the head of a response has arrived, or the connection has ended. */
async function headArrives(connection: RawConnection): Promise<void> {
  while (connection.isOpen && !connection.rest.includes('\r\n\r\n')) await connection.hears(60_000)
}

t.test('the response to HEAD has no body that could be mistaken for the next response', async t => {
  for (const path of ['/healthz', '/readyz', '/auth', '/ws_ticket', '/channel/', '/nothing']) {
    const connection = await RawConnection.connect(server.url)
    connection.write(requestText('HEAD', path) + smuggled)
    await headArrives(connection)
    await serverHasRead(server.url)
    const [head = '', ...next] = connection.rest.split('\r\n\r\n')
    t.match(head, /^HTTP\/1\.1 \d{3} /, path)
    t.match(
      next.join('\r\n\r\n'),
      /^(HTTP\/1\.1 200 |$)/,
      `${path}: only the next response follows, if anything`,
    )
    connection.destroy()
  }
})

t.test('an open socket reads the following bytes as frames, not as requests', async t => {
  const ticket = await mint(server.url)
  const connection = await RawConnection.connect(server.url)
  connection.write(upgradeText(`/channel/?ticket=${ticket}`) + smuggled)
  t.equal((await connection.response())?.status, 101)
  await serverHasRead(server.url)
  t.strictSame(connection.arrived(), [], 'the smuggled request gets no response')
  connection.destroy()
})

t.test('an upgrade that is pipelined after another opens at most one socket', async t => {
  const ticket = await mint(server.url)
  const connection = await RawConnection.connect(server.url)
  connection.write(upgradeText('/channel/?ticket=AAAA') + upgradeText(`/channel/?ticket=${ticket}`))
  await headArrives(connection)
  await serverHasRead(server.url)
  const statuses = connection.arrived().map(({ status }) => status)
  t.match(JSON.stringify(statuses), /^\[401(,101)?\]$/)
  connection.destroy()
})

/**
 * The chunk parser of uWS is lax: it accepts a bare LF as a line end, any two bytes after a chunk,
 * `g` to `?` as digits, a missing digit as the last chunk, a chunk extension as more digits, and a
 * trailer as the next request.
 */
t.test('a chunked body is refused and nothing after it is served, however it is written', async t => {
  const bodies = [
    ['well-formed', chunked(credentials)],
    [
      'well-formed, in two chunks',
      `10\r\n${credentials.slice(0, 16)}\r\n12\r\n${credentials.slice(16)}\r\n0\r\n\r\n`,
    ],
    ['empty', chunked('')],
    ['without an end', `5\r\nhello\r\n`],
    ['with an extension', `22;name=value\r\n${credentials}\r\n0\r\n\r\n`],
    ['with an extension on the last chunk', `22\r\n${credentials}\r\n0;name=value\r\n\r\n`],
    ['with a trailer', `22\r\n${credentials}\r\n0\r\nX-Trailer: a\r\n\r\n`],
    ['with a trailer that is a request', `0\r\n${smuggled}\r\n`],
    ['with bare line feeds', `22\n${credentials}\n0\n\n`],
    ['with other bytes in place of a line end', `22\r\n${credentials}xx0\r\n\r\n`],
    ['with digits beyond f', `g\r\n${'x'.repeat(16)}\r\n0\r\n\r\n`],
    ['with no size', `\r\n\r\n`],
    ['with a size after zeros', `00000000000000022\r\n${credentials}\r\n0\r\n\r\n`],
    ['with a size in capitals after 0x', `0X22\r\n${credentials}\r\n0\r\n\r\n`],
  ] as const
  const heads = [
    ['POST /auth', 'Content-Type: application/json'],
    ['GET /ws_ticket'],
    ['POST /nothing'],
    ['OPTIONS /auth'],
    ['GET /channel/'],
    ['DELETE /auth'],
  ] as const
  for (const [name, body] of bodies)
    for (const head of heads) {
      const text = request11([...head, 'Transfer-Encoding: chunked'], body)
      await nothingPasses(t, `${head[0]}, ${name}`, text + smuggled)
    }
  const { answers } = await exchange(
    request11(['POST /auth', 'Content-Type: application/json', 'Transfer-Encoding: chunked'], bodies[0][1]),
  )
  t.strictSame(
    answers.map(({ status, headers, text }) => [status, headers.connection, JSON.parse(text).code]),
    [[411, 'close', 'length_required']],
  )
})

t.test('the admin listener refuses ambiguous bodies too', async t => {
  const key = `Authorization: Bearer ${adminKey}`
  const data = '{"channel":"lobby","data":1}'
  const cases = [
    ['in chunks', ['Transfer-Encoding: chunked'], chunked(data), 411],
    ['two lengths', ['Content-Length: 0', `Content-Length: ${data.length}`], data, 400],
    ['an empty length', ['Content-Length:'], data, 400],
    ['an empty length and another', ['Content-Length:', `Content-Length: ${data.length}`], data, 400],
    ['an empty coding and another', ['Transfer-Encoding:', 'Transfer-Encoding: chunked'], chunked(data), 400],
  ] as const
  for (const [name, fields, body, status] of cases) {
    const head = request11(['POST /publish', 'Content-Type: application/json', key, ...fields])
    const alone = await exchange(head, server.admin)
    t.match(alone.answers, status === 411 ? [] : [{ status }], `${name}: the head alone`)
    const { answers } = await exchange(head + body + request11(['GET /connections', key]), server.admin)
    t.ok(answers.length <= 1 && answers.every(answer => answer.status === status), name)
  }
})

t.test('a repeated field that allows one line only is refused', async t => {
  const ticket = await mint(server.url)
  const upgrade = [
    `GET /channel/?ticket=${ticket}`,
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
  ]
  const cases = [
    ['Origin, the allowed one first', upgrade, `Origin: ${allowedOrigin}`, 'Origin: https://evil.test'],
    ['Origin, the allowed one last', upgrade, 'Origin: https://evil.test', `Origin: ${allowedOrigin}`],
    ['Origin, the first empty', upgrade, 'Origin:', 'Origin: https://evil.test'],
    ['Origin, the same twice', upgrade, `Origin: ${allowedOrigin}`, `Origin: ${allowedOrigin}`],
    ['Upgrade', upgrade.toSpliced(2, 1), 'Upgrade: websocket', 'Upgrade: h2c'],
    ['Sec-WebSocket-Key', upgrade, 'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=='],
    ['Sec-WebSocket-Version', upgrade, 'Sec-WebSocket-Version: 8'],
    [
      'Authorization',
      ['GET /ws_ticket'],
      `Authorization: Bearer ${tokenFor('maggie')}`,
      'Authorization: Basic eDp4',
    ],
    [
      'Content-Type',
      ['POST /auth', `Content-Length: ${credentials.length}`],
      'Content-Type: application/json',
      'Content-Type: text/plain',
    ],
  ] as const
  for (const [name, head, ...fields] of cases) {
    const { answers } = await exchange(
      request11([...head, ...fields], name === 'Content-Type' ? credentials : ''),
    )
    t.match(
      answers.map(({ status, text }) => [status, JSON.parse(text).code]),
      [[400, 'bad_request']],
      name,
    )
  }
  t.equal((await requestUpgrade(server.url, gatePath(ticket))).status, 101, 'none of them spent the ticket')
})

t.test('a list over several lines is read as one list', async t => {
  const ticket = await mint(server.url)
  const { answers } = await exchange(
    request11([
      'GET /channel/',
      'Connection: keep-alive',
      'Connection: Upgrade',
      'Upgrade: websocket',
      'Sec-WebSocket-Version: 13',
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
      'Sec-WebSocket-Protocol: ticketgate.v1.json',
      `Sec-WebSocket-Protocol: ticket.${ticket}`,
    ]),
  )
  t.match(answers, [{ status: 101, headers: { 'sec-websocket-protocol': 'ticketgate.v1.json' } }])
})

/**
 * Lines that the parser of uWS hides or misreports. A proxy that forwards them would allow request
 * smuggling; nginx, HAProxy and Caddy do not forward them (test/proxy/smuggling.test.ts). If one of
 * these fails, uWS has been fixed.
 */
t.test('known limitation: the parser hides or cuts some header lines', async t => {
  const statuses = async (text: string) => (await exchange(text)).answers.map(({ status }) => status)
  const length = `Content-Length: ${smuggled.length}`
  t.strictSame(
    await statuses(request11(['GET /healthz', ':x', length], smuggled)),
    [200, 200],
    'a line without a name hides all lines after it',
  )
  const upgrade = [
    `GET /channel/?ticket=${await mint(server.url)}`,
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
  ]
  t.strictSame(
    await statuses(request11([...upgrade, ':x', 'Origin: https://evil.test'])),
    [101],
    'it hides an Origin too, though no browser sends such a line',
  )
  t.strictSame(
    await statuses(request11(['GET /healthz', `\xa0${length}`], smuggled)),
    [400],
    'bytes from 0x80 are refused in a name',
  )
  t.strictSame(
    await statuses(request11(['GET /healthz', 'Content-Length: 0\xff'])),
    [200],
    'but at either end of a value they are cut off',
  )
})

t.test('the server still works, without internal errors', async t => {
  t.equal((await request(server.url, '/healthz')).status, 200)
  await server.stop()
  t.notMatch(server.output(), /internal_error|uncaught|"level":"(error|fatal)"/i)
})
