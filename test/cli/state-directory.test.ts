import { execFile, spawn, spawnSync } from 'node:child_process'
import { chmodSync, chownSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import t, { type Test } from 'tap'
import { mainFile } from '../support/built.js'
import { plain } from '../support/plain.js'
import { fileNeeds, pathOf } from '../support/programs.js'
import { adminKey, jwtSecret, temporaryDirectory } from '../support/server.js'

fileNeeds(t, 'setpriv')

const otherUser = ['--reuid=12345', '--regid=0', '--clear-groups']

// For example a checkout in the home directory of root.
if (spawnSync(pathOf('setpriv'), [...otherUser, 'test', '-r', mainFile]).status !== 0) {
  if (process.env.CI === 'true' || process.env.TICKETGATE_TEST_ALL === '1')
    throw new Error(`other users cannot read ${mainFile}: move the checkout`)
  t.plan(0, 'other users cannot read this checkout')
  process.exit(0)
}

/** Starts a server as another user, in group 0, as OpenShift does. */
const asAnother = plain(pathOf('setpriv'), [...otherUser, process.execPath, mainFile, 'serve'])

const environment = (stateDir: string) => ({
  PATH: process.env.PATH,
  NODE_ENV: 'production',
  TICKETGATE_PORT: '0',
  TICKETGATE_ADMIN_PORT: '0',
  TICKETGATE_ADMIN_KEY: adminKey,
  TICKETGATE_JWT_SECRET: jwtSecret,
  TICKETGATE_STATE_DIR: stateDir,
})

/** A state directory of user 1000 with this mode, and with files of the same user. */
function stateOf(t: Test, mode: number, files: readonly string[] = []): string {
  const parent = temporaryDirectory(t)
  chmodSync(parent, 0o755)
  const directory = join(parent, 'state')
  mkdirSync(directory)
  for (const name of files) {
    writeFileSync(join(directory, name), '{}', { mode: 0o600 })
    chownSync(join(directory, name), 1000, 0)
  }
  chownSync(directory, 1000, 0)
  chmodSync(directory, mode)
  return directory
}

/** The exit code and the output of a start that must fail. */
const failure = (stateDir: string): Promise<{ code: unknown; stderr: string }> =>
  new Promise(resolve =>
    execFile(...asAnother, { env: environment(stateDir), timeout: 60_000 }, (error, _stdout, stderr) =>
      resolve({ code: error?.code, stderr }),
    ),
  )

t.test('a directory that this user cannot enter is reported with its mode and both users', async t => {
  const directory = stateOf(t, 0o700)
  const { code, stderr } = await failure(directory)
  t.equal(code, 1)
  t.ok(stderr.startsWith(`ticketgate: The state directory ${directory} cannot be read (EACCES): `), stderr)
  t.match(stderr, 'has mode 0700 and belongs to user 1000, group 0; this process runs as user 12345, group 0')
  t.equal(stderr.trim().split('\n').length, 1)
  t.notMatch(stderr, 'JWT_SECRET', 'the message does not suggest a new secret')
})

t.test('a file that this user cannot read is reported likewise', async t => {
  for (const name of ['users.json', 'revocations.jsonl', 'revocations.json']) {
    const directory = stateOf(t, 0o770, [name])
    const { code, stderr } = await failure(directory)
    t.equal(code, 1, name)
    t.match(stderr, `${join(directory, name)} has mode 0600 and belongs to user 1000, group 0; this process`)
    t.notMatch(stderr, 'JWT_SECRET', name)
  }
})

t.test('with a directory of group 0 and mode 0770, any user of that group can start the server', async t => {
  const child = spawn(...asAnother, { env: environment(stateOf(t, 0o770)) })
  const exited = new Promise(resolve => child.once('exit', (code, signal) => resolve({ code, signal })))
  t.teardown(() => child.kill('SIGKILL'))
  for await (const line of createInterface(child.stdout)) {
    t.notMatch(line, /"level":"warn"/)
    if (line.includes('"msg":"listening"')) break
  }
  child.kill('SIGTERM')
  t.strictSame(await exited, { code: 0, signal: null })
})
