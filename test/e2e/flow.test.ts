import { execFile, spawn } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { bearer, type Json, jsonOf, request, upgradeHeaders } from '../support/http.js'
import { isProblem } from '../support/problem.js'
import { needs, pathOf } from '../support/programs.js'
import { startServer } from '../support/server.js'
import { attempt, Client, openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, mint, nowSeconds } from '../support/tokens.js'

const credentials = '{"user":"maggie","pwd":"secret"}'
const here = dirname(fileURLToPath(import.meta.url))
const execute = promisify(execFile)
const server = await startServer(t, {
  users: { maggie: 'secret' },
  env: { TICKETGATE_TICKET_TTL_SECONDS: '10' },
})
const socketBase = socketUrl(server.url, '')

const curl = async (...args: string[]): Promise<string> =>
  (await execute(pathOf('curl'), ['-sS', ...args])).stdout

/** curl keeps waiting after a 101, so it is killed once the head of the reply has arrived. */
const curlUpgrade = (url: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const headers = Object.entries(upgradeHeaders()).flatMap(([name, value]) => ['-H', `${name}: ${value}`])
    const child = spawn(pathOf('curl'), ['-sSiN', '--http1.1', ...headers, url])
    let output = ''
    child.once('error', reject)
    child.once('close', () => resolve(output))
    child.stdout.on('data', chunk => {
      output += chunk
      if (/^HTTP\/1\.1 101 [\s\S]*\r\n\r\n/.test(output)) child.kill('SIGKILL')
    })
  })

t.test('the founding flow works as its author wrote it', async t => {
  const login = await request(server.url, '/auth', {
    headers: { 'content-type': 'application/json' },
    body: credentials,
  })
  t.equal(login.status, 200)
  t.equal(login.headers['cache-control'], 'no-store')
  const { token } = jsonOf(login) as { token: string }
  const before = nowSeconds()
  const reply = await request(server.url, '/ws_ticket', { headers: bearer(token) })
  const after = nowSeconds()
  t.equal(reply.status, 200)
  t.equal(reply.headers['cache-control'], 'no-store')
  const { ticket, expires } = jsonOf(reply) as { ticket: string; expires: number }
  t.match(ticket, /^[A-Za-z0-9_-]+$/, 'the ticket needs no percent-encoding in a URL')
  t.ok(
    Number.isInteger(expires) && expires >= before + 9 && expires <= after + 11,
    'it lives for ten seconds, by similar clocks',
  )

  const { client, welcome } = await openSession(`${socketBase}/channel/?ticket=${ticket}`)
  t.match(welcome, { type: 'welcome', user: 'maggie', channel: '' })
  const second = await attempt(`${socketBase}/channel/?ticket=${ticket}`)
  if (second instanceof Client) t.fail('the second use is refused')
  else isProblem(t, second, '401 ticket_used', 'the second use is refused before the handshake')
  await client.close()
})

for (const method of ['GET', 'POST'])
  t.test(`curl logs in by ${method}, gets a ticket and connects once`, needs('curl'), async t => {
    const json = ['-H', 'content-type: application/json']
    const login = await curl('-X', method, ...json, '-d', credentials, `${server.url}/auth`)
    const { token } = JSON.parse(login) as { token: string }
    const reply = await curl('-X', method, '-H', `Authorization: Bearer ${token}`, `${server.url}/ws_ticket`)
    const { ticket } = JSON.parse(reply) as { ticket: string }
    const first = await curlUpgrade(`${server.url}/channel/?ticket=${ticket}`)
    t.match(first, /^HTTP\/1\.1 101 /, 'the first use opens a socket')
    t.match(first, /\r\nsec-websocket-accept: /i)
    const second = await curlUpgrade(`${server.url}/channel/?ticket=${ticket}`)
    t.match(second, /^HTTP\/1\.1 401 [\s\S]*"code":\s*"ticket_used"/, 'the second use is refused')
    t.notMatch(second, /sec-websocket-accept/i)
  })

t.test('curl logs in by Basic', needs('curl'), async t => {
  const login = await curl('-u', 'maggie:secret', `${server.url}/auth`)
  t.type((JSON.parse(login) as Json).token, 'string')
})

t.test("Python's websockets runs the whole flow, by query and by subprotocol", needs('python3'), async t => {
  const { stdout } = await execute(pathOf('python3'), [
    join(here, 'flow-client.py'),
    server.url,
    'maggie',
    'secret',
  ])
  const steps = stdout
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as unknown)
  t.strictSame(steps, [
    ['welcome', 'welcome'],
    ['second use', 401],
    ['subprotocol', 'ticketgate.v1.json'],
    ['message', 'hello from Python'],
    ['closed with', 1000],
  ])
})

t.test('a ticket in the subprotocols opens a socket, and only the protocol is echoed', async t => {
  const ticket = await mint(server.url)
  for (const protocols of [
    ['ticketgate.v1.json', `ticket.${await mint(server.url)}`],
    [`ticket.${ticket}`, 'ticketgate.v1.json'],
  ]) {
    const { client } = await openSession(`${socketBase}/channel/`, { protocols })
    t.equal(client.socket.protocol, 'ticketgate.v1.json')
    await client.close()
  }
  const again = await attempt(`${socketBase}/channel/`, {
    protocols: ['ticketgate.v1.json', `ticket.${ticket}`],
  })
  if (again instanceof Client) t.fail('the second use is refused')
  else isProblem(t, again, '401 ticket_used')
})

t.test('a ticket spent by query is spent by subprotocol too, and vice versa', async t => {
  const byQuery = await mint(server.url)
  const { client } = await openSession(socketUrl(server.url, gatePath(byQuery)), {
    protocols: ['ticketgate.v1.json'],
  })
  t.equal(client.socket.protocol, 'ticketgate.v1.json', 'the protocol is echoed for a ticket in the query')
  const secondUse = await attempt(`${socketBase}/channel/`, {
    protocols: ['ticketgate.v1.json', `ticket.${byQuery}`],
  })
  if (secondUse instanceof Client) t.fail('the second use is refused')
  else isProblem(t, secondUse, '401 ticket_used')
  await client.close()

  const bySubprotocol = await mint(server.url)
  const protocols = ['ticketgate.v1.json', `ticket.${bySubprotocol}`]
  await (await openSession(`${socketBase}/channel/`, { protocols })).client.close()
  const reverseUse = await attempt(socketUrl(server.url, gatePath(bySubprotocol)))
  if (reverseUse instanceof Client) t.fail('the second use is refused')
  else isProblem(t, reverseUse, '401 ticket_used')
})
