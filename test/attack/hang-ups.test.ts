import { randomBytes } from 'node:crypto'
import t, { type Test } from 'tap'
import { jsonOf, postJson, request, requestUpgrade } from '../support/http.js'
import { RawConnection, requestText, serverHasRead, upgradeText } from '../support/raw.js'
import { adminKey, startServer } from '../support/server.js'
import { openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, mint, tokenFor } from '../support/tokens.js'

/** Enables everything that needs the client's address: a connection that was reset has none. */
const server = await startServer(t, {
  users: { maggie: 'secret' },
  env: {
    TICKETGATE_LOGIN_RATE: '100000/1',
    TICKETGATE_MAX_CONNECTIONS_PER_ADDRESS: '10000',
    TICKETGATE_TRUSTED_PROXIES: '10.0.0.0/8',
  },
})
const credentials = '{"user":"maggie","pwd":"secret"}'
const json = { 'content-type': 'application/json' }

const connections = (count: number): Promise<RawConnection[]> =>
  Promise.all(Array.from({ length: count }, () => RawConnection.connect(server.url)))

/** Incomplete requests, sent now: by the end of this file the server should have closed them. */
const half = [
  ['half a request line', 'GET /hea'],
  ['half a header', 'GET /healthz HTTP/1.1\r\nHost: gate.t'],
  ['half a body', requestText('POST', '/auth', { ...json, 'content-length': '100' }, '{"user":')],
  ['half a chunk', requestText('POST', '/auth', { ...json, 'transfer-encoding': 'chunked' }, '40\r\n{"us')],
  ['half an upgrade', upgradeText('/channel/?ticket=AAAA').slice(0, -3)],
  ['nothing at all', ''],
] as const
const halfOpen = await Promise.all(
  half.map(async ([name, text]) => {
    const connection = await RawConnection.connect(server.url)
    connection.write(text)
    return [name, connection] as const
  }),
)

const serves = async (t: Test): Promise<void> => {
  t.equal((await request(server.url, '/healthz')).status, 200, 'the server is up')
  t.equal((await postJson(server.url, '/auth', credentials)).status, 200, 'logins work')
  t.equal((await requestUpgrade(server.url, gatePath(await mint(server.url)))).status, 101, 'sockets open')
}

/** Runs an attack, then checks that the server still works. */
const attack = (name: string, run: (t: Test) => Promise<void>) =>
  t.test(name, { timeout: 60_000 }, async t => {
    await run(t)
    await serves(t)
  })

const hangUps = {
  'by FIN': (connection: RawConnection) => void connection.socket.end(),
  'by RST': (connection: RawConnection) => connection.reset(),
}

for (const [how, hangUp] of Object.entries(hangUps)) {
  attack(`hanging up in the middle of a request, ${how}`, async () => {
    const texts = [
      ['in the request line', 'POST /au'],
      ['in the headers', 'POST /auth HTTP/1.1\r\nHost: ga'],
      ['before the body', requestText('POST', '/auth', { ...json, 'content-length': '32' })],
      ['in the body', requestText('POST', '/auth', { ...json, 'content-length': '32' }, '{"user":"mag')],
      [
        'in a chunk',
        requestText('POST', '/auth', { ...json, 'transfer-encoding': 'chunked' }, '20\r\n{"user"'),
      ],
      [
        'in the body of a ticket request',
        requestText(
          'POST',
          '/ws_ticket',
          { ...json, authorization: `Bearer ${tokenFor('maggie')}`, 'content-length': '32' },
          '{"chan',
        ),
      ],
      ['in the upgrade', upgradeText('/channel/?ticket=AAAA').slice(0, -2)],
    ] as const
    for (const [, text] of texts)
      for (const connection of await connections(100)) {
        connection.write(text)
        hangUp(connection)
      }
    await serverHasRead(server.url)
  })

  attack(`hanging up while the password is hashed, ${how}`, async () => {
    const login = requestText(
      'POST',
      '/auth',
      { ...json, 'content-length': String(credentials.length) },
      credentials,
    )
    const open = await connections(20)
    for (const connection of open) connection.write(login)
    await serverHasRead(server.url)
    for (const connection of open) hangUp(connection)
    for (const connection of await connections(10)) {
      connection.write(login)
      hangUp(connection)
    }
    // A login that queues after those is answered after them, or refused because the queue is full.
    for (let status = 503; status === 503; )
      status = (await postJson(server.url, '/auth', credentials)).status
  })

  attack(`hanging up in the middle of an upgrade, ${how}`, async t => {
    for (let round = 0; round < 20; round++) {
      const tickets = await Promise.all(Array.from({ length: 20 }, () => mint(server.url)))
      const open = await connections(tickets.length)
      open.forEach((connection, index) => {
        connection.write(upgradeText(gatePath(tickets[index] ?? '')))
        hangUp(connection)
      })
      await serverHasRead(server.url)
      const outcomes = await Promise.all(
        tickets.map(async ticket => (await requestUpgrade(server.url, gatePath(ticket))).status),
      )
      t.ok(
        outcomes.every(status => status === 401 || status === 101),
        'each ticket is either spent or still valid',
      )
    }
  })
}

