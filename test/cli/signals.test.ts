import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import t from 'tap'
import { mainFile } from '../support/built.js'
import { plain } from '../support/plain.js'
import { needs, pathOf } from '../support/programs.js'
import { temporaryDirectory } from '../support/server.js'

/** An identity provider that accepts connections but never replies: a start waits for its keys. */
const silent = createServer().listen(0, '127.0.0.1')
await once(silent, 'listening')
t.teardown(() => silent.close())

const waiting = (threads: string) => ({
  PATH: process.env.PATH,
  TICKETGATE_PORT: '0',
  TICKETGATE_ADMIN_PORT: '0',
  TICKETGATE_STATE_DIR: temporaryDirectory(t),
  TICKETGATE_THREADS: threads,
  TICKETGATE_JWKS_URL: `http://127.0.0.1:${(silent.address() as AddressInfo).port}/keys`,
})

/** Starts a server, after these words of a command line. Resolves in the middle of its start. */
async function beginStart(threads: string, words: readonly string[] = []): Promise<ChildProcess> {
  const [program = '', ...args] = [...words, process.execPath, mainFile, 'serve']
  const asked = once(silent, 'connection')
  const child = spawn(...plain(program, args), { env: waiting(threads), stdio: 'ignore' })
  t.teardown(() => child.kill('SIGKILL'))
  await asked
  return child
}

/** The pid of a process's only child. */
const childOf = ({ pid }: ChildProcess): number =>
  Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim())

t.test('a signal ends a start that is waiting', async t => {
  for (const [threads, signal] of [
    ['1', 'SIGTERM'],
    ['1', 'SIGINT'],
    ['2', 'SIGTERM'],
  ] as const) {
    const child = await beginStart(threads)
    child.kill(signal)
    t.strictSame(await once(child, 'exit'), [0, null], `${signal}, ${threads} threads`)
  }
})

t.test('a SIGHUP during the start, as for a reload, does not end it', async t => {
  const child = await beginStart('1')
  child.kill('SIGHUP')
  child.kill('SIGTERM')
  t.strictSame(await once(child, 'exit'), [0, null])
})

t.test(
  'a signal also ends process 1, for which signals have no default action',
  needs('unshare'),
  async t => {
    for (const threads of ['1', '2']) {
      const child = await beginStart(threads, [pathOf('unshare'), '--pid', '--fork', '--kill-child'])
      process.kill(childOf(child), 'SIGTERM')
      t.strictSame(await once(child, 'exit'), [0, null], `${threads} threads`)
    }
  },
)

t.test('a command ended by a signal does not report success', async t => {
  for (const [signal, code] of [
    ['SIGTERM', 143],
    ['SIGINT', 130],
  ] as const) {
    const args = [mainFile, 'user', 'add', 'maggie', '--password-stdin']
    const env = { PATH: process.env.PATH, TICKETGATE_STATE_DIR: temporaryDirectory(t), NODE_DEBUG: 'esm' }
    // It waits for its standard input, which stays open. Node's debug output about modules shows
    // when it has got there.
    const child = spawn(...plain(process.execPath, args), { env, stdio: ['pipe', 'ignore', 'pipe'] })
    await new Promise<void>(resolve => {
      let shown = ''
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        shown += text
        if (shown.includes('cli/user.js')) resolve()
      })
    })
    child.kill(signal)
    t.strictSame(await once(child, 'exit'), [code, null], signal)
  }
})
