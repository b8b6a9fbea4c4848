import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { bearer, type Json, jsonOf, postJson, type Reply, request, requestUpgrade } from '../support/http.js'
import { requestUpgradeUntilAnswered } from '../support/nodes.js'
import { isProblem } from '../support/problem.js'
import {
  adminKey,
  type Environment,
  runServe,
  startServer,
  type TestServer,
  temporaryDirectory,
} from '../support/server.js'
import { type Client, openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, mintWith, nowSeconds, tokenFor, untilSecond } from '../support/tokens.js'

const password = 'correct horse battery'

const disconnect = (server: TestServer, subject: Json): Promise<Reply> =>
  postJson(server.admin, '/disconnect', subject, { headers: bearer(adminKey) })

const enter = async (server: TestServer, token: string): Promise<Client> =>
  (await openSession(socketUrl(server.url, gatePath((await mintWith(server.url, token)).ticket)))).client

const isRevoked = async (t: Test, server: TestServer, token: string, name: string): Promise<void> => {
  const reply = await request(server.url, '/ws_ticket', { headers: bearer(token) })
  isProblem(t, reply, '401 token_revoked', name)
  t.match(
    reply.headers['www-authenticate'],
    /^Bearer .*error="invalid_token"/,
    `${name}: the reply has a Bearer challenge`,
  )
}

/** Checks that a revocation closes sockets, voids tokens and tickets, and survives a restart. */
async function revokesAll(t: Test, env: Environment): Promise<void> {
  const users = { maggie: password, theo: password }
  const stateDir = temporaryDirectory(t)
  const server = await startServer(t, { env, users, stateDir })
  const login = async (user: string): Promise<string> =>
    String(jsonOf(await postJson(server.url, '/auth', { user, pwd: password })).token)
  const [old, theos] = [await login('maggie'), await login('theo')]
  const sockets: Client[] = []
  for (let n = 0; n < 6; n++) sockets.push(await enter(server, old))
  const other = await enter(server, theos)
  const { ticket } = await mintWith(server.url, old)

  const reply = await disconnect(server, { user: 'maggie' })
  t.strictSame([reply.status, jsonOf(reply)], [200, { disconnected: 6 }])
  // The reply means that the revocation holds everywhere, so there is no need to wait.
  await isRevoked(t, server, old, 'the earlier token')
  isProblem(t, await requestUpgrade(server.url, gatePath(ticket)), '401 token_revoked', 'an earlier ticket')
  t.strictSame(
    jsonOf(await postJson(server.url, '/ws_ticket/status', { ticket })),
    { state: 'invalid', refused: 'token_revoked' },
    'the ticket is revoked, not spent',
  )
  for (const { closed } of sockets) t.strictSame(await closed, { code: 4403, reason: 'revoked' })
  t.ok(await other.hearsNothing(), 'another user’s socket stays open')

  const fresh = await login('maggie')
  const back = await enter(server, fresh)
  t.ok(await back.hearsNothing(), 'a new login opens a socket again')
  await isRevoked(t, server, old, 'the old token stays revoked')

  const { sid } = JSON.parse(Buffer.from(fresh.split('.')[1] ?? '', 'base64url').toString()) as {
    sid: string
  }
  const second = await login('maggie')
  const otherSession = await enter(server, second)
  t.strictSame(jsonOf(await disconnect(server, { session: sid })), { disconnected: 1 })
  t.strictSame(await back.closed, { code: 4403, reason: 'revoked' })
  await isRevoked(t, server, fresh, 'the token of that session')
  t.ok(await otherSession.hearsNothing(), 'the user’s other session stays open')
  t.strictSame(jsonOf(await disconnect(server, { user: 'nobody-here' })), { disconnected: 0 })
  await server.stop()

  const restarted = await startServer(t, { env, stateDir })
  await isRevoked(t, restarted, old, 'after a restart')
  await isRevoked(t, restarted, fresh, 'after a restart, by session')
  t.equal((await mintWith(restarted.url, theos)).ticket.length > 0, true, 'other tokens stay valid')
}

t.test('a disconnect closes sockets, revokes tokens and survives a restart', t => revokesAll(t, {}))

t.test('a disconnect does so with several threads', t => revokesAll(t, { TICKETGATE_THREADS: '3' }))

t.test('a revocation covers tokens issued in its own second', async t => {
  const server = await startServer(t)
  const before = nowSeconds()
  await disconnect(server, { user: 'maggie' })
  const after = nowSeconds()
  await isRevoked(t, server, tokenFor('maggie', { iat: before }), 'issued in that second')
  await untilSecond(after + 1)
  const issued = nowSeconds()
  t.equal(typeof (await mintWith(server.url, tokenFor('maggie', { iat: issued }))).ticket, 'string')
})

