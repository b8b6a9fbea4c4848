import { renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { PassThrough } from 'node:stream'
import pino from 'pino'
import t, { type Test } from 'tap'
import { RemovedUsers } from '../../src/admission/removed-users.js'
import { temporaryDirectory } from '../support/fixtures.js'

const passwordHash =
  '$argon2id$v=19$m=19456,t=2,p=1$Hn6iv9lj4Sp3smt4NpXajQ$+YXJX6uwj8YWbxzaZ/dSTK+e3oc/xSP1ZzgmyA+Z63Y'
const maggie = JSON.stringify({ maggie: { passwordHash } })
const both = JSON.stringify({ maggie: { passwordHash }, lisa: { passwordHash } })

/** A watched file. `look` has it read again; `said` resolves to the next line of the log. */
const watch = async (t: Test, text: string) => {
  const path = join(temporaryDirectory(t), 'users.json')
  writeFileSync(path, text)
  const output = new PassThrough()
  const lines = createInterface(output)[Symbol.asyncIterator]()
  const loggedOut: string[] = []
  const removedUsers = await RemovedUsers.open({ path, log: pino({ base: null }, output) })
  const { close } = removedUsers.watch(async user => loggedOut.push(user))
  t.teardown(close)
  return {
    path,
    loggedOut,
    look: () => process.emit('SIGHUP'),
    said: async (): Promise<string> => JSON.parse((await lines.next()).value ?? '{}').msg,
  }
}

t.test('sessions of users who are no longer in the file end', async t => {
  const { path, loggedOut, look, said } = await watch(t, both)
  writeFileSync(path, maggie)
  look()
  t.equal(await said(), 'user file reread')
  look()
  t.equal(await said(), 'user file reread')
  t.strictSame(loggedOut, ['lisa'], 'once')
})

t.test('a file that is missing, broken or empty removes nobody', async t => {
  const { path, loggedOut, look, said } = await watch(t, both)
  for (const [text, line] of [
    [undefined, 'there is no user file: no sessions end'],
    ['{', 'the user file is broken: no sessions end'],
    ['', 'the user file is broken: no sessions end'],
    [both, 'user file reread'],
  ] as const) {
    rmSync(path, { force: true })
    if (text !== undefined) writeFileSync(path, text)
    look()
    t.equal(await said(), line)
  }
  t.strictSame(loggedOut, [])
})

t.test('a file that is missing only while it is read removes nobody', async t => {
  const { path, loggedOut, look, said } = await watch(t, both)
  for (let round = 0; round < 200; round++) {
    renameSync(path, `${path}.moved`)
    look()
    // The read has begun. Its failure reaches this thread only after the file is back.
    await null
    for (let i = 0; i < round * 5; i++) statSync(`${path}.moved`)
    renameSync(`${path}.moved`, path)
    await said()
  }
  t.strictSame(loggedOut, [])
})
