import { execFileSync, spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { freePort } from '../support/free-port.js'
import { needs, type ProgramName, pathOf } from '../support/programs.js'
import {
  adminKey,
  type Environment,
  startServer,
  type TestServer,
  temporaryDirectory,
} from '../support/server.js'
import { type Client, openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, mint } from '../support/tokens.js'

const directory = fileURLToPath(new URL('../../examples/who-is-online', import.meta.url))

interface Example {
  readonly program?: ProgramName
  readonly command: (t: Test) => readonly [string, ...string[]]
}

const examples: Readonly<Record<string, Example>> = {
  Node: { command: () => [process.execPath, join(directory, 'online.mjs')] },
  Python: { program: 'python3', command: () => [pathOf('python3'), join(directory, 'online.py')] },
  Go: {
    program: 'go',
    command(t) {
      const program = join(temporaryDirectory(t), 'online')
      const env = { ...process.env, GO111MODULE: 'off', GOFLAGS: '', GOCACHE: temporaryDirectory(t) }
      execFileSync(pathOf('go'), ['build', '-o', program, 'online.go'], { cwd: directory, env })
      return [program]
    },
  },
}

/** A consumer, with its table as it is now. */
function startConsumer(t: Test, [command, ...args]: readonly [string, ...string[]], admin: string) {
  const env = { PATH: process.env.PATH, ADMIN: admin, TICKETGATE_ADMIN_KEY: adminKey }
  const child = spawn(command, args, { env, stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  return {
    /** Resolves when the table is as expected. */
    async shows(users: string): Promise<void> {
      for (;;) {
        const { value, done } = await lines.next()
        if (done) throw new Error('the consumer has ended')
        if (value === users) return
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

for (const [language, { program, command }] of Object.entries(examples))
  for (const [name, threads] of gates)
    t.test(
      `who is online, in ${language}, with ${name}: right again after every end of the gate`,
      program === undefined ? {} : needs(program),
      async t => {
        const env = { ...threads, TICKETGATE_ADMIN_PORT: String(await freePort()) }
        const stateDir = temporaryDirectory(t)
        const first = await startServer(t, { stateDir, env })
        await enter(first, 'before')
        const table = startConsumer(t, command(t), first.admin)
        await table.shows('before')
        const maggie = await enter(first, 'maggie')
        const second = await enter(first, 'maggie')
        await enter(first, 'theo')
        await table.shows('before maggie theo')
        await maggie.close()
        await second.close()
        await table.shows('before theo')

        first.signal('SIGKILL')
        await first.exited
        const killed = await startServer(t, { stateDir, env })
        await enter(killed, 'vera')
        await table.shows('vera')
        await killed.stop()
        const restarted = await startServer(t, { stateDir, env })
        await table.shows('')
        const bart = await enter(restarted, 'bart')
        await table.shows('bart')
        await bart.close()
        await table.shows('')
        t.pass('the table was right each time')
      },
    )
