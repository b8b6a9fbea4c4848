import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import {
  type Connection,
  createGate,
  type Gate,
  type GateHandlers,
  type GateOptions,
} from '../../src/index.js'
import { boundedReason } from '../../src/socket/application.js'
import '../support/built.js'
import { jwtSecret, temporaryDirectory } from '../support/fixtures.js'
import { bearer, jsonOf, postJson, request, requestUpgrade } from '../support/http.js'
import { isProblem } from '../support/problem.js'
import { type Client, open, openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, mint, mintWith, nowSeconds, tokenFor } from '../support/tokens.js'

const create = <Data>(t: Test, handlers: GateHandlers<Data> = {}, options: GateOptions = {}) =>
  createGate<Data>({
    port: 0,
    adminPort: 0,
    jwtSecret,
    stateDir: temporaryDirectory(t),
    drainSeconds: 1,
    logLevel: 'fatal',
    console: 'off',
    ...options,
    ...handlers,
  })

/** Starts a gate in this process, with an application's handlers. */
async function start<Data>(t: Test, handlers: GateHandlers<Data>, options: GateOptions = {}) {
  const gate = await create(t, handlers, options)
  const { url, adminUrl } = await gate.listen()
  t.teardown(() => gate.drain())
  const join = async (user = 'maggie', channel = 'lobby', protocols: string[] = []): Promise<Client> =>
    (await openSession(socketUrl(url, gatePath(await mint(url, user), channel)), { protocols })).client
  return { gate, url, adminUrl, join }
}

/** A promise that the test resolves. */
const deferred = <T>() => {
  let resolve: (value: T) => void = () => {}
  const promise = new Promise<T>(settle => {
    resolve = settle
  })
  return { promise, resolve }
}

/** Options of a gate with an issuer whose tokens carry two claims into tickets. */
const withTicketClaims = (t: Test): GateOptions => {
  const directory = temporaryDirectory(t)
  const put = (name: string, text: string): string => {
    writeFileSync(join(directory, name), text)
    return join(directory, name)
  }
  const entry = { issuer: 'shop', secretFile: put('secret', jwtSecret), ticketClaims: ['email', 'org.id'] }
  return {
    issuersFile: put('issuers.json', JSON.stringify([entry])),
    login: 'on',
    defaultSubscribe: ['*'],
    firstMessageSeconds: 30,
  }
}

const shopToken = (email: unknown, id?: unknown): string =>
  tokenFor('maggie', { iss: 'shop', email, org: { id, name: 'A' }, other: 'x' })

t.test('an application gets the ticket’s claims, however the socket is opened', async t => {
  const asked: unknown[] = []
  const connections: Connection[] = []
  const closed = deferred<unknown>()
  const { url } = await start(
    t,
    {
      authorize({ claims }) {
        asked.push({ ...claims })
        return claims.email === 'banned@a.test' ? false : undefined
      },
      onConnect: connection => void connections.push(connection),
      onClose: connection => closed.resolve({ ...connection.claims }),
    },
    withTicketClaims(t),
  )
  const path = async (...claims: Parameters<typeof shopToken>): Promise<string> =>
    gatePath((await mintWith(url, shopToken(...claims))).ticket, 'lobby')
  const { client } = await openSession(socketUrl(url, await path('m@a.test', 7)))
  t.strictSame(asked.splice(0), [{ email: 'm@a.test', id: 7 }])
  t.strictSame({ ...connections[0]?.claims }, { email: 'm@a.test', id: 7 })
  t.equal(connections[0]?.claims.constructor, undefined, 'claims have no prototype')

  const { ticket } = await mintWith(url, shopToken('new@a.test'))
  t.match(await client.ask({ type: 'renew', ticket, id: 1 }), { type: 'renewed' })
  t.strictSame(
    { ...connections[0]?.claims },
    { email: 'new@a.test' },
    'a renewal brings the claims of its ticket',
  )
  isProblem(t, await requestUpgrade(url, await path('banned@a.test')), '403 channel_forbidden')
  t.match(
    await client.ask({ type: 'renew', ticket: (await mintWith(url, shopToken('banned@a.test'))).ticket }),
    {
      code: 'channel_forbidden',
    },
  )
  t.strictSame({ ...connections[0]?.claims }, { email: 'new@a.test' }, 'a refused renewal changes nothing')
  await client.close()
  t.strictSame(await closed.promise, { email: 'new@a.test' })

  asked.length = 0
  await openSession(socketUrl(url, gatePath(await mint(url), 'lobby')))
  const late = await open(socketUrl(url, '/channel/lobby'))
  await late.ask({ type: 'auth', payload: shopToken('m@a.test') })
  t.strictSame(
    asked,
    [{}, { email: 'm@a.test' }],
    'the gate’s own login has no claims; the first message brings them',
  )
  t.strictSame(
    connections.slice(1).map(({ claims }) => ({ ...claims })),
    asked,
  )
})

