import { writeFileSync } from 'node:fs'
import { join as joinPath } from 'node:path'
import t, { type Test } from 'tap'
import { disconnect, until, untilBus } from '../support/bus.js'
import { clockShift } from '../support/clock-shift.js'
import { bearer, jsonOf, postJson, type Reply, request } from '../support/http.js'
import { isProblem } from '../support/problem.js'
import { fileNeeds } from '../support/programs.js'
import { startRedis } from '../support/redis.js'
import {
  adminKey,
  type Environment,
  jwtSecret,
  startServer,
  type TestServer,
  temporaryDirectory,
} from '../support/server.js'
import { openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, mintWith, nextSecond, nowSeconds } from '../support/tokens.js'

fileNeeds(t, 'redis-server', 'gcc')

const password = 'password-of-both-users'

const startNode = async (t: Test, url: string, env: Environment = {}): Promise<TestServer> => {
  const users = { maggie: password, theo: password }
  const node = await startServer(t, { users, env: { TICKETGATE_REDIS_URL: url, ...env } })
  await untilBus(node, 'up')
  return node
}

const logIn = (node: TestServer, user: string): Promise<Reply> =>
  postJson(node.url, '/auth', { user, pwd: password })

const join = async (node: TestServer, token: string) =>
  (await openSession(socketUrl(node.url, gatePath((await mintWith(node.url, token)).ticket)))).client

t.test(
  'a disconnected user is disconnected on a node whose clock is ahead, and can log in again',
  async t => {
    const redis = await startRedis(t)
    const near = await startNode(t, redis.url)
    const far = await startNode(t, redis.url, clockShift(t, 1).env)
    const before = nowSeconds()
    const token = String(jsonOf(await logIn(far, 'maggie')).token)
    const { iat } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
    t.ok(iat >= before + 1, 'the token is dated in the future')
    const socket = await join(far, token)
    await disconnect(near, { user: 'maggie' })
    t.equal((await socket.closed).code, 4403)
    for (const node of [near, far])
      await until(async () => {
        const reply = await request(node.url, '/ws_ticket', { headers: bearer(token) })
        return jsonOf(reply).code === 'token_revoked'
      })

    for (const node of [far, near]) {
      let reply = await logIn(node, 'maggie')
      // A node whose clock is behind by more than a second may refuse logins for a while.
      for (; reply.status !== 200; reply = await logIn(node, 'maggie')) isProblem(t, reply, '503 login_busy')
      const back = await join(node, String(jsonOf(reply).token))
      t.ok(await back.hearsNothing(), 'a new login opens a socket again')
    }
  },
)

t.test('a token from a node whose clock is ahead is valid at once on the others', async t => {
  const redis = await startRedis(t)
  const near = await startNode(t, redis.url)
  const far = await startNode(t, redis.url, clockShift(t, 1).env)
  for (let n = 0; n < 5; n++) {
    const reply = await logIn(far, 'maggie')
    t.ok((await mintWith(near.url, String(jsonOf(reply).token))).ticket)
  }
})

t.test('a socket opened by the back end on a node whose clock is ahead is disconnected', async t => {
  const directory = temporaryDirectory(t)
  const [secretFile, issuersFile] = ['secret', 'issuers.json'].map(name => joinPath(directory, name))
  writeFileSync(secretFile ?? '', jwtSecret, { mode: 0o600 })
  writeFileSync(issuersFile ?? '', JSON.stringify([{ issuer: 'https://id.example', secretFile }]))
  const env = { TICKETGATE_ISSUERS_FILE: issuersFile, TICKETGATE_JWT_SECRET: undefined }
  const redis = await startRedis(t)
  const near = await startNode(t, redis.url, env)
  const far = await startNode(t, redis.url, { ...env, ...clockShift(t, 1).env })
  // The ticket and the revocation follow within one second, in which the ticket is dated later.
  await nextSecond()
  const spec = { user: 'maggie', sessionSeconds: 600 }
  const issued = await postJson(far.admin, '/tickets', spec, { headers: bearer(adminKey) })
  const { client } = await openSession(socketUrl(far.url, gatePath(String(jsonOf(issued).ticket))))
  await disconnect(near, { user: 'maggie' })
  t.equal((await client.closed).code, 4403)
})
