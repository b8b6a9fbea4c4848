import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { request, requestUpgrade } from '../support/http.js'
import { RawConnection, upgradeText } from '../support/raw.js'
import { jwtSecret, temporaryDirectory } from '../support/server.js'
import { mint, mintWith, tokenFor } from '../support/tokens.js'
import { openThrough, startTunnels } from '../support/tunnel.js'
import { startUpstream } from '../support/upstream.js'

const upstream = await startUpstream(t)
const base = `ws://127.0.0.1:${upstream.port}`
const gate = await startTunnels(t, `/a/*=${base}, /fixed/*=${base}/app;channel=app`)

/** A close frame as a client sends it, masked with zeros. */
const closing = (...payload: number[]): Buffer =>
  Buffer.from([0x88, 0x80 | payload.length, 0, 0, 0, 0, ...payload])

t.test('invalid close frames do not reach the upstream server, and the gate keeps running', async t => {
  const codes = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535]
  const frames = [
    ...codes.map(code => [`code ${code}`, closing(code >> 8, code & 255)] as const),
    ['half a code', closing(3)],
    ['a reason that is not UTF-8', closing(3, 0xe8, 0xc3, 0x28)],
    ['a reason of 123 bytes', closing(3, 0xe8, ...Buffer.alloc(123, 0x61))],
    ['a reason with control characters', closing(3, 0xe8, 13, 10, 0, 10)],
    ['no code', closing()],
  ] as const
  for (const [name, bytes] of frames) {
    const connection = await RawConnection.connect(gate.url)
    connection.write(upgradeText(`/a/b?ticket=${await mint(gate.url)}`))
    const { closed } = await upstream.next()
    connection.write(bytes)
    const { code } = await closed
    t.ok([1000, 1005, 1006].includes(code), `${name}: the upstream server sees ${code}`)
    await connection.closed
  }
  t.equal((await request(gate.url, '/healthz')).status, 200)
})

t.test('paths that servers could read differently are refused', async t => {
  const ticket = await mint(gate.url)
  for (const rest of [
    '..;/x',
    '..;x=1/x',
    '.;/x',
    'x/..;/y',
    '%2e%2e;/x',
    '%2e/x',
    'x%2f..%2fy',
    'x%5cy',
    'x\\..\\y',
    'x//y',
    '/x',
    '//evil.example/x',
    'x/../../y',
    'x%00',
    'x%0d%0aX-Ticket-Subject:%20root',
    'x%23y',
    'x#y',
    'x%3fticket=y',
    'é',
    '%c3%a9',
    '%E2%80%AE',
    'http://evil.example/',
  ]) {
    const reply = await requestUpgrade(gate.url, `/fixed/${rest}?ticket=${ticket}`).catch(() => undefined)
    t.ok(reply === undefined || reply.status === 404 || reply.status === 400, `${rest}: ${reply?.status}`)
  }
  t.equal(upstream.size, 0, 'none reaches the upstream server')
  const { socket } = await openThrough(gate, '/fixed/', { ticket })
  t.equal((await upstream.next()).request.url, '/app/', 'the ticket is still good')
  socket.terminate()
})

t.test('a user or a claim stays one header field, whatever it contains', async t => {
  const file = join(temporaryDirectory(t), 'issuers.yaml')
  writeFileSync(`${file}.secret`, jwtSecret)
  writeFileSync(
    file,
    `- {issuer: shop, secretFile: ${file}.secret, audiences: [gate], ticketClaims: [note, list]}\n`,
  )
  const issuing = await startTunnels(t, `/a/*=${base}`, { TICKETGATE_ISSUERS_FILE: file })
  const note = 'a\r\nX-Ticket-Subject: root\r\n\0\t\u2028é,%'
  for (const user of ['Zoë', '日本語', '🙂 a,b%', 'x: y', '"\\', ' a ']) {
    const claims = { iss: 'shop', aud: 'gate', note, list: [note, 'b'], channels: { subscribe: ['*'] } }
    const { ticket } = await mintWith(issuing.url, tokenFor(user, claims))
    const { socket } = await openThrough(issuing, '/a/b', { ticket })
    const { headers, rawHeaders } = (await upstream.next()).request
    t.equal(decodeURIComponent(String(headers['x-ticket-subject'])), user)
    t.equal(decodeURIComponent(String(headers['x-ticket-claim-note'])), note)
    const list = String(headers['x-ticket-claim-list']).split(',').map(decodeURIComponent)
    t.strictSame(list, [note, 'b'])
    const names = rawHeaders.filter((_, index) => index % 2 === 0).map(name => name.toLowerCase())
    t.equal(new Set(names).size, names.length, 'each field occurs once')
    t.ok(rawHeaders.every(part => /^[ -~]*$/.test(part)))
    socket.terminate()
  }
})

t.test('clients cannot pass on the gate’s own header fields, however spelled', async t => {
  const connection = await RawConnection.connect(gate.url)
  const spellings = ['-', '_', '.'].flatMap(dash =>
    ['x-ticket-subject', 'X-Ticket-Claim-Role', 'X-TICKET-ASSERTION', 'x-forwarded-for', 'Forwarded'].flatMap(
      name => [name.replaceAll('-', dash), name.replace('-', dash)],
    ),
  )
  const smuggled = [...new Set(spellings)].flatMap(name => [`${name}: root`, `${name}: root`])
  const plain = upgradeText(`/a/b?ticket=${await mint(gate.url)}`, { cookie: 'a=1' })
  connection.write(plain.replace(/\r\n\r\n$/, `\r\nCookie: b=2\r\n${smuggled.join('\r\n')}\r\n\r\n`))
  const { headers, rawHeaders } = (await upstream.next()).request
  t.notOk(rawHeaders.includes('root'))
  t.equal(headers.cookie, 'a=1; b=2')
  t.equal(headers['x-ticket-subject'], 'maggie')
  connection.destroy()
})

t.test('pings count towards the message rate', async t => {
  const limited = await startTunnels(t, `/a/*=${base};message-rate=5/60`)
  const { socket, closed } = await openThrough(limited, '/a/b')
  await upstream.next()
  for (let n = 0; n < 50; n++) socket.ping()
  t.match(await closed, { code: 4429, reason: /^retry_after_ms=\d+$/ })
})