t.test('claims that do not fit into a ticket are refused', async t => {
  const { url } = await start(t, {}, withTicketClaims(t))
  const large = await request(url, '/ws_ticket', { headers: bearer(shopToken('e'.repeat(300))) })
  isProblem(t, large, '401 token_invalid')
  t.match(large.text, /ticket_claims_too_large.*more than 256 bytes/)
  const whole = tokenFor('u'.repeat(250), { iss: 'shop', sid: 's'.repeat(128), email: 'e'.repeat(200) })
  const bound = await request(url, `/ws_ticket?channel=${'c'.repeat(128)}`, { headers: bearer(whole) })
  isProblem(t, bound, '403 channel_forbidden', 'each claim fits, but not all together')
  t.match(bound.text, /the claims of the token do not fit into a ticket/)
  const nested = await request(url, '/ws_ticket', { headers: bearer(shopToken({ address: 'm@a.test' })) })
  t.match(nested.text, /claim_type:email/)
})

t.test('an application can attach data to its connections', async t => {
  interface Player {
    readonly name: string
    moves: number
  }
  const closed = deferred<unknown>()
  const seen: Connection<Player>[] = []
  const { join } = await start<Player>(t, {
    authorize: ({ user, channel }) => ({ name: `${user}@${channel}`, moves: 0 }),
    onConnect(connection) {
      seen.push(connection)
      connection.send({ hello: connection.data.name })
    },
    async onMessage(connection, { channel, data }) {
      await null
      connection.data.moves++
      connection.send({ moves: connection.data.moves, channel, data })
    },
    onClose: (connection, code, reason) =>
      closed.resolve([connection.user, connection.isOpen, code, reason, connection.data.moves]),
  })
  for (const protocols of [['ticketgate.v1.json'], ['ticketgate.v1.msgpack']]) {
    const client = await join('maggie', 'lobby', protocols)
    t.strictSame(await client.next(), { type: 'message', channel: 'lobby', data: { hello: 'maggie@lobby' } })
    const other = await join('theo', 'lobby', protocols)
    await other.next()
    client.send({ type: 'publish', data: [1, 'é'], id: 7 })
    t.strictSame(await client.next(), {
      type: 'message',
      channel: 'lobby',
      data: { moves: 1, channel: 'lobby', data: [1, 'é'] },
    })
    t.strictSame(await client.next(), { type: 'ok', id: 7 }, 'ok is sent when the handler is done')
    t.ok(await other.hearsNothing(), 'nothing is published automatically')
    seen.at(-1)?.publish('lobby', 'by the application')
    t.strictSame(await client.next(), {
      type: 'message',
      channel: 'lobby',
      data: 'by the application',
      user: 'theo',
    })
    t.ok(await other.hearsNothing(), 'the publisher does not receive it')
    client.socket.close(4000, 'enough')
    t.strictSame(await closed.promise, ['maggie', false, 4000, 'enough', 1])
    await other.close()
  }
  const [gone] = seen
  gone?.send('to nobody')
  gone?.publish('lobby', 'to nobody')
  gone?.close()
  t.equal(gone?.session.length, 16)
})

