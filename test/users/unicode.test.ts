import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createPasswordHasher } from '../../src/users/password.js'
import { openUserStore, updateUsers } from '../../src/users/store.js'
import { postJson, request } from '../support/http.js'
import { run, startServer, temporaryDirectory } from '../support/server.js'

const nfc = 'Zoë Ångström'.normalize('NFC')
const nfd = nfc.normalize('NFD')
const password = { nfc: 'crème brûlée'.normalize('NFC'), nfd: 'crème brûlée'.normalize('NFD') }
const basic = (name: string, pwd: string) => ({
  authorization: `Basic ${Buffer.from(`${name}:${pwd}`).toString('base64')}`,
})

t.test('a name and a password match in every Unicode form, at user add and at login', async t => {
  t.not(nfc, nfd)
  for (const [kept, pwd] of [
    [nfc, password.nfc],
    [nfd, password.nfd],
  ] as const) {
    const server = await startServer(t, { users: { [kept]: pwd } })
    for (const user of [nfc, nfd])
      for (const typed of [password.nfc, password.nfd, password.nfd.replace(' ', '\u00a0')]) {
        t.equal((await postJson(server.url, '/auth', { user, pwd: typed })).status, 200)
        t.equal((await request(server.url, '/auth', { headers: basic(user, typed) })).status, 200)
      }
    t.equal((await postJson(server.url, '/auth', { user: nfc, pwd: 'creme brulee' })).status, 401)
    const env = { TICKETGATE_STATE_DIR: server.stateDir }
    t.match(await run(['user', 'add', nfd, '--password-stdin'], env, 'x\n'), { code: 1, stderr: /exists/ })
    t.match(await run(['user', 'list'], env), { code: 0, stdout: `${nfc}\n` })
    t.match(await run(['user', 'remove', nfd], env), { code: 0 })
  }
})

t.test(
  'a file with names in another Unicode form is read; one with a name in two forms is invalid',
  async t => {
    const file = join(temporaryDirectory(t), 'users.json')
    const hash = await createPasswordHasher({ concurrency: 1, queueLimit: 0 }).hash('x')
    writeFileSync(file, JSON.stringify({ [nfd]: { passwordHash: hash } }))
    const store = await openUserStore(file)
    t.match(await store.find(nfc), { name: nfc })
    t.match(await store.find(nfd), { name: nfc })
    await updateUsers(file, users => void users.delete(nfc))
    t.strictSame(await (await openUserStore(file)).list(), [])
    writeFileSync(file, JSON.stringify({ [nfd]: { passwordHash: hash }, [nfc]: { passwordHash: hash } }))
    await t.rejects(openUserStore(file), {
      code: 'users_file_invalid',
      message: /twice, in two Unicode forms/,
    })
  },
)
