import { spawn } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { postJson } from '../support/http.js'
import { plain } from '../support/plain.js'
import { addUser, development, run, runServe, startServer, temporaryDirectory } from '../support/server.js'

async function takenPort(t: Test): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  t.teardown(() => server.close())
  const address = server.address()
  return String(typeof address === 'object' ? address?.port : '')
}

t.test(
  'a first start that fails because of a port creates no user, whose password would be lost',
  async t => {
    const stateDir = temporaryDirectory(t)
    for (const name of ['TICKETGATE_PORT', 'TICKETGATE_ADMIN_PORT']) {
      const env = { ...development, TICKETGATE_STATE_DIR: stateDir, [name]: await takenPort(t) }
      const failed = await runServe(t, env)
      t.match(failed, { code: 1, stderr: new RegExp(name) })
      t.notMatch(failed.output, /password/)
      t.notOk(existsSync(join(stateDir, 'users.json')), name)
    }
    const server = await startServer(t, { env: development, stateDir })
    const [, password] = await server.logged(/user maggie, password (\S+) /)
    t.equal((await postJson(server.url, '/auth', { user: 'maggie', pwd: password })).status, 200)
  },
)

/** Runs a line in a shell, as if pasted. Resolves with its exit code. */
const paste = (line: string, cwd: string, input: string): Promise<number | null> =>
  new Promise(resolve => {
    const child = spawn(...plain('sh', ['-c', line]), { cwd, stdio: ['pipe', 'ignore', 'inherit'] })
    child.on('close', resolve)
    child.stdin.end(input)
  })

t.test('the hint names an existing user and the file in use, and works from any directory', async t => {
  for (const [names, expected] of [
    [['maggie', 'bart'], 'maggie'],
    [["o'brien & sons", 'zoe'], "o'brien & sons"],
  ] as const) {
    const stateDir = join(temporaryDirectory(t), 'a directory')
    for (const name of names) await addUser(stateDir, name, 'the password before')
    const server = await startServer(t, { env: development, stateDir })
    const [, hint = ''] = await server.logged(/^ +(node .* user passwd .*)$/m)
    t.match(hint, join(stateDir, 'users.json'), 'the hint has the absolute path')
    t.equal(await paste(`${hint} --password-stdin`, temporaryDirectory(t), 'the password after\n'), 0, hint)
    const login = await postJson(server.url, '/auth', { user: expected, pwd: 'the password after' })
    t.equal(login.status, 200, expected)
    await server.stop()
    t.notMatch(server.output(), /npx/)
  }
})

t.test('a second user file is never created silently', async t => {
  const directory = temporaryDirectory(t)
  const add = (...flags: string[]) =>
    run(['user', 'add', 'maggie', '--password-stdin', ...flags], {}, 'correct horse\n')
  const file = join(directory, 'users.json')
  t.match(await add('--state-dir', directory), { code: 0, stdout: `added maggie to ${file}, a new file\n` })
  t.match(await add(`--users-file=${file}`), { code: 1, stderr: new RegExp(`maggie exists in ${file}`) })
  const other = join(directory, 'other.json')
  t.match(await add('--users-file', other), { code: 0, stdout: `added maggie to ${other}, a new file\n` })
  t.match(await run(['user', 'list', '--users-file', other], {}), { code: 0, stdout: 'maggie\n' })
  t.match(await run(['user', 'list'], { TICKETGATE_STATE_DIR: directory }), { code: 0, stdout: 'maggie\n' })
  t.strictSame(readdirSync(directory).sort(), ['other.json', 'users.json'])
})

t.test('users can be managed even if the settings of the server are broken', async t => {
  const directory = temporaryDirectory(t)
  await addUser(directory, 'maggie', 'correct horse')
  const broken = {
    NODE_ENV: 'production',
    TICKETGATE_STATE_DIR: directory,
    TICKETGATE_TLS_CERT_FILE: '/nonexistent/cert.pem',
    TICKETGATE_JWT_SECRET_FILE: '/nonexistent/secret',
    TICKETGATE_TICKET_KEYS_FILE: '/nonexistent/keys',
    TICKETGATE_REDIS_URL: 'nowhere',
    TICKETGATE_ADMIN_KEY: 'short',
    TICKETGATE_PORT: 'x',
  }
  t.match(await run(['user', 'list'], broken), { code: 0, stdout: 'maggie\n', stderr: '' })
  const mistyped = await run(['user', 'list'], { ...broken, TICKETGATE_USER_FILE: 'users.json' })
  t.match(mistyped, {
    code: 1,
    stderr: /TICKETGATE_USER_FILE: unknown variable.*TICKETGATE_USERS_FILE/,
  })
})