t.test('authorize decides before the ticket is spent', async t => {
  let answer = (): unknown => false
  const asked: unknown[] = []
  const { url, join } = await start(t, {
    authorize(request) {
      asked.push(request)
      return answer() as undefined
    },
  })
  const expires = nowSeconds() + 300
  const { ticket } = await mintWith(url, tokenFor('maggie', { sid: 's', exp: expires }))
  const path = gatePath(ticket, 'lobby')
  const origin = 'http://localhost:1'
  isProblem(t, await requestUpgrade(url, path, { headers: { origin } }), '403 channel_forbidden')
  t.same(asked, [{ user: 'maggie', session: 's', channel: 'lobby', origin, expires, claims: {} }])
  answer = () => Promise.resolve(true)
  isProblem(t, await requestUpgrade(url, path), '500 internal_error', 'a promise is refused')
  answer = () => Promise.reject(new Error('unhandled'))
  isProblem(t, await requestUpgrade(url, path), '500 internal_error', 'a rejected promise is refused')
  answer = () => {
    throw new Error('thrown')
  }
  isProblem(t, await requestUpgrade(url, path), '500 internal_error', 'an error is refused')
  answer = () => undefined
  t.equal((await requestUpgrade(url, path)).status, 101, 'the ticket is still not spent')

  const client = await join()
  answer = () => false
  t.match(await client.ask({ type: 'renew', ticket: await mint(url) }), { code: 'channel_forbidden' })
  answer = () => Promise.resolve(1)
  client.send({ type: 'renew', ticket: await mint(url) })
  t.strictSame(
    await client.closed,
    { code: 1011, reason: 'internal_error' },
    'an error ends the socket, not the server',
  )
  answer = () => undefined
  await (await join()).close()
})

t.test('a ticket that authorize revokes opens no socket, and is not spent', async t => {
  const ended: Promise<number>[] = []
  const { gate, url, join } = await start(t, {
    authorize({ user }) {
      if (ended.length === 0) ended.push(gate.disconnect({ user }))
      return undefined
    },
  })
  const ticket = await mint(url)
  isProblem(t, await requestUpgrade(url, gatePath(ticket)), '401 token_revoked')
  t.strictSame(await Promise.all(ended), [0])
  isProblem(t, await requestUpgrade(url, gatePath(ticket)), '401 token_revoked', 'not ticket_used')
  await (await join('theo')).close()
})

t.test('authorize may close the socket that is being renewed', async t => {
  const cases = [
    ['its connection', (connection: Connection) => connection.close(4000, 'elsewhere'), 4000, 'live'],
    ['its user', (_: Connection, gate: Gate) => gate.disconnect({ user: 'maggie' }), 4403, 'invalid'],
  ] as const
  for (const [name, close, code, state] of cases) {
    const connections = new Map<string, Connection>()
    const closing: unknown[] = []
    const { gate, url, adminUrl, join } = await start(t, {
      authorize({ user }) {
        const former = connections.get(user)
        if (former !== undefined) closing.push(close(former, gate))
        return undefined
      },
      onConnect: connection => void connections.set(connection.user, connection),
    })
    const ask = async (path: string, body: object, at = adminUrl) => jsonOf(await postJson(at, path, body))
    const count = async () => jsonOf(await request(adminUrl, '/connections'))
    const [maggie, theo] = [await join('maggie'), await join('theo', 'news')]
    const ticket = await mint(url)
    maggie.send({ type: 'renew', ticket })
    t.equal((await maggie.closed).code, code, name)
    await Promise.all(closing)
    t.match(await ask('/ws_ticket/status', { ticket }, url), { state }, `${name}: the ticket is not spent`)
    t.same(await count(), { connections: 1 }, `${name}: it is not counted any more`)
    t.same(await ask('/disconnect', { channel: 'news' }), { disconnected: 1, unsubscribed: 0 }, name)
    t.equal((await theo.closed).code, 4403, name)
    t.same(await count(), { connections: 0 }, `${name}: a drain has nothing to wait for`)
  }
})

