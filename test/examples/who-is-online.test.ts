import { execFileSync, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { freePort } from '../support/free-port.js'
import { goCache } from '../support/go-cache.js'
import { needs, type ProgramName, pathOf } from '../support/programs.js'
import {
  adminKey,
  type Environment,
  startServer,
  type TestServer,
  temporaryDirectory,
} from '../support/server.js'
import { type Client, openSession, socketUrl } from '../support/socket-client.js'
import { startRelay } from '../support/tcp-relay.js'
import { gatePath, mint } from '../support/tokens.js'

const directory = fileURLToPath(new URL('../../examples/who-is-online', import.meta.url))

interface Example {
  readonly program?: ProgramName
  readonly command: () => readonly [string, ...string[]]
}

let goProgram: string | undefined

/** Builds once for all tests. */
function buildGo(): string {
  if (goProgram !== undefined) return goProgram
  const program = join(temporaryDirectory(t), 'online')
  const env = { ...process.env, GO111MODULE: 'off', GOFLAGS: '', GOCACHE: goCache }
  execFileSync(pathOf('go'), ['build', '-o', program, 'online.go'], { cwd: directory, env })
  goProgram = program
  return program
}

const examples: Readonly<Record<string, Example>> = {
  Node: { command: () => [process.execPath, join(directory, 'online.mjs')] },
  Python: { program: 'python3', command: () => [pathOf('python3'), join(directory, 'online.py')] },
  Go: {
    program: 'go',
    command: () => [buildGo()],
  },
}

/** A line that a consumer has printed after an event: the users in its table. */
interface Line {
  readonly event: string
  readonly users: string
}

/** Go prints a map, the others print names. */
function read(line: string): Line {
  const [event = '', ...words] = line.split(/[\s[\]]+/).filter(word => word !== '' && word !== 'map')
  return { event, users: [...new Set(words.map(word => word.replace(/^.*:/, '')))].sort().join(' ') }
}

/** Starts a consumer of the events, and reads what it prints. */
function startConsumer(t: Test, [command, ...args]: readonly [string, ...string[]], admin: string) {
  const env = { PATH: process.env.PATH, ADMIN: admin, TICKETGATE_ADMIN_KEY: adminKey }
  const child = spawn(command, args, { env, stdio: ['ignore', 'pipe', 'ignore'] })
  t.teardown(() => child.kill('SIGKILL'))
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  const next = async (): Promise<Line> => {
    const { value, done } = await lines.next()
    if (done) throw new Error('the consumer has ended')
    return read(value)
  }
  return {
    next,
    /** Resolves when the table has exactly these users. */
    async shows(users: string): Promise<void> {
      for (;;) if ((await next()).users === users) return
    },
    /** The users in the table right after the next reset. */
    async reconciled(): Promise<string> {
      for (;;) {
        const { event, users } = await next()
        if (event === 'reset') return users
      }
    },
  }
}

const enter = async (server: TestServer, user: string): Promise<Client> =>
  (await openSession(socketUrl(server.url, gatePath(await mint(server.url, user))))).client

const gates: readonly (readonly [name: string, env: Environment])[] = [
  ['one thread', {}],
  ['two threads', { TICKETGATE_THREADS: '2' }],
]

/** A gate whose admin listener is behind a relay that the test can cut. */
async function startBehindRelay(t: Test, threads: Environment) {
  const port = await freePort()
  const relay = await startRelay(t, port)
  const stateDir = temporaryDirectory(t)
  return {
    relay,
    admin: `http://127.0.0.1:${relay.port}`,
    start: () => startServer(t, { stateDir, env: { ...threads, TICKETGATE_ADMIN_PORT: String(port) } }),
  }
}

for (const [language, { program, command }] of Object.entries(examples)) {
  const options = program === undefined ? {} : needs(program)
  for (const [name, threads] of gates) {
    t.test(
      `who is online, in ${language}, with ${name}: the table is right after a kill and a restart`,
      options,
      async t => {
        const { relay, admin, start } = await startBehindRelay(t, threads)
        const first = await start()
        await enter(first, 'before')
        const table = startConsumer(t, command(), admin)
        t.equal(await table.reconciled(), 'before')
        const maggie = await enter(first, 'maggie')
        const second = await enter(first, 'maggie')
        await enter(first, 'theo')
        await table.shows('before maggie theo')
        await maggie.close()
        await second.close()
        await table.shows('before theo')

        relay.cut()
        first.signal('SIGKILL')
        await first.exited
        const killed = await start()
        await enter(killed, 'vera')
        relay.restore()
        t.equal(await table.reconciled(), 'vera', 'only new users are online after a kill')
        await killed.stop()
        const restarted = await start()
        t.equal(await table.reconciled(), '', 'nobody is online after a restart')
        await enter(restarted, 'bart')
        await table.shows('bart')
      },
    )

    t.test(
      `who is online, in ${language}, with ${name}: the consumer catches up after an interruption`,
      options,
      async t => {
        const { relay, admin, start } = await startBehindRelay(t, threads)
        const gate = await start()
        const maggie = await enter(gate, 'maggie')
        const table = startConsumer(t, command(), admin)
        t.equal(await table.reconciled(), 'maggie')
        await enter(gate, 'theo')
        await table.shows('maggie theo')

        relay.cut()
        await enter(gate, 'vera')
        await maggie.close()
        relay.restore()
        const lines = [await table.next(), await table.next()]
        t.same(
          lines.map(({ event }) => event).sort(),
          ['closed', 'opened'],
          'it gets the missed events, without a reset',
        )
        t.equal(lines[1]?.users, 'theo vera')
      },
    )
  }

  t.test(`who is online, in ${language}: more than one page of sockets is read`, options, async t => {
    const gate = await startServer(t, {})
    const users = Array.from({ length: 1050 }, (_, n) => `user-${n}`)
    for (let at = 0; at < users.length; at += 50)
      await Promise.all(users.slice(at, at + 50).map(user => enter(gate, user)))
    const table = startConsumer(t, command(), gate.admin)
    t.equal(await table.reconciled(), users.sort().join(' '))
  })
}

t.test('the examples are as short as their README says', async t => {
  const counts = { 'online.mjs': 40, 'online.py': 40, 'online.go': 73 }
  for (const [file, most] of Object.entries(counts)) {
    const lines = readFileSync(join(directory, file), 'utf8').split('\n')
    const code = lines.filter(line => !/^\s*($|\/\/|#|\/\*\*)/.test(line))
    t.ok(code.length <= most, `${file} has at most ${most} lines of code, here ${code.length}`)
  }
})
