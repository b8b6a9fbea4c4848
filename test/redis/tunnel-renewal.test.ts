import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { Packr } from 'msgpackr'
import t from 'tap'
import { disconnect, startBusNode, until } from '../support/bus.js'
import { jwtSecret, temporaryDirectory } from '../support/fixtures.js'
import { bearer, type Json, jsonOf, postJson, request } from '../support/http.js'
import { isProblem } from '../support/problem.js'
import { fileNeeds } from '../support/programs.js'
import { startRedis } from '../support/redis.js'
import { adminKey, type Environment, type TestServer } from '../support/server.js'
import { mintWith, nowSeconds, tokenFor } from '../support/tokens.js'
import { openThrough } from '../support/tunnel.js'
import { startUpstream } from '../support/upstream.js'

fileNeeds(t, 'redis-server')

const upstream = await startUpstream(t)
const redis = await startRedis(t)

const startNode = (env: Environment = {}): Promise<TestServer> =>
  startBusNode(t, redis.port, { TICKETGATE_TUNNELS: `/a/*=ws://127.0.0.1:${upstream.port}`, ...env })

const nodes = [await startNode(), await startNode({ TICKETGATE_THREADS: '2' })] as const

const openFor = async (gate: TestServer, user: string, claims: Json) => {
  const { ticket } = await mintWith(gate.url, tokenFor(user, claims))
  return openThrough(gate, '/a/b', { ticket })
}

const renew = (gate: TestServer, token: string, body: Json = {}) =>
  postJson(gate.url, '/ws_ticket/renew', body, { headers: bearer(token) })

const socketsOf = async ({ admin }: TestServer, user: string) => {
  const { text } = await request(admin, `/connections?user=${user}`, { headers: bearer(adminKey) })
  return JSON.parse(text).connections as { readonly id: string; readonly expires: number }[]
}

const endsOf = async (gate: TestServer, user: string): Promise<number[]> =>
  (await socketsOf(gate, user)).map(({ expires }) => expires)

t.test('a fresh token extends the sockets of its session on every node', async t => {
  const end = nowSeconds() + 100
  const open = await Promise.all(
    [nodes[0], nodes[1], nodes[1], nodes[1]].map(node => openFor(node, 'maggie', { sid: 's1', exp: end })),
  )
  const exp = nowSeconds() + 300
  const reply = jsonOf(await renew(nodes[0], tokenFor('maggie', { sid: 's1', exp })))
  t.strictSame(reply, { expires: exp, session: 's1', extended: 1, forwarded: true })
  t.strictSame(await endsOf(nodes[0], 'maggie'), [exp])
  await until(async () => (await endsOf(nodes[1], 'maggie')).every(ends => ends === exp))

  const [{ id: socket } = { id: '' }] = await socketsOf(nodes[0], 'maggie')
  const later = nowSeconds() + 400
  const one = jsonOf(await renew(nodes[1], tokenFor('maggie', { exp: later }), { socket }))
  t.strictSame(
    one,
    { expires: later, extended: 0, forwarded: true },
    'a single socket of another node is extended too',
  )
  await until(async () => (await endsOf(nodes[0], 'maggie')).includes(later))
  t.strictSame(await endsOf(nodes[1], 'maggie'), [exp, exp, exp])

  // Messages arrive in order: once the second has an effect, the first has been handled.
  await renew(nodes[0], tokenFor('theo', { sid: 's1', exp: later }))
  await renew(nodes[0], tokenFor('maggie', { sid: 's1', exp: later }))
  await until(async () => (await endsOf(nodes[1], 'maggie')).every(ends => ends === later))
  const token = tokenFor('maggie', { sid: 's1', exp: later + 100 })
  await disconnect(nodes[0], { session: 's1' })
  for (const { closed } of open) t.equal((await closed).code, 4403)
  for (const node of nodes) isProblem(t, await renew(node, token), '401 token_revoked')
})