t.test('an error in a handler closes only its socket', async t => {
  const cases: readonly (readonly [name: string, handlers: GateHandlers<undefined>])[] = [
    ['onConnect throws', { onConnect: ({ user }) => fail(user) }],
    ['onConnect rejects', { onConnect: async ({ user }) => fail(user) }],
    ['onMessage throws', { onMessage: ({ user }) => fail(user) }],
    ['onMessage rejects', { onMessage: async ({ user }) => fail(user) }],
    [
      'it sends data that JSON cannot hold',
      { onMessage: c => (c.user === 'bad' ? c.send(undefined) : undefined) },
    ],
    [
      'it publishes to an invalid channel',
      { onMessage: c => (c.user === 'bad' ? c.publish('a b', 1) : undefined) },
    ],
    ['it closes with a reserved code', { onMessage: c => (c.user === 'bad' ? c.close(1002) : undefined) }],
  ]
  function fail(user: string): void {
    if (user === 'bad') throw new Error('thrown by the application')
  }
  for (const [name, handlers] of cases) {
    const { url, join } = await start(t, handlers)
    const good = await join('good')
    const bad = await open(socketUrl(url, gatePath(await mint(url, 'bad'))))
    bad.send({ type: 'publish', data: 1 })
    t.strictSame(await bad.closed, { code: 1011, reason: 'internal_error' }, name)
    t.match(
      await good.ask({ type: 'publish', data: 1, id: 1 }),
      { type: 'ok' },
      `${name}: other sockets stay open`,
    )
    await good.close()
  }
  const late = deferred<void>()
  const { join } = await start(t, {
    async onMessage() {
      await late.promise
      throw new Error('thrown after the close')
    },
    onClose() {
      throw new Error('thrown by onClose')
    },
  })
  const client = await join()
  client.send({ type: 'publish', data: 1, id: 1 })
  await client.close()
  late.resolve()
  await (await join()).close()
})

t.test('an application can close sockets, and publish and disconnect as the admin API does', async t => {
  const { gate, join } = await start(t, {
    onMessage: (connection, { data }) => connection.close(4123, String(data)),
  })
  const [one, two] = [await join('one'), await join('two')]
  t.equal(await gate.publish('lobby', { now: true }), 2)
  for (const client of [one, two])
    t.strictSame(await client.next(), { type: 'message', channel: 'lobby', data: { now: true } })
  one.send({ type: 'publish', data: '€'.repeat(100) })
  t.strictSame(await one.closed, { code: 4123, reason: '€'.repeat(41) }, 'a reason is cut to 123 bytes')
  t.equal(await gate.disconnect({ user: 'two' }), 1)
  t.equal((await two.closed).code, 4403)
  await t.rejects(gate.publish('a b', 1), TypeError)
  await t.rejects(gate.publish('a', undefined), TypeError)
  await t.rejects(gate.disconnect({ user: '' }), TypeError)
  await t.rejects(gate.disconnect({ session: 'a b' }), TypeError)
})

t.test('an undefined member counts as absent', async t => {
  const stateDir = temporaryDirectory(t)
  const { gate, join } = await start(t, {}, { stateDir })
  const client = await join()
  // As an application in JavaScript might write it.
  const members = { user: 'maggie', channel: undefined, socket: undefined, reason: undefined }
  t.equal(await gate.disconnect(members as never), 1)
  t.strictSame(await client.closed, { code: 4403, reason: 'revoked' })
  await t.rejects(gate.disconnect({ all: undefined } as never), TypeError)
  await gate.close()
  await (await create(t, {}, { stateDir })).close()
})

t.test('reasons are truncated between characters', async t => {
  for (const [reason, expected] of [
    ['', ''],
    ['a'.repeat(123), 'a'.repeat(123)],
    ['a'.repeat(124), 'a'.repeat(123)],
    [`${'a'.repeat(122)}é`, 'a'.repeat(122)],
    [`${'a'.repeat(121)}é`, `${'a'.repeat(121)}é`],
    [`${'a'.repeat(120)}😀`, 'a'.repeat(120)],
    ['😀'.repeat(31), '😀'.repeat(30)],
  ] as const)
    t.equal(boundedReason(reason), expected)
})

