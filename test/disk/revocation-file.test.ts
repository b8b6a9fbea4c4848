import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { openRevocationFile } from '../../src/disk/revocation-file.js'
import type { Revocation } from '../../src/token/revocation.js'
import { hangNextRename, makeStale } from '../support/hung-disk.js'
import { temporaryDirectory } from '../support/server.js'

const at = 1_764_000_000
const now = (): number => at
const revoke = (name: string, untilSeconds = at + 900): Revocation => ({
  type: 'revoke',
  subject: 'user',
  name,
  atSeconds: at,
  untilSeconds,
})
const names = (path: string): string[] =>
  (JSON.parse(readFileSync(path, 'utf8')) as { revocations: Revocation[] }).revocations.map(
    ({ name }) => name,
  )

t.test('what is saved is there when it is opened again, and for nobody else to read', async t => {
  const directory = join(temporaryDirectory(t), 'state')
  const path = join(directory, 'revocations.json')
  const file = await openRevocationFile(path, now)
  t.notOk(existsSync(directory), 'nothing is written before there is something')
  file.revocations.add(revoke('maggie'), at)
  await file.save()
  t.equal(statSync(path).mode & 0o777, 0o600)
  t.strictSame(readdirSync(directory), ['revocations.json'], 'nothing is left beside it')
  const again = await openRevocationFile(path, now)
  t.equal(again.revocations.covers({ user: 'maggie', issuedAtSeconds: at }), true)
})

t.test('many at once are all on disk when the last is saved', async t => {
  const path = join(temporaryDirectory(t), 'revocations.json')
  const file = await openRevocationFile(path, now)
  const all = Array.from({ length: 50 }, (_, n) => `user-${n}`)
  await Promise.all(
    all.map(async name => {
      file.revocations.add(revoke(name), at)
      await file.save()
      t.ok(names(path).includes(name), name)
    }),
  )
  t.strictSame(names(path).sort(), all.sort())
})

t.test('two gates on one file lose nothing of one another', async t => {
  const path = join(temporaryDirectory(t), 'revocations.json')
  const [one, two] = [await openRevocationFile(path, now), await openRevocationFile(path, now)]
  one.revocations.add(revoke('a'), at)
  two.revocations.add(revoke('b'), at)
  await Promise.all([one.save(), two.save()])
  t.strictSame(names(path).sort(), ['a', 'b'])
})

t.test('what has expired is written no more', async t => {
  const path = join(temporaryDirectory(t), 'revocations.json')
  let seconds = at
  const file = await openRevocationFile(path, () => seconds)
  file.revocations.add(revoke('short', at + 10), at)
  await file.save()
  seconds = at + 10
  file.revocations.add(revoke('long'), at)
  await file.save()
  t.strictSame(names(path), ['long'])
})

t.test('a file that is not whole stops the start, says what to do, and stays', async t => {
  const path = join(temporaryDirectory(t), 'revocations.json')
  const entry = revoke('maggie')
  for (const content of [
    '',
    'null',
    '{"version":1',
    '[]',
    '{"version":2,"revocations":[]}',
    '{"version":1,"revocations":{}}',
    JSON.stringify({ version: 1, revocations: [{ ...entry, subject: 'host' }] }),
    JSON.stringify({ version: 1, revocations: [{ ...entry, name: '' }] }),
    JSON.stringify({ version: 1, revocations: [{ ...entry, atSeconds: '1' }] }),
    JSON.stringify({ version: 1, revocations: [{ ...entry, untilSeconds: -1 }] }),
    JSON.stringify({ version: 1, revocations: [null] }),
  ]) {
    writeFileSync(path, content)
    await t.rejects(openRevocationFile(path, now), { code: 'revocations_invalid' }, content)
    t.equal(readFileSync(path, 'utf8'), content)
  }
})

t.test('a save that fails says so, and the next one goes on', async t => {
  const directory = temporaryDirectory(t)
  const path = join(directory, 'revocations.json')
  const file = await openRevocationFile(path, now)
  file.revocations.add(revoke('maggie'), at)
  writeFileSync(path, 'broken meanwhile')
  await t.rejects(file.save(), { code: 'revocations_invalid' })
  writeFileSync(path, '{"version":1,"revocations":[]}')
  await file.save()
  t.strictSame(names(path), ['maggie'])
})

t.test('a gate whose disk hangs takes away nothing that another has written meanwhile', async t => {
  const path = join(temporaryDirectory(t), 'revocations.json')
  const [one, two] = [await openRevocationFile(path, now), await openRevocationFile(path, now)]
  one.revocations.add(revoke('a'), at)
  two.revocations.add(revoke('b'), at)
  const disk = hangNextRename(t, path)
  const saved = one.save()
  const failed = t.rejects(saved, { message: /another process took over/ }, 'it is not on disk, and says so')
  await disk.begun
  makeStale(path)
  await two.save()
  disk.letGo()
  await failed
  t.strictSame(names(path), ['b'])
  await one.save()
  t.strictSame(names(path).sort(), ['a', 'b'])
})
