import { existsSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { RevocationFile } from '../../src/disk/revocation-file.js'
import { type Revocation, revocationKey } from '../../src/token/revocation.js'
import { temporaryDirectory } from '../support/fixtures.js'
import { hangNextRename, hangNextSync, makeStale } from '../support/hung-disk.js'

const at = 1_764_000_000
const revoke = (name: string, untilSeconds = at + 900): Revocation => ({
  type: 'revoke',
  subject: 'user',
  name,
  atSeconds: at,
  untilSeconds,
})

const journalOf = (directory: string): string => join(directory, 'revocations.jsonl')
const open = (directory: string, seconds: () => number = () => at, keepSeconds = 0) =>
  RevocationFile.open(directory, { nowSeconds: seconds, keepSeconds, log: pino({ level: 'silent' }) })

const linesOf = (directory: string): string[] =>
  readFileSync(journalOf(directory), 'utf8').split('\n').slice(0, -1)

/** The names that a gate would read if it started now. */
const found = async (directory: string): Promise<string[]> =>
  (await open(directory)).revocations
    .list(at)
    .map(({ name }) => name)
    .sort()

const linesFor = (count: number, untilSeconds: number, padding = ''): string =>
  Array.from({ length: count }, (_, n) => `${JSON.stringify(revoke(`${padding}${n}`, untilSeconds))}\n`).join(
    '',
  )

/** Waits until another file has this path. */
const untilReplaced = async (path: string, inode: number): Promise<void> => {
  while (statSync(path).ino === inode) await delay(5)
}

t.test('revocations are read back after a restart, from a private file', async t => {
  const directory = join(temporaryDirectory(t), 'state')
  const file = await open(directory)
  t.notOk(existsSync(directory), 'nothing is created before the first write')
  await file.write(revoke('maggie'))
  t.equal(statSync(journalOf(directory)).mode & 0o777, 0o600)
  t.equal(statSync(directory).mode & 0o777, 0o700)
  t.strictSame(readdirSync(directory), ['revocations.jsonl'], 'no other files are left')
  const again = await open(directory)
  t.equal(again.revocations.covers({ user: 'maggie', issuedAtSeconds: at }), true)
})

t.test('a revocation is written as one line, however many there are', async t => {
  const directory = temporaryDirectory(t)
  const path = journalOf(directory)
  writeFileSync(path, linesFor(20_000, at + 900))
  const file = await open(directory)
  const before = statSync(path)
  await file.write(revoke('maggie'))
  const after = statSync(path)
  t.equal(after.ino, before.ino, 'the file is not replaced')
  t.equal(after.size - before.size, JSON.stringify(revoke('maggie')).length + 1)
  t.equal((await found(directory)).length, 20_001)
})

t.test('each of several concurrent writes is on disk when it is confirmed', async t => {
  const directory = temporaryDirectory(t)
  const file = await open(directory)
  const all = Array.from({ length: 50 }, (_, n) => `user-${n}`)
  await Promise.all(
    all.map(async name => {
      await file.write(revoke(name))
      t.ok(
        linesOf(directory).some(line => line.includes(`"${name}"`)),
        name,
      )
    }),
  )
  t.strictSame(await found(directory), all.sort())
})

t.test("two gates with one directory do not lose each other's revocations", async t => {
  const directory = temporaryDirectory(t)
  const [one, two] = [await open(directory), await open(directory)]
  const write = (file: RevocationFile, prefix: string) =>
    Promise.all(Array.from({ length: 20 }, (_, n) => file.write(revoke(`${prefix}${n}`))))
  await Promise.all([write(one, 'a'), write(two, 'b')])
  t.equal((await found(directory)).length, 40)
})

t.test('of two revocations for one user, the later time and the later end apply', async t => {
  const directory = temporaryDirectory(t)
  const file = await open(directory)
  await file.write(revoke('maggie', at + 100))
  await file.write({ ...revoke('maggie', at + 50), atSeconds: at + 20 })
  t.match((await open(directory)).revocations.list(at), [{ atSeconds: at + 20, untilSeconds: at + 100 }])
})

t.test('revocations in the file are all loaded, even beyond the capacity', async t => {
  const directory = temporaryDirectory(t)
  writeFileSync(journalOf(directory), linesFor(100_001, at + 900))
  const { revocations } = await open(directory)
  t.equal(revocations.size, 100_001)
  t.equal(revocations.covers({ user: '100000', issuedAtSeconds: at }), true)
  t.equal(revocations.add(revoke('one more'), at), 'full')
})

t.test('expired revocations are not loaded', async t => {
  const directory = temporaryDirectory(t)
  writeFileSync(journalOf(directory), linesFor(100_001, at) + linesFor(1, at + 900, 'x'))
  const { revocations } = await open(directory)
  t.equal(revocations.size, 1)
})

t.test('if tokens may live longer after a restart, earlier revocations are kept longer', async t => {
  const directory = temporaryDirectory(t)
  await (await open(directory)).write(revoke('maggie', at + 900))
  for (const [startedAt, keepSeconds, untilSeconds] of [
    [at + 899, 600, at + 900],
    [at + 899, 3600, at + 3600],
    [at + 900, 3600, at + 3600],
  ] as const) {
    const { revocations } = await open(directory, () => startedAt, keepSeconds)
    t.match(revocations.list(startedAt), [{ atSeconds: at, untilSeconds }], `for ${keepSeconds} s`)
  }
})

t.test('the file is compacted', async t => {
  await t.test('expired lines are removed once most lines are expired', async t => {
    const directory = temporaryDirectory(t)
    const path = journalOf(directory)
    writeFileSync(path, linesFor(10, at + 10) + linesFor(2, at + 900, 'live-'))
    const file = await open(directory, () => at + 10)
    const { ino } = statSync(path)
    await file.write(revoke('maggie'))
    await untilReplaced(path, ino)
    t.strictSame(await found(directory), ['live-0', 'live-1', 'maggie'])
    t.equal(linesOf(directory).length, 3)
    t.equal(statSync(path).mode & 0o777, 0o600)
  })

  await t.test('the work is done in parts, between which the event loop turns', async t => {
    const directory = temporaryDirectory(t)
    const path = journalOf(directory)
    writeFileSync(path, linesFor(30_000, at) + linesFor(20_000, at + 900, 'live-'))
    const file = await open(directory, () => at)
    const { ino } = statSync(path)
    await file.write(revoke('maggie'))
    let turns = 0
    while (statSync(path).ino === ino) {
      turns++
      await new Promise(setImmediate)
    }
    t.ok(turns > 20, `the event loop turns often, here ${turns} times`)
    t.equal((await found(directory)).length, 20_001)
  })

  await t.test('concurrent writes, by this gate or another one, are not lost', async t => {
    const directory = temporaryDirectory(t)
    const path = journalOf(directory)
    writeFileSync(path, linesFor(5000, at) + linesFor(2000, at + 900, 'live-'))
    const [one, two] = [await open(directory), await open(directory)]
    const { ino } = statSync(path)
    await one.write(revoke('first'))
    const names: string[] = []
    for (let n = 0; statSync(path).ino === ino || n < 5; n++) {
      names.push(`one-${n}`, `two-${n}`)
      await Promise.all([one.write(revoke(`one-${n}`)), two.write(revoke(`two-${n}`))])
    }
    const kept = new Set(await found(directory))
    t.strictSame(
      names.filter(name => !kept.has(name)),
      [],
    )
    t.equal(kept.size, 2001 + names.length)
  })

  await t.test('a crash before the last step leaves the old file', async t => {
    const directory = temporaryDirectory(t)
    const path = journalOf(directory)
    writeFileSync(path, linesFor(2, at + 900))
    writeFileSync(`${path}.00000000-0000-4000-8000-000000000000.tmp`, linesFor(1, at + 900))
    t.strictSame(await found(directory), ['0', '1'])
    await (await open(directory)).write(revoke('maggie'))
    t.strictSame(readdirSync(directory), ['revocations.jsonl'], 'temporary files are removed')
  })
})

t.test('a crash in the middle of a line loses only that line', async t => {
  const whole = linesFor(3, at + 900)
  for (const cut of [1, 2, 40, JSON.stringify(revoke('2')).length]) {
    const directory = temporaryDirectory(t)
    const path = journalOf(directory)
    writeFileSync(path, whole)
    truncateSync(path, whole.length - cut)
    t.strictSame(await found(directory), ['0', '1'], `${cut} bytes short`)
    await (await open(directory)).write(revoke('maggie'))
    t.strictSame(await found(directory), ['0', '1', 'maggie'], 'the next line is written whole')
    await (await open(directory)).write(revoke('theo'))
    t.strictSame(await found(directory), ['0', '1', 'maggie', 'theo'])
  }
})

t.test('the file of earlier versions is read, and moved into the journal with the first write', async t => {
  const directory = temporaryDirectory(t)
  const former = join(directory, 'revocations.json')
  const revocations = [revoke('maggie'), revoke('s1', at + 5)]
  writeFileSync(former, JSON.stringify({ version: 1, revocations }))
  const file = await open(directory)
  t.equal(file.revocations.covers({ user: 'maggie', issuedAtSeconds: at }), true)
  t.ok(existsSync(former), 'reading changes nothing')
  await file.write(revoke('theo'))
  while (existsSync(former)) await delay(5)
  t.strictSame(await found(directory), ['maggie', 's1', 'theo'])
})

const invalidLines = [
  ['a line that is empty', ''],
  ['a line that is not JSON', '{'],
  ['another object', '{}'],
  ['null', 'null'],
  ['another subject', JSON.stringify({ ...revoke('maggie'), subject: 'host' })],
  ['no name', JSON.stringify({ ...revoke('maggie'), name: '' })],
  ['a time that is text', JSON.stringify({ ...revoke('maggie'), atSeconds: '1' })],
  ['a negative time', JSON.stringify({ ...revoke('maggie'), untilSeconds: -1 })],
] as const

t.test('a damaged file stops the start and is left unchanged', async t => {
  const isRefused = async (t: Test, file: string, content: string, name: string): Promise<void> => {
    const directory = temporaryDirectory(t)
    const path = join(directory, file)
    writeFileSync(path, content)
    await t.rejects(open(directory), { code: 'revocations_invalid', message: path }, name)
    t.equal(readFileSync(path, 'utf8'), content)
  }
  for (const [name, line] of invalidLines) {
    await isRefused(t, 'revocations.jsonl', `${line}\n${JSON.stringify(revoke('theo'))}\n`, name)
    if (line.startsWith('{"'))
      await isRefused(
        t,
        'revocations.json',
        `{"version":1,"revocations":[${line}]}`,
        `${name}, in the file of earlier versions`,
      )
  }
  for (const content of ['', 'null', '[]', '{"version":1', '{"version":2,"revocations":[]}'])
    await isRefused(t, 'revocations.json', content, `in the file of earlier versions: ${content}`)
})

t.test('a failed write rejects, and the next one includes it', async t => {
  const directory = join(temporaryDirectory(t), 'state')
  const file = await open(directory)
  writeFileSync(directory, 'not a directory')
  await t.rejects(file.write(revoke('maggie')), { cause: { code: 'EEXIST' } })
  rmSync(directory)
  await file.write(revoke('theo'))
  t.strictSame(await found(directory), ['maggie', 'theo'])
})

t.test('after any number of failed writes, each subject is written once, unless it is over', async t => {
  const directory = join(temporaryDirectory(t), 'state')
  let seconds = at
  const file = await open(directory, () => seconds)
  writeFileSync(directory, 'not a directory')
  await t.rejects(file.write(revoke('vera', at + 10)))
  for (; seconds < at + 100; seconds++)
    await t.rejects(file.write({ ...revoke('maggie'), atSeconds: seconds }))
  rmSync(directory)
  await file.write(revoke('theo'))
  t.match(
    linesOf(directory).map(line => JSON.parse(line)),
    [{ name: 'maggie', atSeconds: at + 99 }, { name: 'theo' }],
  )
  t.equal(linesOf(directory).length, 2)
})

t.test('a write is confirmed only once it is synced to the disk', async t => {
  const directory = temporaryDirectory(t)
  const disk = await hangNextSync(t, directory)
  let isConfirmed = false
  const written = (await open(directory)).write(revoke('maggie')).then(() => {
    isConfirmed = true
  })
  await disk.begun
  t.strictSame(await found(directory), ['maggie'], 'the revocation is in the file')
  t.equal(isConfirmed, false, 'it is not confirmed yet')
  disk.release()
  await written
})

t.test("a gate whose disk hangs does not undo another gate's writes", async t => {
  const directory = temporaryDirectory(t)
  const path = journalOf(directory)
  writeFileSync(path, linesFor(3, at) + linesFor(1, at + 900, 'live-'))
  const [one, two] = [await open(directory), await open(directory)]
  const disk = hangNextRename(t, path)
  await one.write(revoke('a'))
  await disk.begun
  makeStale(path)
  await two.write(revoke('b'))
  disk.release()
  await one.write(revoke('c'))
  t.strictSame(await found(directory), ['a', 'b', 'c', 'live-0'])
})

t.test('revocations from another node are written once', async t => {
  const directory = temporaryDirectory(t)
  const file = await open(directory)
  for (const name of ['maggie', 'maggie', 'theo', 'maggie']) file.learn(revoke(name))
  await file.write(revoke('vera'))
  t.strictSame(
    linesOf(directory).map(line => revocationKey(JSON.parse(line) as Revocation)),
    ['user:maggie', 'user:theo', 'user:vera'],
  )
})

t.test('a revocation that the next start could not read is not written', async t => {
  const directory = temporaryDirectory(t)
  const file = await open(directory)
  await t.rejects(file.write(revoke('')), TypeError)
  await file.write(revoke('maggie'))
  t.strictSame(await found(directory), ['maggie'])
})

t.test('a revocation that cannot be written is logged once, and written with the next', async t => {
  const lines: string[] = []
  const log = pino({ level: 'info' }, { write: line => lines.push(line) })
  const directory = join(temporaryDirectory(t), 'state')
  const file = await RevocationFile.open(directory, { nowSeconds: () => at, keepSeconds: 0, log })
  writeFileSync(directory, 'not a directory')
  for (const name of ['maggie', 'theo']) file.learn(revoke(name))
  while (lines.length === 0) await delay(5)
  rmSync(directory)
  await file.write(revoke('vera'))
  t.strictSame(await found(directory), ['maggie', 'theo', 'vera'])
  t.equal(lines.length, 1)
  t.match(lines[0], /revocations of other nodes could not be written/)
})
