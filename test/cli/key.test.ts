import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { exitCodeOf } from '../../src/cli/run.js'
import { parseTicketKeys } from '../../src/ticket/key-text.js'

async function run(...args: string[]) {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()]
  const code = await exitCodeOf('key', args, { env: {}, stdin, stdout, stderr })
  stdout.end()
  stderr.end()
  return { code, out: await text(stdout), err: await text(stderr) }
}

const idsOf = (keys: string): number[] =>
  parseTicketKeys(keys, { node: 'one', notSecret: 'x' }).map(key => key.id)

t.test('a new key is printed each time, in the format of TICKETGATE_TICKET_KEYS', async t => {
  const [first, second] = [await run('new'), await run('new', '--id=255')]
  t.match(first, { code: 0, err: '' })
  t.strictSame([...idsOf(first.out), ...idsOf(second.out)], [1, 255])
  t.not(first.out.slice(2), second.out.slice(4))
  t.match(await run('new', '--id', '5'), { code: 0, out: /^5:[\w-]{43}\n$/ })
  t.match(await run('--id=5', 'new'), { code: 0, out: /^5:/ }, 'flags may come first')
})

t.test('a key is written to a file that only its owner can read', async t => {
  const file = join(t.testdir(), 'ticket.keys')
  const before = process.umask(0)
  const { code, out, err } = await run('new', '--id', '7', '--out', file)
  process.umask(before)
  t.strictSame({ code, out, err }, { code: 0, out: `wrote ${file}\n`, err: '' })
  t.equal(statSync(file).mode & 0o777, 0o600)
  t.strictSame(idsOf(readFileSync(file, 'utf8')), [7])
})

t.test('an existing file is never overwritten, because its keys may be in use', async t => {
  const file = join(t.testdir(), 'ticket.keys')
  writeFileSync(file, 'keys in use')
  t.match(await run('new', '--out', file), { code: 1, out: '', err: /cannot write \S+: it exists/ })
  t.equal(readFileSync(file, 'utf8'), 'keys in use')
  t.match(await run('new', '--out', join(file, 'x')), { code: 1, err: /cannot write \S+: ENOTDIR/ })
})

t.test('wrong arguments give exit code 2 and no key', async t => {
  const cases = [
    [[], /expected an action: new/],
    [['make'], /expected an action: new/],
    [['new', 'x'], /expected an action: new/],
    [['new', '--id'], /--id: needs a value: write --id=VALUE/],
    [['new', '--id', '--out'], /--id: needs a value/],
    [['new', '--id='], /--id: give a number from 1 to 255/],
    [['new', '--id', '0'], /--id: give a number from 1 to 255/],
    [['new', '--id', '256'], /--id: give a number from 1 to 255/],
    [['new', '--id', '05'], /--id: give a number from 1 to 255/],
    [['new', '--id=1', '--id=2'], /--id: is given more than once/],
    [['new', '--name', 'x'], /--name: unknown flag: this command takes --id, --out/],
    [['new', '--out'], /--out: needs a value/],
  ] as const
  for (const [args, reason] of cases)
    t.match(await run(...args), { code: 2, out: '', err: reason }, args.join(' '))
  t.match(await run('new', '--help', '--nonsense'), { code: 0, out: /^Usage: ticketgate key new/, err: '' })
})
