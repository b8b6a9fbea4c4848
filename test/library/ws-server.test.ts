import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { jsonOf, type Reply, request, requestUpgrade } from '../support/http.js'
import { isProblem } from '../support/problem.js'
import { attempt, Client, open, socketUrl } from '../support/socket-client.js'

const example = fileURLToPath(new URL('ws-server.ts', import.meta.url))
const root = fileURLToPath(new URL('../..', import.meta.url))

/** Starts the example in a process of its own. Returns its base URL. */
async function startExample(t: Test): Promise<string> {
  const child = spawn(process.execPath, ['--import=tsx', example], {
    cwd: root,
    env: { PATH: process.env.PATH, PORT: '0' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(async () => {
    if (child.exitCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  })
  const [line] = await once(createInterface(child.stdout), 'line')
  const port = /port: (\d+)/.exec(String(line))?.[1]
  if (port === undefined) throw new Error(`not listening: ${line}`)
  return `http://127.0.0.1:${port}`
}

const take = async (base: string): Promise<string> => String(jsonOf(await request(base, '/')).ticket)

t.test('a plain ws server accepts a ticket once, and refuses before the handshake', async t => {
  const base = await startExample(t)
  const ticket = await take(base)
  const url = socketUrl(base, `/?ticket=${ticket}`)
  const client = await open(url)
  t.strictSame(await client.next(), { welcome: 'maggie' })
  const again = await attempt(url)
  if (again instanceof Client) throw new Error('accepted twice')
  isProblem(t, again, '401 ticket_used')
  t.equal(again.headers['cache-control'], 'no-store')
  for (const path of ['/', '/?ticket=', '//', '/?ticket=%', `/?ticket=${ticket}A`])
    isProblem(t, await requestUpgrade(base, path), '401 ticket_invalid', path)
  t.equal((await client.close()).code, 1005, 'the first socket is still open')
})

t.test('of fifty sockets with one ticket, one is accepted, in every round', async t => {
  const base = await startExample(t)
  for (let round = 1; round <= 5; round++) {
    const url = socketUrl(base, `/?ticket=${await take(base)}`)
    const outcomes = await Promise.all(Array.from({ length: 50 }, () => attempt(url)))
    const refused = outcomes.filter((outcome): outcome is Reply => !(outcome instanceof Client))
    t.strictSame(
      refused.map(({ status, text }) => `${status} ${JSON.parse(text).code}`),
      Array(49).fill('401 ticket_used'),
      `round ${round}`,
    )
    for (const outcome of outcomes) if (outcome instanceof Client) await outcome.close()
  }
})

t.test('a handshake that ws refuses does not spend its ticket', async t => {
  const base = await startExample(t)
  const path = `/?ticket=${await take(base)}`
  const wrongs = [{ 'sec-websocket-version': '12' }, { 'sec-websocket-key': 'short' }, { upgrade: 'h2c' }]
  for (const headers of wrongs)
    t.equal((await requestUpgrade(base, path, { headers })).status, 400, JSON.stringify(headers))
  t.equal((await requestUpgrade(base, path)).status, 101)
})

t.test('a ticket from before a restart is refused', async t => {
  const [one, other] = await Promise.all([startExample(t), startExample(t)])
  const path = `/?ticket=${await take(one)}`
  isProblem(t, await requestUpgrade(other, path), '401 ticket_invalid')
  t.equal((await requestUpgrade(one, path)).status, 101)
})