t.test('write access to Redis is not enough to extend a socket', async t => {
  const end = nowSeconds() + 100
  const open = [
    await openFor(nodes[0], 'rosa', { sid: 's2', exp: end }),
    await openFor(nodes[0], 'ruth', { sid: 's2', exp: end }),
  ]
  const spy = new Redis({ port: redis.port, host: '127.0.0.1' })
  t.teardown(() => spy.disconnect())
  const packr = new Packr({ useRecords: false })
  await spy.subscribe('ticketgate:bus:0')
  const heard = new Promise<Buffer>(resolve => {
    spy.on('messageBuffer', (_, bytes: Buffer) => {
      if (bytes.includes('rosa')) resolve(bytes)
    })
  })
  const other = await startNode()
  const exp = nowSeconds() + 300
  t.match(jsonOf(await renew(other, tokenFor('rosa', { sid: 's2', exp }))), { forwarded: true })
  const [, , sent] = packr.unpack(await heard)
  await until(async () => (await endsOf(nodes[0], 'rosa')).includes(exp))
  const forge = (text: string, macs: unknown = sent.macs) =>
    redis.client.publish('ticketgate:bus:0', packr.pack(['x', 0, { type: 'renew', text, macs }]))
  await forge(sent.text.replace('rosa', 'ruth'))
  await forge(sent.text.replace('rosa', 'ruth'), [])
  await forge('{}')
  const later = exp + 10
  await renew(other, tokenFor('rosa', { sid: 's2', exp: later }))
  await until(async () => (await endsOf(nodes[0], 'rosa')).includes(later))
  t.match(nodes[0].output(), /a renewal of another node is late, or its MAC is not by a shared key/)
  t.strictSame(await endsOf(nodes[0], 'ruth'), [end], 'the forged ones, which came before, had no effect')
  for (const { socket } of open) socket.terminate()
})

t.test(
  'after a rotation without a restart, gates with the old and the new secret renew for each other',
  async t => {
    const [former, next] = [`${jwtSecret}-former`, jwtSecret]
    const directory = temporaryDirectory(t)
    const [current, previous] = [join(directory, 'current'), join(directory, 'previous')]
    writeFileSync(current, former)
    writeFileSync(previous, `${former}-of-long-ago`)
    const older = await startNode({
      TICKETGATE_JWT_SECRET: undefined,
      TICKETGATE_JWT_SECRET_FILE: current,
      TICKETGATE_JWT_SECRET_PREVIOUS_FILE: previous,
    })
    writeFileSync(current, next)
    writeFileSync(previous, former)
    await older.logged(/issuers and token secrets reloaded/)
    const younger = await startNode()
    const end = nowSeconds() + 100
    const claims = { sid: 's3', exp: end }
    const open = [await openFor(older, 'iris', claims), await openFor(younger, 'iris', claims)]
    for (const [n, gate] of [younger, older].entries()) {
      const exp = nowSeconds() + 200 + n
      // Repeats until the older gate has reloaded its files.
      await until(async () => {
        const reply = jsonOf(await renew(gate, tokenFor('iris', { sid: 's3', exp })))
        if (reply.extended !== 1 || reply.forwarded !== true) return false
        const ends = [...(await endsOf(younger, 'iris')), ...(await endsOf(older, 'iris'))]
        return ends.every(ends => ends === exp)
      })
    }
    t.notMatch(older.output(), /its MAC is not by a shared key/)
    for (const { socket } of open) socket.terminate()
  },
)

t.test('a gate that is alone with its Redis reports that nothing was forwarded', async t => {
  const own = await startRedis(t)
  const gate = await startBusNode(t, own.port, { TICKETGATE_TUNNELS: `/a/*=ws://127.0.0.1:${upstream.port}` })
  t.match(jsonOf(await renew(gate, tokenFor('maggie', { sid: 's1' }))), { extended: 0, forwarded: false })
})

t.test('without the bus, the reply says that nothing was forwarded', async t => {
  redis.signal('SIGKILL')
  await until(async () => {
    const reply = await renew(nodes[0], tokenFor('maggie', { sid: 's9' }))
    return jsonOf(reply).forwarded === false
  })
  t.match(jsonOf(await renew(nodes[0], tokenFor('maggie', { sid: 's9' }))), { extended: 0, forwarded: false })
})