t.test('a token dated by a fast clock is revoked with earlier ones, and stays revoked', async t => {
  const server = await startServer(t)
  const iat = nowSeconds() + 3
  const [used, unused] = ['s1', 's2'].map(sid => tokenFor('maggie', { iat, sid })) as [string, string]
  const client = await enter(server, used)
  await disconnect(server, { user: 'maggie' })
  t.strictSame(await client.closed, { code: 4403, reason: 'revoked' })
  for (let second = nowSeconds(); second <= iat + 1; second++) {
    await isRevoked(t, server, used, 'the token that opened a socket')
    await untilSecond(second + 1)
  }
  await isRevoked(t, server, used, 'revoked once its date has passed')
  await isRevoked(t, server, unused, 'a token not presented before is revoked too')
})

t.test('an outside minter’s ticket counts by its own date if the token has none or a later one', async t => {
  const key = Buffer.alloc(32, 7).toString('base64url')
  const server = await startServer(t, {
    env: {
      TICKETGATE_TICKET_KEYS: `1:${key}`,
      TICKETGATE_NODE: 'gate-1',
      TICKETGATE_CLOCK_SKEW_SECONDS: '0',
    },
  })
  const { createIssuer } = await import('../../src/library/index.js')
  const issuer = createIssuer({ key: `1:${key}`, node: 'gate-1', ttlSeconds: 60 })
  const outside = (more = {}): string =>
    issuer.issue({ user: 'maggie', expires: nowSeconds() + 600, ...more }).ticket
  const before = outside()
  const dated = outside({ issued: nowSeconds() + 300 })
  await disconnect(server, { user: 'maggie' })
  const revokedAt = nowSeconds()
  isProblem(t, await requestUpgradeUntilAnswered(server.url, gatePath(before)), '401 token_revoked')
  isProblem(t, await requestUpgradeUntilAnswered(server.url, gatePath(dated)), '401 token_revoked')
  // With a node name, other nodes may exist, whose clocks may be a second fast.
  await untilSecond(revokedAt + 2)
  let reply: Reply
  // The gate's clock may be a little slow: then a ticket issued now is in the future at first.
  do reply = await requestUpgradeUntilAnswered(server.url, gatePath(outside()))
  while (reply.status === 401 && jsonOf(reply).code === 'ticket_invalid')
  t.equal(reply.status, 101)
})

t.test('revocations are saved as JSON lines, and a broken file prevents the start', async t => {
  const stateDir = temporaryDirectory(t)
  const server = await startServer(t, { stateDir })
  await disconnect(server, { user: 'maggie' })
  const path = join(stateDir, 'revocations.jsonl')
  t.match(JSON.parse(readFileSync(path, 'utf8')), { type: 'revoke', name: 'maggie' })
  await server.stop()
  writeFileSync(path, '{\n')
  const run = await runServe(t, { TICKETGATE_STATE_DIR: stateDir })
  t.equal(run.code, 1)
  t.match(run.stderr, /revocations\.jsonl/)
  t.match(run.stderr, /TICKETGATE_JWT_SECRET/)
})

t.test('confirmed revocations survive a kill at any instant', async t => {
  const stateDir = temporaryDirectory(t)
  const confirmed: string[] = []
  for (const killAfter of [1, 7, 40]) {
    const server = await startServer(t, { stateDir })
    let isKilled = false
    const revokeOn = async (lane: number): Promise<void> => {
      for (let n = 0; !isKilled; n++) {
        const user = `user-${killAfter}-${lane}-${n}`
        const reply = await disconnect(server, { user }).catch(() => undefined)
        if (reply?.status === 200) confirmed.push(user)
        if (confirmed.length >= killAfter && !isKilled) {
          isKilled = true
          server.signal('SIGKILL')
        }
      }
    }
    await Promise.all([1, 2, 3, 4].map(revokeOn))
    await server.exited
  }
  const server = await startServer(t, { stateDir })
  for (const user of confirmed)
    await isRevoked(t, server, tokenFor(user, { iat: nowSeconds() - 20, exp: nowSeconds() + 600 }), user)
})

t.test('invalid disconnect requests are refused', async t => {
  const server = await startServer(t)
  for (const body of [
    {},
    { user: '' },
    { user: 5 },
    { user: 'a', session: 'b' },
    { session: '' },
    { session: 'a b' },
    { user: 'a\nb' },
    { user: null },
    { user: 'a', sesion: 'b' },
  ])
    isProblem(t, await disconnect(server, body), '400 bad_request', JSON.stringify(body))
  isProblem(t, await postJson(server.admin, '/disconnect', { user: 'x' }), '401 admin_key_invalid')
})