t.test('invalid options and handlers throw', async t => {
  await t.rejects(createGate({ onMessage: 5 as never }), { name: 'TypeError', message: /onMessage/ })
  await t.rejects(
    createGate({ onMessage() {}, threads: 2, port: 0, adminPort: 0, stateDir: temporaryDirectory(t) }),
    { name: 'TypeError', message: /threads/ },
  )
  for (const [misspelt, right] of [
    ['onMesage', 'onMessage'],
    ['onclose', 'onClose'],
    ['authorise', 'authorize'],
    ['onconnection', 'onConnect'],
    ['jwtsecret', 'jwtSecret'],
  ] as const)
    await t.rejects(
      createGate({ [misspelt]() {} }),
      { code: 'config_invalid', message: `${misspelt}: unknown option: write ${right} if` },
      misspelt,
    )
})

t.test('an async authorize neither compiles nor creates a gate', async t => {
  const handlers = {
    async authorize() {
      await null
      return { name: 'a promise of data' }
    },
  }
  // @ts-expect-error: there is nothing that may be returned
  const refused: GateHandlers<Promise<unknown>> = handlers
  await t.rejects(createGate(refused), { name: 'TypeError', message: /^authorize .* onConnect/ })
  // @ts-expect-error: the same where the type of the data is inferred
  await t.rejects(createGate(handlers), TypeError)
})

t.test('with first-message auth, onConnect is called once the user is known', async t => {
  const users: string[] = []
  const { url } = await start(
    t,
    {
      authorize: ({ user }) => (user === 'bad' ? false : undefined),
      onConnect: ({ user }) => void users.push(user),
      onClose: ({ user }) => void users.push(`${user} left`),
    },
    { firstMessageSeconds: 30 },
  )
  const [silent, bad, good] = [
    await open(socketUrl(url, '/channel/x')),
    await open(socketUrl(url, '/channel/x')),
    await open(socketUrl(url, '/channel/x')),
  ]
  bad.send({ type: 'auth', payload: tokenFor('bad') })
  t.strictSame(await bad.closed, { code: 4411, reason: 'channel_forbidden' })
  t.match(await good.ask({ type: 'auth', payload: tokenFor('good') }), { type: 'welcome' })
  await silent.close()
  await good.close()
  const last = await open(socketUrl(url, '/channel/x'))
  await last.ask({ type: 'auth', payload: tokenFor('last') })
  t.strictSame(users, ['good', 'good left', 'last'])
  await last.close()
})

t.test('with first-message auth, a token that authorize revokes authenticates nobody', async t => {
  const ended: Promise<number>[] = []
  const { gate, url } = await start(
    t,
    {
      authorize({ user }) {
        ended.push(gate.disconnect({ user }))
        return undefined
      },
    },
    { firstMessageSeconds: 30 },
  )
  const client = await open(socketUrl(url, '/channel/x'))
  client.send({ type: 'auth', payload: tokenFor('maggie') })
  t.strictSame(await client.closed, { code: 4401, reason: 'token_revoked' })
  t.strictSame(await Promise.all(ended), [0])
})

