import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { exitCodeOf } from '../../src/cli/run.js'
import { createPasswordHasher } from '../../src/users/password.js'
import { openUserStore } from '../../src/users/store.js'
import { needs, pathOf } from '../support/programs.js'

const password = 'correct horse battery staple'
const hasher = createPasswordHasher({ concurrency: 1, queueLimit: 100 })

/** Runs a command with this input; `open` leaves stdin open, like a terminal or a shell's pipe. */
async function run(usersFile: string, args: string[], input: string | Buffer = '', open = false) {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()]
  stdin.write(input)
  if (!open) stdin.end()
  const env = { TICKETGATE_USERS_FILE: usersFile }
  const code = await exitCodeOf('user', args, { env, stdin, stdout, stderr })
  stdout.end()
  stderr.end()
  return { code, out: await text(stdout), err: await text(stderr) }
}

const add = (usersFile: string, name: string, ...more: string[]) =>
  run(usersFile, ['add', name, '--password-stdin', ...more], `${password}\n`)

async function logsIn(usersFile: string, name: string, password: string) {
  const user = await (await openUserStore(usersFile)).find(name)
  return hasher.verify(user?.passwordHash, password)
}

t.test('a user is added, listed, gets a new password and is removed', async t => {
  const file = join(t.testdir(), 'state', 'users.json')
  const none = `there is no user file ${file}\n`
  t.strictSame(await run(file, ['list']), { code: 0, out: '', err: none })
  const made = `added maggie to ${file}, a new file\n`
  t.strictSame(await add(file, 'maggie'), { code: 0, out: made, err: '' })
  t.equal(statSync(file).mode & 0o777, 0o600)
  t.ok(await logsIn(file, 'maggie', password))
  t.notOk(readFileSync(file, 'utf8').includes(password))

  const changed = await run(file, ['passwd', '--password-stdin', 'maggie'], 'another password')
  t.strictSame(changed, { code: 0, out: `changed the password of maggie in ${file}\n`, err: '' })
  t.ok(await logsIn(file, 'maggie', 'another password'))
  t.notOk(await logsIn(file, 'maggie', password))

  t.strictSame(await add(file, 'bob'), { code: 0, out: `added bob to ${file}\n`, err: '' })
  t.strictSame(await run(file, ['list']), { code: 0, out: 'bob\nmaggie\n', err: '' })
  t.strictSame(await run(file, ['remove', 'maggie']), {
    code: 0,
    out: `removed maggie from ${file}\n`,
    err: '',
  })
  t.strictSame(await run(file, ['list']), { code: 0, out: 'bob\n', err: '' })
})

t.test('if two commands add the same name at once, one succeeds', async t => {
  const file = join(t.testdir(), 'users.json')
  const results = await Promise.all([add(file, 'maggie'), add(file, 'maggie')])
  t.strictSame(results.map(result => result.code).sort(), [0, 1])
  t.match(results.find(result => result.code === 1)?.err, /maggie exists/)
})

t.test('rights are stored and listed, and survive a new password', async t => {
  const file = join(t.testdir(), 'users.json')
  await add(file, 'maggie', '--publish', 'chat.*', '--publish=news', '--subscribe', '*')
  await add(file, 'bob', '--subscribe', '')
  await run(file, ['passwd', 'maggie', '--password-stdin'], 'another password\n')
  const store = await openUserStore(file)
  t.strictSame((await store.find('maggie'))?.channels, { publish: ['chat.*', 'news'], subscribe: ['*'] })
  t.strictSame((await store.find('bob'))?.channels, { publish: [], subscribe: [''] })
  const { out } = await run(file, ['list'])
  t.equal(out, 'bob\tpublish []\tsubscribe [""]\nmaggie\tpublish ["chat.*","news"]\tsubscribe ["*"]\n')
})

t.test('the first line of standard input is the password', async t => {
  const cases = [
    ['a trailing newline', 'pass phrase \n', 'pass phrase '],
    ['a Windows newline', 'pass phrase\r\n', 'pass phrase'],
    ['no newline', 'pass phrase', 'pass phrase'],
    ['further lines', 'pass phrase\nsecond\n', 'pass phrase'],
    ['a byte order mark, as from PowerShell', '\uFEFFpass phrase\r\n', 'pass phrase'],
    ['the longest, with a byte order mark', `\uFEFF${'p'.repeat(1024)}\r\n`, 'p'.repeat(1024)],
    ['beyond ASCII', 'pâss фраза 🔑\n', 'pâss фраза 🔑'],
    ['the longest', `${'p'.repeat(1024)}\r\n`, 'p'.repeat(1024)],
  ] as const
  for (const [name, input, expected] of cases) {
    const file = join(t.testdir(), 'users.json')
    t.match(await run(file, ['add', 'maggie', '--password-stdin'], input), { code: 0, err: '' }, name)
    t.ok(await logsIn(file, 'maggie', expected), name)
  }
  const file = join(t.testdir(), 'users.json')
  const held = await run(file, ['add', 'maggie', '--password-stdin'], 'pass phrase\n', true)
  t.equal(held.code, 0, 'does not wait for the end of the stream')
})

