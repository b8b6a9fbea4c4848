import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { jsonOf, postJson, request, requestUpgrade } from '../support/http.js'
import { isProblem } from '../support/problem.js'
import { needs, pathOf } from '../support/programs.js'
import { development, startServer, type TestServer, temporaryDirectory } from '../support/server.js'
import { openSession } from '../support/socket-client.js'
import { gatePath, mintWith } from '../support/tokens.js'

const server = await startServer(t, { env: development })

const [, password = ''] = await server.logged(/maggie, password (\S+)/)
const login = await postJson(server.url, '/auth', { user: 'maggie', pwd: password })
const { token } = jsonOf(login) as { token: string }

t.test('the first start prints the demo user with a password, once', async t => {
  t.ok(password.length >= 12, 'the password is long enough to be random')
  t.equal(login.status, 200)
})

/** Pastes the printed commands into a shell, until the socket is open. */
async function paste(t: Test, started: TestServer): Promise<void> {
  await started.logged(/^ +curl /m)
  const printed = started.output()
  const lines = printed.split('\n').filter(line => /^ +(TOKEN=|TICKET=|curl)/.test(line))
  t.equal(lines.length, 3, printed)
  // Curl would close the socket after two seconds, which may be too soon on a busy machine.
  const script = lines.join('\n').replace(/ curl (.*?)-i -m 2 /, ' exec curl $1-i -N ')
  t.match(script, / exec curl /)
  const shell = spawn(pathOf('bash'), ['-c', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  let stdout = ''
  shell.stdout.setEncoding('utf8').on('data', text => {
    stdout += text
    if (/101 Switching Protocols/.test(stdout)) shell.kill('SIGKILL')
  })
  await once(shell, 'close')
  t.match(stdout, /101 Switching Protocols/, stdout)
}

t.test('the printed commands work when pasted', needs('bash', 'curl'), t => paste(t, server))

t.test('the printed commands work on a Unix socket too', needs('bash', 'curl'), async t => {
  const stateDir = temporaryDirectory(t)
  const env = { ...development, TICKETGATE_HOST: `unix:${join(stateDir, 'a gate.sock')}` }
  const unix = await startServer(t, { env, stateDir })
  await paste(t, unix)
  t.notMatch(unix.output(), /step by step/, 'the console is not mentioned, as no browser can open it')
})

t.test('the ticket reply has the whole URL to open', async t => {
  const { url } = await mintWith(server.url, token)
  t.match(url, new RegExp(`^ws://127\\.0\\.0\\.1:${server.port}/channel/\\?ticket=`))
  const { client } = await openSession(url ?? '')
  await client.close()
  const bound = await mintWith(server.url, token, 'red')
  t.match(bound.url, /\/channel\/red\?ticket=/)
  t.match((await openSession(bound.url ?? '')).welcome, { channel: 'red' })
})

t.test('the same origin and localhost may connect, others may not', async t => {
  const cases = [
    [`http://127.0.0.1:${server.port}`, 101],
    ['http://localhost:5173', 101],
    ['http://localhost', 101],
    ['https://example.com', 403],
    ['http://localhost.evil.test', 403],
    ['http://evil.test:3000/localhost', 403],
    ['http://notlocalhost:3000', 403],
    ['null', 403],
  ] as const
  for (const [origin, status] of cases) {
    const { ticket } = await mintWith(server.url, token)
    const reply = await requestUpgrade(server.url, gatePath(ticket), { headers: { origin } })
    if (status === 101) t.equal(reply.status, 101, origin)
    else isProblem(t, reply, '403 origin_forbidden', origin)
  }
})

t.test('the admin listener on loopback needs no key in development', async t => {
  t.equal((await request(server.admin, '/metrics')).status, 200)
})

t.test('a restart keeps the user and prints no password', async t => {
  const second = await startServer(t, { env: development, stateDir: server.stateDir })
  t.equal((await postJson(second.url, '/auth', { user: 'maggie', pwd: password })).status, 200)
  await second.stop()
  t.notOk(second.output().includes(password), 'the password is printed only once')
})

t.test('a restart logs no user out: the token secret is kept, readable only by its owner', async t => {
  t.equal(statSync(join(server.stateDir, 'development-secret')).mode & 0o777, 0o600)
  const ask = (url: string) => request(url, '/ws_ticket', { headers: { authorization: `Bearer ${token}` } })
  const second = await startServer(t, { env: development, stateDir: server.stateDir })
  t.equal((await ask(second.url)).status, 200)
  const other = await startServer(t, { env: development })
  isProblem(t, await ask(other.url), '401 token_invalid', 'each state directory has its own secret')
})
