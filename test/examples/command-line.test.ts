import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { freePort } from '../support/free-port.js'
import { goCache } from '../support/go-cache.js'
import { needs, type ProgramName, pathOf } from '../support/programs.js'
import { startServer, temporaryDirectory } from '../support/server.js'
import { openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, mint } from '../support/tokens.js'

const root = fileURLToPath(new URL('../../', import.meta.url))
const password = 'correct horse battery'

interface Example {
  readonly program?: ProgramName
  /** The command line, without the channel. */
  readonly command: (t: Test) => readonly [string, ...string[]]
}

const examples: Readonly<Record<string, Example>> = {
  'node-cli': { command: () => [process.execPath, join(root, 'examples/node-cli/chat.js')] },
  python: {
    program: 'python3',
    command: () => [pathOf('python3'), join(root, 'examples/python/chat.py')],
  },
  go: {
    program: 'go-gorilla',
    command(t) {
      const program = join(temporaryDirectory(t), 'chat')
      execFileSync(pathOf('go-gorilla'), ['build', '-o', program, 'chat.go'], {
        cwd: join(root, 'examples/go'),
        env: {
          ...process.env,
          GO111MODULE: 'off',
          GOPATH: '/usr/share/gocode',
          GOFLAGS: '',
          GOCACHE: goCache,
        },
      })
      return [program]
    },
  },
}

/** Starts a chat program, and reads what it prints line by line. */
function startChat(t: Test, [command, ...args]: readonly [string, ...string[]], url: string, pwd: string) {
  const env = { PATH: process.env.PATH, GATE: url, GATE_PASSWORD: pwd }
  const child = spawn(command, [...args, 'lobby'], { env, stdio: 'pipe' })
  t.teardown(() => child.kill('SIGKILL'))
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  return { child, line: async () => (await lines.next()).value as string | undefined }
}

const exitCode = async (child: ChildProcess): Promise<unknown> =>
  child.exitCode ?? (await once(child, 'exit'))[0]

for (const [name, { program, command }] of Object.entries(examples))
  t.test(
    `${name} chats, reconnects after a restart, and ends with its input`,
    program ? needs(program) : {},
    async t => {
      const port = await freePort()
      const options = { env: { TICKETGATE_PORT: String(port) }, users: { maggie: password } }
      const server = await startServer(t, options)
      const line = command(t)
      const chat = startChat(t, line, server.url, password)
      t.equal(await chat.line(), '* maggie in lobby')
      const enter = async () =>
        (await openSession(socketUrl(server.url, gatePath(await mint(server.url, 'theo'), 'lobby')))).client
      const before = await enter()
      await before.ask({ type: 'publish', data: 'hello', id: 1 })
      t.equal(await chat.line(), 'theo: hello')
      chat.child.stdin.write('good morning\n')
      t.match(await before.next(), { type: 'message', data: 'good morning', user: 'maggie' })

      server.signal('SIGKILL')
      await server.exited
      await startServer(t, { env: options.env, stateDir: server.stateDir })
      t.equal(await chat.line(), '* maggie in lobby', 'it reconnects with a new ticket')
      const after = await enter()
      chat.child.stdin.end('goodbye\n')
      t.match(await after.next(), { type: 'message', data: 'goodbye', user: 'maggie' })
      t.equal(await exitCode(chat.child), 0)
      await after.close()

      const refused = startChat(t, line, server.url, 'wrong')
      t.equal(await exitCode(refused.child), 1)
    },
  )
