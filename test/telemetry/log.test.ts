import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import t from 'tap'

const module = new URL('../../src/telemetry/log.ts', import.meta.url).href

type Line = Readonly<Record<string, unknown>>

/** The output of a new process that logs at `level` and runs `statements`. */
const logged = (
  level: string,
  statements: string,
): { readonly text: string; readonly lines: readonly Line[] } => {
  const script = `import { createLog } from '${module}'; const log = createLog('${level}'); ${statements}`
  const text = execFileSync(process.execPath, [
    '--import=tsx',
    '--input-type=module',
    '-e',
    script,
  ]).toString()
  const lines = text.split('\n').filter(line => line !== '')
  return { text, lines: lines.map(line => JSON.parse(line) as Line) }
}

t.test('each line is a JSON object with level, time and process', async t => {
  const { text, lines } = logged(
    'info',
    `log.info({ port: 1 }, 'listening'); log.error({ err: new Error('no') }, 'two\\nlines')`,
  )
  t.equal(lines.length, 2)
  t.match(lines[0], { level: 'info', pid: Number, msg: 'listening', port: 1 })
  t.match(lines[0]?.time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  t.match(lines[1], { level: 'error', msg: 'two\nlines', err: { message: 'no' } })
  t.notMatch(text, '\u001b', 'the output has no colours')
})

t.test('lines from the level upwards are written, and no others', async t => {
  const all = ['trace', 'debug', 'info', 'warn', 'error', 'fatal']
  const each = all.map(level => `log.${level}('${level}')`).join(';')
  // `fatal` is written synchronously, so it can overtake earlier lines.
  for (const level of ['trace', 'warn', 'fatal'])
    t.strictSame(
      logged(level, each)
        .lines.map(line => line.level)
        .sort(),
      all.slice(all.indexOf(level)).sort(),
      level,
    )
})

t.test('fields named like secrets are redacted', async t => {
  const names = ['ticket', 'token', 'pwd', 'password', 'secret', 'key', 'authorization', 'cookie']
  const canary = 'canary-Xq7Lm2Tz'
  const fields = JSON.stringify(Object.fromEntries(names.map(name => [name, canary])))
  const { text, lines } = logged(
    'trace',
    `const secrets = ${fields}; log.info(secrets, 'top'); log.info({ headers: secrets, user: 'maggie' }, 'nested'); log.child(secrets).info('child')`,
  )
  t.equal(lines.length, 3, 'all lines are written')
  t.notMatch(text, canary)
  for (const name of names) {
    t.equal(lines[0]?.[name], '[redacted]', `${name} at the top`)
    t.match(lines[1]?.headers, { [name]: '[redacted]' }, `${name} in an object`)
  }
  t.equal(lines[1]?.user, 'maggie', 'other fields are kept')
})

t.test('lines dropped for a stalled reader are counted, and reported once it reads again', async t => {
  const script = `import { createLog, droppedLogLines } from '${module}'
    const log = createLog('info')
    for (let n = 0; n < 3000; n++) log.info({ text: 'x'.repeat(10000) }, 'flood')
    process.send(droppedLogLines())
    process.once('message', () => process.disconnect())`
  const child = spawn(process.execPath, ['--import=tsx', '--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  })
  const [dropped] = (await once(child, 'message')) as [number]
  t.ok(dropped > 0, `lines are dropped: ${dropped} of 3000`)
  child.send('read on')
  let text = ''
  for await (const chunk of child.stdout?.setEncoding('utf8') ?? []) text += chunk
  const lines = text
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line) as Line)
  t.match(lines.at(-1), { level: 'warn', lines: dropped, msg: /^log lines were dropped/ })
  t.equal(lines.length - 1 + dropped, 3000, 'every line is either written or dropped')
})

t.test('ending the log on a slow disk is not an error', async t => {
  // Until fsync is done, the log has ended but is not closed.
  const { text, lines } = logged(
    'info',
    `const { default: fs } = await import('node:fs')
    const { fsync } = fs
    fs.fsync = (fd, done) => setTimeout(() => fsync(fd, done), 100)
    log.info('the last line')
    log.flush(() => process.send?.('closed'))`,
  )
  t.equal(lines.length, 1, text)
})
