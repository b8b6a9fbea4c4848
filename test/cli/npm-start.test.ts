import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { mainFile } from '../support/built.js'
import { plain } from '../support/plain.js'
import { needs, pathOf } from '../support/programs.js'
import { temporaryDirectory } from '../support/server.js'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** Runs a command line, such as `npm start` without its build, in a clean environment. */
function start(...words: readonly string[]) {
  const [program = '', ...args] = words
  const env = {
    PATH: process.env.PATH,
    HOME: temporaryDirectory(t),
    TICKETGATE_PORT: '0',
    TICKETGATE_ADMIN_PORT: '0',
    TICKETGATE_STATE_DIR: temporaryDirectory(t),
  }
  const child = spawn(...plain(program, args), { cwd: root, env, stdio: ['pipe', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  let shown = ''
  const said = (pattern: RegExp): Promise<RegExpExecArray> =>
    new Promise(resolve => {
      const look = (): void => {
        const found = pattern.exec(shown)
        if (found !== null) resolve(found)
      }
      child.stdout.on('data', look)
      look()
    })
  child.stdout.setEncoding('utf8').on('data', text => {
    shown += text
  })
  // The output closes once npm, its shell and the server have all ended.
  const ended = new Promise(resolve => child.once('close', resolve)).then(() => shown)
  return { child, said, ended }
}

const npm = ['npm', 'start', '--ignore-scripts']

t.test('npm start uses no syntax of a particular shell', async t => {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  t.equal(scripts.start, 'node dist/main.js serve')
  t.ok(mainFile.endsWith('dist/main.js'))
})

t.test('the server stops with npm, although npm signals only the shell in between', async t => {
  const { child, said, ended } = start(...npm)
  await said(/listening/)
  child.kill('SIGTERM')
  t.match(await ended, /stopped/, 'the server has drained')
})

t.test(
  'Ctrl-C drains once, although the terminal, npm and the shell all send a signal',
  needs('script'),
  async t => {
    const { child, said, ended } = start(
      pathOf('script'),
      '--quiet',
      '--return',
      '--command',
      npm.join(' '),
      '/dev/null',
    )
    await said(/listening/)
    child.stdin.write('\u0003')
    t.match(await ended, /draining[\s\S]*stopped/)
  },
)

t.test('in development, the server stops if its terminal is closed', needs('script'), async t => {
  const serve = 'echo pid $$; exec node dist/main.js serve'
  const { said, ended } = start(
    pathOf('script'),
    '--quiet',
    '--return',
    '--command',
    `sh -c '${serve}'`,
    '/dev/null',
  )
  const [, pid] = await said(/pid (\d+)/)
  await said(/listening/)
  process.kill(Number(pid), 'SIGHUP')
  t.match(await ended, /draining[\s\S]*stopped/)
})
