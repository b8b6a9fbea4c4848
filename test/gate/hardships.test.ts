import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { bearer, outcomeOf, postJson, request, requestUpgrade } from '../support/http.js'
import { needs } from '../support/programs.js'
import { adminKey, startServer, type TestServer, temporaryDirectory } from '../support/server.js'
import { openSession, socketUrl } from '../support/socket-client.js'
import { tally } from '../support/tally.js'
import { gatePath, mint } from '../support/tokens.js'

const present = async ({ url }: TestServer, ticket: string): Promise<string> =>
  outcomeOf(await requestUpgrade(url, gatePath(ticket)))

const isHealthy = async (t: Test, { admin }: TestServer): Promise<void> => {
  t.equal((await request(admin, '/healthz')).status, 200, 'the admin listener replies')
}

for (const threads of ['1', '2'])
  t.test(`a gate that was suspended for five seconds works on (threads: ${threads})`, async t => {
    const server = await startServer(t, {
      env: { TICKETGATE_THREADS: threads, TICKETGATE_TICKET_TTL_SECONDS: '3600' },
    })
    const { client } = await openSession(socketUrl(server.url, gatePath(await mint(server.url, 'lisa'))))
    const spent = await mint(server.url)
    t.equal(await present(server, spent), '101')
    const fresh = await mint(server.url)
    server.signal('SIGSTOP')
    const raced = Array.from({ length: 50 }, () => present(server, fresh))
    const health = request(server.admin, '/healthz')
    client.send({ type: 'ping', id: 'meanwhile' })
    // Not a wait for something: the test is about a suspension of this length.
    await delay(5000)
    server.signal('SIGCONT')
    t.strictSame(tally(await Promise.all(raced)), { '101': 1, '401 ticket_used': 49 })
    t.equal(await present(server, spent), '401 ticket_used')
    t.equal((await health).status, 200, 'a request sent during the suspension gets its response')
    t.match(await client.next(), { type: 'pong', id: 'meanwhile' }, 'sockets stay open')
    t.equal(await present(server, await mint(server.url)), '101')
    await isHealthy(t, server)
  })

t.test('a gate whose disk is full accepts and refuses tickets as before', needs('mount'), async t => {
  const stateDir = join(temporaryDirectory(t), 'state')
  mkdirSync(stateDir)
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', stateDir])
  t.teardown(() => execFileSync('umount', ['--lazy', stateDir]))
  const server = await startServer(t, { stateDir, users: { maggie: 'secret' } })
  const revoke = async (user: string): Promise<string> =>
    outcomeOf(await postJson(server.admin, '/disconnect', { user }, { headers: bearer(adminKey) }))
  const rest = join(stateDir, 'rest')
  // Fills the disk to the last byte: otherwise a line would still fit into a page that is in use.
  for (let size = 1 << 16; size > 0; size >>= 1)
    try {
      for (;;) writeFileSync(rest, Buffer.alloc(size), { flag: 'a' })
    } catch {}
  const { client } = await openSession(socketUrl(server.url, gatePath(await mint(server.url, 'lisa'))))
  for (let n = 0; n < 3; n++)
    t.equal(
      await revoke('lisa'),
      '500 internal_error',
      'a revocation that cannot be written is not confirmed',
    )
  const ticket = await mint(server.url)
  t.strictSame(tally(await Promise.all(Array.from({ length: 20 }, () => present(server, ticket)))), {
    '101': 1,
    '401 ticket_used': 19,
  })
  t.equal((await postJson(server.url, '/auth', { user: 'maggie', pwd: 'secret' })).status, 200)
  await isHealthy(t, server)

  rmSync(rest)
  t.match(await revoke('bart'), /^200/, 'with free space again, revocations are confirmed')
  await client.closed
  t.equal((await server.stop()).code, 0)
  const again = await startServer(t, { stateDir })
  t.equal((await request(again.admin, '/healthz')).status, 200, 'the next start can read the file')
})

t.test('a gate whose output is not read accepts and refuses tickets as before', async t => {
  const server = await startServer(t, { env: { TICKETGATE_LOG_LEVEL: 'debug' } })
  server.pauseOutput()
  // Logs more than a pipe holds.
  const tickets: string[] = []
  for (let n = 0; n < 200; n++) tickets.push(await mint(server.url, `user-${n}`))
  const outcomes = await Promise.all([...tickets, ...tickets].map(ticket => present(server, ticket)))
  t.strictSame(tally(outcomes), { '101': 200, '401 ticket_used': 200 })
  await isHealthy(t, server)
  t.ok(server.output().split('"handshake accepted"').length < 201, 'lines are held back while nobody reads')
  server.resumeOutput()
  while (server.output().split('"handshake accepted"').length < 201) await delay(20)
  t.pass('no line is lost once the output is read again')
})