t.test('an application can close one connection when another ends', async t => {
  const connections: Connection<unknown>[] = []
  const { gate, url, join } = await start(
    t,
    {
      onConnect: connection => void connections.push(connection),
      // Closes only the most recent one that is still open, so that each end closes one more.
      onClose: () => connections.findLast(({ isOpen }) => isOpen)?.close(4000, 'chain'),
    },
    // More than enough: handlers are not called for sockets still open at the deadline.
    { drainSeconds: 10 },
  )
  const expiring = async (exp: number): Promise<Client> => {
    const { ticket } = await mintWith(url, tokenFor('ann', { exp }))
    return (await openSession(socketUrl(url, gatePath(ticket)))).client
  }
  const codes = async (clients: readonly Client[]): Promise<Set<number>> =>
    new Set((await Promise.all(clients.map(({ closed }) => closed))).map(({ code }) => code))
  const anyEnd = (code: number): Set<number> => new Set([code, 4000])

  const revoked = [await join(), await join(), await join(), await join()]
  t.equal(await gate.disconnect({ user: 'maggie' }), 4)
  t.strictSame(await codes(revoked), anyEnd(4403), 'all are revoked')
  const exp = nowSeconds() + 10
  const expired = await Promise.all([expiring(exp), expiring(exp), expiring(exp), expiring(exp)])
  t.strictSame(await codes(expired), anyEnd(4401), 'all expire')
  const drained = await Promise.all(Array.from({ length: 40 }, () => join('theo')))
  const draining = gate.drain()
  t.strictSame(await codes(drained), anyEnd(1012), 'all are drained')
  await draining
})

t.test('a gate can be drained more than once, even if it never listened', async t => {
  const { gate, url } = await start(t, {}, { drainSeconds: 10 })
  const { client } = await openSession(socketUrl(url, gatePath(await mint(url))))
  await Promise.all([gate.drain(), gate.drain()])
  t.equal((await client.closed).code, 1012)
  const taken = await start(t, {})
  const late = await createGate({
    port: 0,
    adminPort: Number(new URL(taken.adminUrl).port),
    jwtSecret,
    stateDir: temporaryDirectory(t),
    logLevel: 'fatal',
    console: 'off',
  })
  await t.rejects(late.listen(), { code: 'port_unavailable' })
  await late.drain()
})

t.test('an error in a handler is logged, without tickets and tokens', async t => {
  const script = `
    import { createGate } from 'ticketgate'
    const gate = await createGate({ onMessage() { throw new Error('thrown by the application') } })
    console.log(JSON.stringify(await gate.listen()))
    process.once('SIGTERM', () => gate.drain())`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    cwd: fileURLToPath(new URL('../../', import.meta.url)),
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      PATH: process.env.PATH,
      TICKETGATE_PORT: '0',
      TICKETGATE_ADMIN_PORT: '0',
      TICKETGATE_LOG_LEVEL: 'trace',
      TICKETGATE_JWT_SECRET: jwtSecret,
      TICKETGATE_STATE_DIR: temporaryDirectory(t),
    },
  })
  t.teardown(() => child.kill('SIGKILL'))
  const lines: string[] = []
  const lineWith = deferred<string>()
  const listening = deferred<string>()
  createInterface({ input: child.stdout }).on('line', line => {
    lines.push(line)
    const { url } = JSON.parse(line) as { url?: string }
    if (url !== undefined) listening.resolve(url)
    if (line.includes('a handler of the application failed')) lineWith.resolve(line)
  })
  const url = await listening.promise
  const token = tokenFor('maggie')
  const { ticket } = await mintWith(url, token)
  const { client } = await openSession(socketUrl(url, gatePath(ticket)))
  client.send({ type: 'publish', data: 1 })
  t.equal((await client.closed).code, 1011)
  t.match(JSON.parse(await lineWith.promise), {
    level: 'error',
    handler: 'onMessage',
    user: 'maggie',
    err: { message: 'thrown by the application' },
  })
  t.notOk(lines.some(line => line.includes(ticket) || line.includes(token)))
})

t.test('a second drain waits for the first', async t => {
  const ends: string[] = []
  const { gate, join } = await start(t, { onClose: () => void ends.push('closed') })
  await join()
  const first = gate.drain()
  await gate.drain()
  t.strictSame(ends, ['closed'])
  await first
})

t.test('a gate closed while it starts to listen does not listen', async t => {
  for (const end of ['close', 'drain'] as const) {
    const gate = await create(t)
    const [listening] = await Promise.all([gate.listen(), gate[end]()])
    for (const url of [listening.url, listening.adminUrl])
      await t.rejects(request(url, '/healthz'), `${end}: ${url}`)
  }
})
