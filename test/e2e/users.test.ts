import { readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { bearer, jsonOf, postJson, request, requestUpgrade } from '../support/http.js'
import { isProblem } from '../support/problem.js'
import {
  addUser,
  run,
  runServe,
  startServer,
  type TestServer,
  temporaryDirectory,
} from '../support/server.js'
import { type Client, openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, mintWith } from '../support/tokens.js'

const login = (server: TestServer, user: string, pwd: string) => postJson(server.url, '/auth', { user, pwd })

/** Logs in until the reply has this status: a changed file is not picked up at once. */
const untilLogin = async (server: TestServer, user: string, pwd: string, status: number): Promise<number> => {
  for (;;) {
    const reply = await login(server, user, pwd)
    if (reply.status === status) return reply.status
  }
}

const user = (stateDir: string, args: readonly string[], input = '') =>
  run(['user', ...args], { TICKETGATE_STATE_DIR: stateDir }, input)

t.test('users are added, changed and removed while the server runs', async t => {
  const server = await startServer(t, { users: { maggie: 'secret' } })
  const { stateDir } = server
  t.equal((await login(server, 'maggie', 'secret')).status, 200)
  isProblem(t, await login(server, 'lisa', 'saxophone'), '401 bad_credentials', 'the user does not exist yet')

  await addUser(stateDir, 'lisa', 'saxophone')
  t.equal(await untilLogin(server, 'lisa', 'saxophone', 200), 200, 'a new user can log in without a restart')
  t.equal((await login(server, 'maggie', 'secret')).status, 200, 'the other users remain')

  const changed = await user(stateDir, ['passwd', 'lisa', '--password-stdin'], 'baritone\n')
  t.equal(changed.code, 0, changed.output)
  t.equal(await untilLogin(server, 'lisa', 'baritone', 200), 200, 'the new password is valid')
  t.equal((await login(server, 'lisa', 'saxophone')).status, 401, 'the old one is not')

  const list = await user(stateDir, ['list'])
  t.match(list.stdout, /\blisa\b[\s\S]*\bmaggie\b|\bmaggie\b[\s\S]*\blisa\b/)
  t.notMatch(list.output, /argon2|\$/, 'the list shows no hashes')

  t.equal((await user(stateDir, ['remove', 'lisa'])).code, 0)
  t.equal(await untilLogin(server, 'lisa', 'baritone', 401), 401, 'a removed user cannot log in')
})

for (const threads of ['1', '2'])
  t.test(`a removed user loses sockets, tokens and tickets, threads: ${threads}`, async t => {
    const env = { TICKETGATE_THREADS: threads }
    const server = await startServer(t, { env, users: { maggie: 'secret', lisa: 'saxophone' } })
    const tokenOf = async (name: string, pwd: string): Promise<string> =>
      String(jsonOf(await login(server, name, pwd)).token)
    const [maggies, lisas] = [await tokenOf('maggie', 'secret'), await tokenOf('lisa', 'saxophone')]
    const open = async (token: string): Promise<Client> =>
      (await openSession(socketUrl(server.url, gatePath((await mintWith(server.url, token)).ticket)))).client
    const [hers, other] = [await open(maggies), await open(lisas)]
    const { ticket } = await mintWith(server.url, maggies)

    // The file is missing for a moment, as an editor or a deployment may cause.
    const file = join(server.stateDir, 'users.json')
    const text = readFileSync(file)
    renameSync(file, `${file}.moved`)
    server.signal('SIGHUP')
    writeFileSync(file, text)
    server.signal('SIGHUP')
    await server.logged(/"users":2,"removed":0.*user file reread/)

    t.equal((await user(server.stateDir, ['remove', 'maggie'])).code, 0)
    t.strictSame(await hers.closed, { code: 4403, reason: 'revoked' })
    const again = await request(server.url, '/ws_ticket', { headers: bearer(maggies) })
    isProblem(t, again, '401 token_revoked', 'the token is revoked')
    isProblem(
      t,
      await requestUpgrade(server.url, gatePath(ticket)),
      '401 token_revoked',
      'an earlier ticket is revoked',
    )
    t.ok(await other.hearsNothing(), 'the sockets of others stay open')

    await addUser(server.stateDir, 'maggie', 'another')
    t.equal(await untilLogin(server, 'maggie', 'another', 200), 200, 'the user is added again')
    const fresh = await open(await tokenOf('maggie', 'another'))
    t.ok(await fresh.hearsNothing(), 'the user opens sockets again')
    isProblem(t, await request(server.url, '/ws_ticket', { headers: bearer(maggies) }), '401 token_revoked')
  })

t.test('the first login after a change uses the new file, even if only the hash is new', async t => {
  const server = await startServer(t, { users: { maggie: 'secret' } })
  const outcomes = async (...passwords: string[]): Promise<number[]> => {
    const found: number[] = []
    for (const password of passwords) found.push((await login(server, 'maggie', password)).status)
    return found
  }
  t.strictSame(await outcomes('secret', 'wrong'), [200, 401])
  for (const [password, former] of [
    ['secret', 'wrong'],
    ['other', 'secret'],
    ['secret', 'other'],
  ] as const) {
    const changed = await user(server.stateDir, ['passwd', 'maggie', '--password-stdin'], `${password}\n`)
    t.equal(changed.code, 0, changed.output)
    t.strictSame(await outcomes(password, former), [200, 401], `from ${former} to ${password}`)
    t.equal((await user(server.stateDir, ['passwd', 'maggie', '--password-stdin'], `${password}\n`)).code, 0)
    t.strictSame(
      await outcomes(former, password),
      [401, 200],
      `the former password, ${former}, is refused first`,
    )
  }
  t.equal((await user(server.stateDir, ['remove', 'maggie'])).code, 0)
  t.strictSame(await outcomes('secret'), [401])
})

t.test('the file is private, and holds argon2id hashes but no password', async t => {
  const stateDir = temporaryDirectory(t)
  await addUser(stateDir, 'maggie', 'canary-in-the-file')
  const file = join(stateDir, 'users.json')
  const text = readFileSync(file, 'utf8')
  t.equal(statSync(file).mode & 0o777, 0o600)
  t.match(text, /\$argon2id\$/)
  t.notMatch(text, /canary-in-the-file/)
  t.match(JSON.parse(text), Object, 'it is JSON')
})

t.test('only the first line of the input is the password', async t => {
  const server = await startServer(t)
  await user(server.stateDir, ['add', 'maggie', '--password-stdin'], 'first line\nsecond line\n')
  t.equal(await untilLogin(server, 'maggie', 'first line', 200), 200)
})

t.test('a weak password is accepted with a warning', async t => {
  const result = await user(temporaryDirectory(t), ['add', 'maggie', '--password-stdin'], 'abc\n')
  t.equal(result.code, 0)
  t.match(result.output, /weak|short/i)
  t.notMatch(result.output, /abc/)
})

t.test('the commands refuse invalid arguments and change nothing', async t => {
  const stateDir = temporaryDirectory(t)
  await addUser(stateDir, 'maggie', 'secret')
  const file = join(stateDir, 'users.json')
  const before = readFileSync(file)
  const cases = [
    ['a user that already exists', ['add', 'maggie', '--password-stdin'], 'other\n'],
    ['no name', ['add', '--password-stdin'], 'other\n'],
    ['an empty name', ['add', '', '--password-stdin'], 'other\n'],
    ['a name with a line break', ['add', 'a\nb', '--password-stdin'], 'other\n'],
    ['a name of 10 KB', ['add', 'a'.repeat(10_240), '--password-stdin'], 'other\n'],
    ['no password', ['add', 'lisa', '--password-stdin'], ''],
    ['an empty password', ['add', 'lisa', '--password-stdin'], '\n'],
    ['a password of 100 KB', ['add', 'lisa', '--password-stdin'], `${'p'.repeat(100_000)}\n`],
    ['a password for an unknown user', ['passwd', 'nobody', '--password-stdin'], 'other\n'],
    ['removing an unknown user', ['remove', 'nobody'], ''],
  ] as const
  for (const [name, args, input] of cases) {
    const result = await user(stateDir, args, input)
    t.ok(result.code !== 0 && result.signal === null, `${name}: exit ${result.code}`)
    t.notMatch(result.output, /^\s+at .*:\d+/m, `${name}: no stack trace`)
  }
  t.strictSame(readFileSync(file), before, 'the file is unchanged')
})

t.test('a corrupt file causes a clear error and is never overwritten', async t => {
  const cases = [
    ['not JSON', '{"users": ['],
    ['empty', ''],
    ['another shape', '{"users":{"maggie":{"hash":5}}}'],
    ['a list', '[1,2,3]'],
  ] as const
  for (const [name, text] of cases) {
    const stateDir = temporaryDirectory(t)
    const file = join(stateDir, 'users.json')
    writeFileSync(file, text, { mode: 0o600 })
    const served = await runServe(t, { TICKETGATE_STATE_DIR: stateDir })
    const added = await user(stateDir, ['add', 'maggie', '--password-stdin'], 'secret\n')
    for (const [command, result] of [
      ['serve', served],
      ['user add', added],
    ] as const) {
      t.ok(result.code !== 0 && result.signal === null, `${name}, ${command}: exit ${result.code}`)
      t.ok(result.output.includes(file), `${name}, ${command}: names the file: ${result.output}`)
      t.notMatch(result.output, /^\s+at .*:\d+/m, `${name}, ${command}: no stack trace`)
    }
    t.equal(readFileSync(file, 'utf8'), text, `${name}: the file is unchanged`)
  }
})

t.test('a file that breaks while the server runs affects neither the server nor known users', async t => {
  const server = await startServer(t, { users: { maggie: 'secret' } })
  const file = join(server.stateDir, 'users.json')
  const broken = '{"users": [broken'
  writeFileSync(file, broken)
  await login(server, 'nobody', 'x')
  await server.logged(/"level":"(warn|error|fatal)"/)
  t.equal((await request(server.url, '/healthz')).status, 200)
  t.equal((await login(server, 'maggie', 'secret')).status, 200, 'the last valid users can log in')
  t.equal(readFileSync(file, 'utf8'), broken, 'the file is unchanged')
})

t.test('concurrent commands lose no user', async t => {
  const stateDir = temporaryDirectory(t)
  const names = ['bart', 'homer', 'lisa', 'maggie', 'marge']
  await Promise.all(names.map(name => addUser(stateDir, name, 'one password for all')))
  const { stdout } = await user(stateDir, ['list'])
  t.strictSame(
    names.filter(name => !new RegExp(`\\b${name}\\b`).test(stdout)),
    [],
    'every user is in the list',
  )
})
