import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { get } from 'node:http'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import WebSocket from 'ws'
import { bearer } from '../support/http.js'
import { adminKey, run, runServe, startServer, temporaryDirectory } from '../support/server.js'
import { gatePath, tokenFor } from '../support/tokens.js'

interface Answer {
  readonly status: number
  readonly text: string
}

const ask = (socketPath: string, path: string, headers: Record<string, string> = {}): Promise<Answer> =>
  new Promise((resolve, reject) => {
    get({ socketPath, path, headers, agent: false }, response => {
      let text = ''
      response.setEncoding('utf8').on('data', chunk => {
        text += chunk
      })
      response.once('end', () => resolve({ status: response.statusCode ?? 0, text }))
    }).once('error', reject)
  })

/** Opens a WebSocket as a proxy does, for a client at this address. Returns the status. */
async function enter(t: Test, socketPath: string, forwardedFor: string): Promise<string> {
  const headers = { 'x-forwarded-for': forwardedFor }
  const { text } = await ask(socketPath, '/ws_ticket', { ...headers, ...bearer(tokenFor('maggie')) })
  const socket = new WebSocket(`ws+unix:${socketPath}:${gatePath(JSON.parse(text).ticket)}`, { headers })
  t.teardown(() => socket.terminate())
  return new Promise((resolve, reject) => {
    socket.once('open', () => resolve('101'))
    socket.once('unexpected-response', (_, response) => resolve(String(response.statusCode)))
    socket.once('error', reject)
  })
}

const start = async (t: Test, others: Record<string, string> = {}) => {
  const directory = temporaryDirectory(t)
  const paths = { gate: join(directory, 'gate.sock'), admin: join(directory, 'admin.sock') }
  const env = {
    TICKETGATE_HOST: `unix:${paths.gate}`,
    TICKETGATE_ADMIN_HOST: `unix:${paths.admin}`,
    TICKETGATE_STATE_DIR: directory,
    ...others,
  }
  return { ...paths, env, server: await startServer(t, { env, stateDir: directory }) }
}

t.test('both listeners can use Unix sockets, behind a proxy that names its clients', async t => {
  const { gate, admin, env, server } = await start(t, { TICKETGATE_MAX_CONNECTIONS_PER_ADDRESS: '1' })
  t.equal(server.url, `http+unix:${gate}`)
  t.equal(server.admin, `http+unix:${admin}`)
  for (const path of [gate, admin]) t.equal(statSync(path).mode & 0o777, 0o660, 'the group can connect')
  t.equal((await ask(gate, '/healthz')).status, 200)
  t.equal((await ask(admin, '/metrics')).status, 401)
  t.equal((await ask(admin, '/metrics', bearer(adminKey))).status, 200)

  t.equal(await enter(t, gate, '203.0.113.1'), '101')
  t.equal(await enter(t, gate, '203.0.113.1'), '429', 'caps use the address that the proxy names')
  t.equal(await enter(t, gate, '203.0.113.2'), '101')
  t.equal(await enter(t, gate, '198.51.100.7, 203.0.113.2'), '429', 'caps ignore what the client wrote')
  t.equal((await ask(gate, gatePath('AAAA'), { 'x-forwarded-for': '203.0.113.3' })).status, 426)
  await server.logged('"address":"203.0.113.3"')

  t.match(await run(['health'], env), { code: 0, output: '' })
  await server.stop()
  t.notOk(existsSync(gate) || existsSync(admin), 'the socket files are removed')
  t.equal((await run(['health'], env)).code, 1)
})

t.test('a second server does not get the path, and other files are not touched', async t => {
  const { gate, env, server } = await start(t)
  const second = await runServe(t, { ...env, TICKETGATE_ADMIN_HOST: undefined })
  t.match(second, { code: 1, stderr: /cannot listen on .*gate\.sock: another ticketgate listens there/ })
  t.equal((await ask(gate, '/healthz')).status, 200, 'the first server still serves it')
  const looked = await run(['check'], { ...env, NODE_ENV: 'development' })
  t.match(looked, { code: 1, stdout: /^failed {3}public port: cannot listen on .*another process listens/m })

  server.signal('SIGKILL')
  await server.exited
  t.ok(existsSync(gate))
  const third = await startServer(t, { env })
  t.equal((await ask(gate, '/healthz')).status, 200, 'the socket file of a killed gate is replaced')
  await third.stop()
  writeFileSync(gate, 'precious')
  t.match(await runServe(t, env), { code: 1, stderr: /gate\.sock: something else is there, and no socket/ })
  t.equal(readFileSync(gate, 'utf8'), 'precious')
})

t.test('unusable paths are refused', async t => {
  const cases = [
    [{ TICKETGATE_HOST: 'unix:gate.sock' }, /TICKETGATE_HOST: "gate.sock" is not the path of a socket/],
    [
      { TICKETGATE_HOST: `unix:/${'x'.repeat(107)}` },
      /TICKETGATE_HOST: the path is longer than the 107 bytes/,
    ],
    [{ TICKETGATE_HOST: 'unix:/a', TICKETGATE_THREADS: '2' }, /is served by one thread/],
    [
      { TICKETGATE_HOST: 'unix:/a', TICKETGATE_ADMIN_HOST: 'unix:/a' },
      /ADMIN_HOST: the public listener has this/,
    ],
    [{ TICKETGATE_HOST: 'unix:/nowhere/gate.sock' }, /a socket cannot be made in \/nowhere/],
  ] as const
  for (const [env, message] of cases) t.match(await runServe(t, env), { code: 1, stderr: message })
})