attack('resetting at the moment the request is read, again and again', async () => {
  // The request arrives, but the address is already gone: the window is microseconds wide, so it
  // takes many attempts to hit it.
  const hit = async (text: string): Promise<void> => {
    const connection = await RawConnection.connect(server.url)
    connection.write(text)
    connection.reset()
    await connection.closed
  }
  const login = requestText('POST', '/auth', { ...json, 'content-length': '32' })
  for (let n = 0; n < 3000; n++) await hit(login)
  for (let n = 0; n < 1500; n++) await hit(upgradeText(gatePath(await mint(server.url))))
})

attack('garbage instead of a request', async () => {
  const clientHello = Buffer.from('16030100c8010000c40303', 'hex')
  const garbage = [
    clientHello,
    Buffer.alloc(20_000),
    Buffer.alloc(20_000, 0xff),
    Buffer.from('\r\n'.repeat(10_000)),
    Buffer.from('\x05\x01\x00PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1'),
    ...Array.from({ length: 50 }, () => randomBytes(1 + Math.floor(Math.random() * 8192))),
    ...Array.from({ length: 20 }, () =>
      Buffer.concat([
        Buffer.from('GET /channel/?ticket='),
        randomBytes(512),
        Buffer.from(' HTTP/1.1\r\n\r\n'),
      ]),
    ),
    ...Array.from({ length: 20 }, () =>
      Buffer.concat([
        Buffer.from('GET /ws_ticket HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer '),
        randomBytes(512),
        Buffer.from('\r\n\r\n'),
      ]),
    ),
  ]
  for (const bytes of garbage) {
    const connection = await RawConnection.connect(server.url)
    connection.write(bytes)
    connection.socket.end()
    await connection.closed
  }
})

attack('garbage in well-formed requests', async t => {
  const bodies = [
    ...Array.from({ length: 20 }, () => randomBytes(200).toString('latin1')),
    '['.repeat(2000),
    '{"user":'.repeat(200),
    '{"user":"maggie","pwd":"\ud800"}',
    '{"user":"maggie","pwd":1e400}',
    '{"__proto__":{"user":"maggie","pwd":"secret"}}',
    '\ufeff{"user":"maggie","pwd":"wrong"}',
  ]
  for (const body of bodies) {
    const reply = await postJson(server.url, '/auth', body)
    t.ok([400, 401, 413].includes(reply.status), `${reply.status}`)
  }
})

attack('garbage instead of frames', async t => {
  const frames = [
    ['an unmasked frame', Buffer.from(`8105${Buffer.from('hello').toString('hex')}`, 'hex')],
    ['a reserved opcode', Buffer.from('83800000000000', 'hex')],
    ['a reserved bit', Buffer.from('f1800000000000', 'hex')],
    ['a continuation without a first frame', Buffer.from('808000000000', 'hex')],
    ['a fragmented ping', Buffer.from('098000000000', 'hex')],
    ['a ping that is too long', Buffer.concat([Buffer.from('89fe007e00000000', 'hex'), Buffer.alloc(126)])],
    ['text that is not UTF-8', Buffer.from('818200000000c328', 'hex')],
    ['a close with half a code', Buffer.from('88810000000003', 'hex')],
    ['a close with a forbidden code', Buffer.from('88820000000003ed', 'hex')],
    ['a length of 2^63', Buffer.from('81ffffffffffffffffff00000000', 'hex')],
    ['random bytes', randomBytes(4096)],
  ] as const
  for (const [name, bytes] of frames) {
    const connection = await RawConnection.connect(server.url)
    connection.write(upgradeText(gatePath(await mint(server.url))))
    t.equal((await connection.response())?.status, 101, name)
    connection.write(bytes)
    connection.socket.end()
    await connection.closed
  }
})

attack('a socket that vanishes without a close frame is no longer counted', async t => {
  const before = await request(server.admin, '/connections', {
    headers: { authorization: `Bearer ${adminKey}` },
  })
  const { client } = await openSession(socketUrl(server.url, gatePath(await mint(server.url))))
  client.socket.terminate()
  await client.closed
  await serverHasRead(server.url)
  const after = await request(server.admin, '/connections', {
    headers: { authorization: `Bearer ${adminKey}` },
  })
  t.strictSame(jsonOf(after), jsonOf(before))
})

attack('many requests on one connection, then silence', async t => {
  const connection = await RawConnection.connect(server.url)
  connection.write(requestText('GET', '/healthz').repeat(500))
  for (let n = 0; n < 500; n++) {
    const response = await connection.response()
    if (response?.status !== 200) t.fail(`answer ${n}: ${response?.status}`)
  }
  connection.reset()
})

attack('sending half a request: the server closes the connection in the end', async t => {
  for (const [name, connection] of halfOpen) {
    await connection.closed
    t.pass(name)
  }
})

t.test('none of the attacks caused an internal error', async t => {
  await server.stop()
  t.notMatch(server.output(), /internal_error|uncaught|unhandled|"level":"(error|fatal)"/i)
})
