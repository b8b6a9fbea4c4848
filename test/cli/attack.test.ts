import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { freePort } from '../support/free-port.js'
import { fileNeeds } from '../support/programs.js'
import { startRedis } from '../support/redis.js'
import { allowedOrigin, type Run, run, startServer, temporaryDirectory } from '../support/server.js'
import { type Hole, origin, startHoledServer } from './holed-server.js'

fileNeeds(t, 'redis-server')

const password = 'correct horse'
const env = { TICKETGATE_ATTACK_PASSWORD: password }

interface Finding {
  readonly name: string
  readonly outcome: string
  readonly detail: string
}

const attack = (args: readonly string[]) => run(['attack', ...args], env)

/** The outcome of each attack. */
const outcomesOf = ({ code, stdout, stderr }: Run): Record<string, string> => {
  if (stdout === '') throw new Error(`no findings, exit code ${code}: ${stderr}`)
  return Object.fromEntries((JSON.parse(stdout) as Finding[]).map(({ name, outcome }) => [name, outcome]))
}

t.test('ticketgate withstands every attack, also across a restart', async t => {
  const port = await freePort()
  const options = {
    users: { maggie: password },
    env: {
      TICKETGATE_PORT: String(port),
      TICKETGATE_TICKET_TTL_SECONDS: '1',
      TICKETGATE_TICKET_RATE: 'off',
      TICKETGATE_LOG_LEVEL: 'trace',
    },
  }
  let server = await startServer(t, options)
  let log = ''
  const hook = createServer(async (_, response) => {
    await server.stop()
    log += server.output()
    server = await startServer(t, options)
    response.end()
  }).listen(0, '127.0.0.1')
  t.teardown(() => hook.close())
  await once(hook, 'listening')
  const address = `http://127.0.0.1:${(hook.address() as AddressInfo).port}`
  const file = join(temporaryDirectory(t), 'junit.xml')
  const result = await attack([
    ...[server.url, '--user', 'maggie', '--origin', allowedOrigin, '--lifetime', '1', '--slow', '25'],
    ...['--restart', `"${process.execPath}" -e "fetch('${address}').then(r => r.text())"`, '--junit', file],
    ...['--forbidden-path', '/channel/%2e?ticket={ticket}', '--json'],
  ])
  t.equal(result.code, 0, result.output)
  const outcomes = outcomesOf(result)
  for (const [name, outcome] of Object.entries(outcomes)) t.equal(outcome, 'held', name)
  t.match(result.stderr, /^race … held$/m)
  t.match(
    readFileSync(file, 'utf8'),
    `<testsuite name="ticketgate attack" tests="${Object.keys(outcomes).length}" failures="0"`,
  )

  // Searches all logs for the tickets and tokens that it presented.
  await server.stop()
  log += server.output()
  server = await startServer(t, options)
  writeFileSync(file, log)
  const logged = await attack([server.url, '--user', 'maggie', '--only', 'leaks', '--log', file])
  t.equal(logged.code, 0, logged.stdout)
})

/** The attacks that reveal each hole. */
const holes: Readonly<Record<Hole, readonly string[]>> = {
  none: [],
  'keeps tickets': ['reuse', 'race', 'two-tickets'],
  'reads, then deletes': ['race'],
  'compares only the beginning': ['altered', 'truncated'],
  'accepts tokens as tickets': ['token-as-ticket'],
  'accepts any token': ['algorithms'],
  'accepts any origin': ['cross-origin'],
  'opens before the check': ['before-101'],
  'repeats the ticket': ['leaks'],
  'logs the URL': ['leaks'],
  'ignores the lifetime': ['expiry'],
}

t.test('attacks on a server with tickets in Redis find each hole, and nothing in a sound server', async t => {
  const redis = await startRedis(t)
  for (const [hole, found] of Object.entries(holes) as [Hole, readonly string[]][])
    await t.test(hole, async t => {
      const log = join(temporaryDirectory(t), 'log')
      const url = await startHoledServer(t, { redisUrl: redis.url, hole, lifetimeSeconds: 1, log })
      const result = await attack([
        ...[url, '--preset', 'getdel', '--user', 'maggie', '--origin', origin],
        ...['--lifetime', '1', '--log', log, '--json'],
        ...found.flatMap(name => ['--only', name]),
      ])
      const outcomes = outcomesOf(result)
      const broken = Object.keys(outcomes).filter(name => outcomes[name] === 'broken')
      if (hole === 'none') t.strictSame(broken, [], result.stderr)
      for (const name of found)
        t.ok(broken.includes(name), `${name} reveals the hole; broken: ${broken.join()}`)
    })
})

t.test('wrong arguments and unreachable servers are reported', async t => {
  const login = ['--user', 'maggie']
  const cases: readonly (readonly [readonly string[], number, RegExp])[] = [
    [[], 2, /one URL is required/],
    [['http://127.0.0.1:9', 'http://127.0.0.1:8', ...login], 2, /one URL is required/],
    [['ftp://127.0.0.1', ...login], 2, /is not a URL/],
    [['http://192.0.2.1', ...login], 2, /192\.0\.2\.1 is not this machine/],
    [['http://127.0.0.1:9'], 2, /a login is required/],
    [['http://127.0.0.1:9', ...login, '--preset', 'x'], 2, /--preset: unknown preset "x"/],
    [['http://127.0.0.1:9', ...login, '--socket-path', '/x'], 2, /--socket-path: has no \{ticket\}/],
    [['http://127.0.0.1:9', ...login, '--lifetime', 'x'], 2, /--lifetime: takes/],
    [['http://127.0.0.1:9', ...login, '--only', 'x'], 2, /unknown attack "x"/],
    [['http://127.0.0.1:9', ...login], 1, /cannot attack: \/auth returned no token/],
  ]
  for (const [args, code, message] of cases) {
    const result = await attack(args)
    t.equal(result.code, code, args.join(' '))
    t.match(result.stderr, message)
    t.notMatch(result.stderr, password)
  }
  t.match((await attack(['--help'])).stdout, /^Usage: ticketgate attack URL/)
})