t.test('a weak password is accepted with a warning', async t => {
  const file = join(t.testdir(), 'users.json')
  const short = await run(file, ['add', 'maggie', '--password-stdin'], 'secret\n')
  t.match(short, { code: 0, err: /^warning: .*shorter than 8/ })
  t.ok(await logsIn(file, 'maggie', 'secret'))
  const same = await run(file, ['add', 'margaret', '--password-stdin'], 'margaret\n')
  t.match(same, { code: 0, err: /^warning: .*the user name/ })
})

t.test('a name with a colon is accepted with a warning: HTTP Basic cannot carry it', async t => {
  const file = join(t.testdir(), 'users.json')
  const { code, out, err } = await add(file, 'acme:maggie')
  t.match({ code, out }, { code: 0, out: /^added acme:maggie to / })
  t.match(err, /^warning: HTTP Basic cannot carry a user name with a colon \(RFC 7617\)/)
  t.equal((await add(file, 'maggie')).err, '')
})

t.test('a failure gives exit code 1 and changes nothing', async t => {
  const cases = [
    ['add of a user that exists', ['add', 'maggie', '--password-stdin'], 'other\n', /maggie exists/],
    ['passwd of an unknown user', ['passwd', 'bob', '--password-stdin'], 'other\n', /no user bob/],
    ['passwd of __proto__', ['passwd', '__proto__', '--password-stdin'], 'other\n', /no user __proto__/],
    ['remove of an unknown user', ['remove', 'bob'], '', /no user bob/],
    ['an empty password', ['add', 'bob', '--password-stdin'], '\n', /password is empty/],
    ['no password at all', ['add', 'bob', '--password-stdin'], '', /password is empty/],
    ['an overlong password', ['add', 'bob', '--password-stdin'], 'p'.repeat(1025), /longer than 1024/],
    ['a password without end', ['add', 'bob', '--password-stdin'], 'p'.repeat(100_000), /longer than 1024/],
    ['a control character', ['passwd', 'maggie', '--password-stdin'], 'pass\tphrase\n', /control character/],
    ['a carriage return', ['passwd', 'maggie', '--password-stdin'], 'pass\rphrase\n', /control character/],
    [
      'a second byte order mark',
      ['passwd', 'maggie', '--password-stdin'],
      '\uFEFF\uFEFFp\n',
      /byte order mark: remove it/,
    ],
    [
      'nothing but a byte order mark',
      ['passwd', 'maggie', '--password-stdin'],
      '\uFEFF\n',
      /password is empty/,
    ],
    [
      'UTF-16',
      ['passwd', 'maggie', '--password-stdin'],
      Buffer.from('\uFEFFpass', 'utf16le'),
      /not UTF-8 \(PowerShell/,
    ],
    [
      'UTF-16 without a byte order mark',
      ['passwd', 'maggie', '--password-stdin'],
      Buffer.from('pass', 'utf16le'),
      /control/,
    ],
    [
      'overlong, and cut within a character',
      ['passwd', 'maggie', '--password-stdin'],
      'é'.repeat(2000),
      /longer than 1024/,
    ],
    [
      'a password that is not UTF-8',
      ['passwd', 'maggie', '--password-stdin'],
      Buffer.from([0xc3, 0x0a]),
      /not UTF-8/,
    ],
  ] as const
  const file = join(t.testdir(), 'users.json')
  await add(file, 'maggie')
  const before = readFileSync(file)
  for (const [name, args, input, reason] of cases) {
    t.match(await run(file, [...args], input), { code: 1, out: '', err: reason }, name)
    t.ok(readFileSync(file).equals(before), `${name}: the file is unchanged`)
  }
})

t.test('wrong arguments give exit code 2 and create no file', async t => {
  const cases = [
    ['nothing', [], /one of add, passwd, remove, list/],
    ['an unknown command', ['delete', 'maggie'], /one of add, passwd, remove, list/],
    ['no name', ['add', '--password-stdin'], /name is required/],
    ['the password as an operand', ['add', 'maggie', 'hunter2hunter2'], /nothing else/],
    [
      'an unknown option',
      ['add', 'maggie', '--password=hunter2hunter2'],
      /--password: unknown flag: this command takes --password-stdin, /,
    ],
    ['rights with passwd', ['passwd', 'maggie', '--publish', 'a'], /--publish: unknown flag/],
    [
      'an option without its value',
      ['add', 'maggie', '--publish'],
      /--publish: needs a value: write --publish=VALUE/,
    ],
    ['a name for list', ['list', 'maggie'], /takes no name/],
    ['an empty name', ['add', '', '--password-stdin'], /a user name is 1 to 256/],
    ['a control character', ['add', 'a\u001b[2J', '--password-stdin'], /a user name is 1 to 256/],
    ['a name of 257 bytes', ['add', `n${'é'.repeat(128)}`, '--password-stdin'], /a user name is 1 to 256/],
    [
      'an invalid channel',
      ['add', 'maggie', '--password-stdin', '--publish', 'a b'],
      /"a b" is not a channel name/,
    ],
    ['two wildcards', ['add', 'maggie', '--password-stdin', '--subscribe', '**'], /is not a channel name/],
    ['no terminal to ask on', ['add', 'maggie'], /use --password-stdin/],
  ] as const
  const directory = t.testdir()
  const file = join(directory, 'users.json')
  for (const [name, args, reason] of cases) {
    const result = await run(file, [...args], `${password}\n`)
    t.match(result, { code: 2, out: '', err: reason }, name)
    t.notMatch(result.err, 'hunter2hunter2', `${name}: does not repeat the password`)
    t.notOk(existsSync(file), name)
  }
  t.strictSame(readdirSync(directory), [])
})

t.test('help is printed', async t => {
  for (const args of [['--help'], ['-h'], ['add', '--help'], ['list', '-h']]) {
    const result = await run(join(t.testdir(), 'users.json'), args)
    t.match(result, { code: 0, out: /^Usage:\n {2}ticketgate user add NAME/, err: '' }, args.join(' '))
  }
})

t.test('a corrupt file is reported by every command and left untouched', async t => {
  const file = join(t.testdir(), 'users.json')
  writeFileSync(file, '{"maggie":')
  for (const args of [['list'], ['remove', 'maggie'], ['add', 'bob', '--password-stdin']]) {
    const result = await run(file, args, `${password}\n`)
    t.match(result, { code: 1, out: '', err: /users\.json is invalid: it is not JSON/ }, args.join(' '))
    t.equal(readFileSync(file, 'utf8'), '{"maggie":')
  }
})

t.test('a file that cannot be written is reported', async t => {
  const directory = t.testdir()
  const file = join(directory, 'users.json')
  mkdirSync(`${file}.lock`)
  const result = await run(file, ['add', 'maggie', '--password-stdin'], `${password}\n`)
  t.match(result, { code: 1, err: /users\.json cannot be used: EINVAL/ })
})

t.test('on a terminal the password is asked for twice, without echo', needs('script'), async t => {
  const cases = [
    ['the same twice', [`${password}\r`, `${password}\r`], 0, /added maggie/],
    ['both pasted at once', [`${password}\r${password}\r`], 0, /added maggie/],
    ['corrected while typing', [`x\u007f${password}\r`, `${password}\r`], 0, /added maggie/],
    ['two that differ', [`${password}\r`, `${password}!\r`], 1, /the two passwords differ/],
    ['empty', ['\r'], 1, /the password is empty/],
    ['interrupted', [`${password}\u0003`], 1, /cancelled/],
    ['ended', ['\u0004'], 1, /cancelled/],
  ] as const
  for (const [name, answers, code, reason] of cases) {
    const file = join(t.testdir(), 'users.json')
    const result = await onTerminal(file, ['add', 'maggie'], answers)
    t.equal(result.code, code, `${name}: ${result.shown}`)
    t.match(result.shown, reason, name)
    t.notOk(result.shown.includes('horse'), `${name}: the password is not shown`)
    t.equal(existsSync(file) && (await logsIn(file, 'maggie', password)), code === 0, name)
  }
})

/** Runs a command on a pseudo terminal and types one answer at each question. */
async function onTerminal(usersFile: string, args: string[], answers: readonly string[]) {
  const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
  const argv = [process.execPath, '--import', 'tsx', main, 'user', ...args, '--users-file', usersFile]
  const command = argv.map(arg => `'${arg.replaceAll("'", "'\\''")}'`).join(' ')
  // Some CI systems set TERM=dumb, and on such a terminal a typed line cannot be corrected.
  const env = { ...process.env, TERM: 'xterm' }
  const child = spawn(pathOf('script'), ['--quiet', '--return', '--command', command, '/dev/null'], { env })
  const left = [...answers]
  let [shown, unanswered] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (data: string) => {
    shown += data
    unanswered += data
    if (!/(Password|Again): $/.test(unanswered)) return
    unanswered = ''
    const answer = left.shift()
    if (answer) child.stdin.write(answer)
  })
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', resolve)
  })
  return { code, shown }
}
