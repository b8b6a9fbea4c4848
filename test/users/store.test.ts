import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { withLock } from '../../src/disk/lock.js'
import { openUserStore, updateUsers } from '../../src/users/store.js'
import type { User } from '../../src/users/user.js'
import { hangNextRename, makeStale } from '../support/hung-disk.js'

const hash =
  '$argon2id$v=19$m=19456,t=2,p=1$Hn6iv9lj4Sp3smt4NpXajQ$+YXJX6uwj8YWbxzaZ/dSTK+e3oc/xSP1ZzgmyA+Z63Y'
const otherHash = hash.replace('Hn6iv9', 'Hn6iv8')
const storeModule = new URL('../../src/users/store.ts', import.meta.url).href

const user = (name: string, more: Partial<User> = {}): User => ({ name, passwordHash: hash, ...more })
const put = (path: string, ...users: User[]) =>
  updateUsers(path, map => {
    for (const user of users) map.set(user.name, user)
  })
const namesIn = async (path: string) => (await (await openUserStore(path)).list()).map(user => user.name)
const deadPid = () => spawnSync(process.execPath, ['-e', '']).pid

t.test('users are read back as written', async t => {
  const path = join(t.testdir(), 'users.json')
  const maggie = user('maggie', { channels: { publish: ['chat.*', ''], subscribe: ['*'] } })
  await put(path, user('zoë'), maggie, user('bob'))
  const store = await openUserStore(path)
  t.strictSame(await store.find('maggie'), maggie)
  t.strictSame(await store.find('zoë'), user('zoë'))
  t.equal(await store.find('nobody'), undefined)
  t.strictSame(
    (await store.list()).map(user => user.name),
    ['bob', 'maggie', 'zoë'],
  )
})

t.test('names with a special meaning in JavaScript are ordinary names', async t => {
  const path = join(t.testdir(), 'users.json')
  const names = ['__proto__', 'constructor', 'hasOwnProperty', 'toString', '7', ' ']
  const store = await openUserStore(path)
  for (const name of names) t.equal(await store.find(name), undefined, `${name} does not exist by default`)
  await put(path, ...names.map(name => user(name)))
  for (const name of names) t.strictSame(await store.find(name), user(name), name)
  await updateUsers(path, map => map.delete('__proto__'))
  t.equal(await store.find('__proto__'), undefined)
  t.equal((await store.list()).length, names.length - 1)
})

t.test('the file is private, and no other files are left', async t => {
  const directory = join(t.testdir(), 'new', 'state')
  const path = join(directory, 'users.json')
  await put(path, user('maggie'))
  t.equal(statSync(path).mode & 0o777, 0o600)
  t.equal(statSync(directory).mode & 0o777, 0o700)
  chmodSync(path, 0o644)
  await put(path, user('bob'))
  t.equal(statSync(path).mode & 0o777, 0o600, 'the next change corrects the mode')
  t.strictSame(readdirSync(directory), ['users.json'])
})

t.test(
  'files written by root belong to the service',
  { skip: process.getuid?.() !== 0 && 'needs root' },
  async t => {
    const directory = t.testdir()
    const path = join(directory, 'users.json')
    chownSync(directory, 1234, 1235)
    await put(path, user('maggie'))
    t.match(statSync(path), { uid: 1234, gid: 1235 }, 'a new file belongs to the owner of its directory')
    chownSync(path, 1236, 1237)
    await put(path, user('bob'))
    t.match(statSync(path), { uid: 1236, gid: 1237 }, 'a replaced file keeps its owner')
  },
)

t.test('a link to the file stays a link', async t => {
  const directory = t.testdir({ real: {} })
  const path = join(directory, 'users.json')
  symlinkSync('real/users.json', path)
  writeFileSync(join(directory, 'real/users.json'), '{}')
  await put(path, user('maggie'))
  t.equal(readlinkSync(path), 'real/users.json')
  t.strictSame(await namesIn(join(directory, 'real/users.json')), ['maggie'])
})

t.test('changes on disk are picked up', async t => {
  const path = join(t.testdir(), 'users.json')
  const store = await openUserStore(path)
  t.equal(await store.find('maggie'), undefined)
  await put(path, user('maggie'))
  t.equal((await store.find('maggie'))?.passwordHash, hash, 'a new file is found')
  await put(path, user('maggie', { passwordHash: otherHash }))
  t.equal((await store.find('maggie'))?.passwordHash, otherHash, 'a file of the same size is read again')
  writeFileSync(path, '{}')
  t.equal(await store.find('maggie'), undefined, 'a file written in place is read again')
  await put(path, user('bob'))
  const found = await Promise.all(Array.from({ length: 50 }, () => store.find('bob')))
  t.ok(found.every(Boolean), 'every later lookup sees the change')
  rmSync(path)
  t.equal(await store.find('bob'), undefined, 'a removed file has no users')
})

t.test('a file broken at run time changes nothing and is reported once', async t => {
  const path = join(t.testdir(), 'users.json')
  await put(path, user('maggie'))
  const errors: Error[] = []
  const store = await openUserStore(path, { onError: error => errors.push(error) })

  writeFileSync(path, '{"maggie": ')
  const found = await Promise.all(Array.from({ length: 20 }, () => store.find('maggie')))
  t.ok(found.every(Boolean))
  t.equal((await store.list()).length, 1)
  t.match(errors, [{ name: 'StartupError', code: 'users_file_invalid' }])

  writeFileSync(path, '{"maggie": {}}')
  t.ok(await store.find('maggie'))
  t.ok(await store.find('maggie'))
  t.equal(errors.length, 2, 'another broken version is reported as well')

  rmSync(path)
  mkdirSync(path)
  t.ok(await store.find('maggie'))
  t.ok(await store.find('maggie'))
  t.match(errors[2], { message: /EISDIR/ })
  t.equal(errors.length, 3)

  rmSync(path, { recursive: true })
  await put(path, user('bob'))
  t.ok(await store.find('bob'), 'a repaired file is read again')
  t.equal(await store.find('maggie'), undefined)
  t.equal(errors.length, 3)
})

t.test('an onError that throws does not stop later changes', async t => {
  const path = join(t.testdir(), 'users.json')
  const store = await openUserStore(path, {
    onError: () => {
      throw new Error('the log is full')
    },
  })
  writeFileSync(path, 'broken')
  await t.rejects(store.find('maggie'), { message: 'the log is full' })
  rmSync(path)
  await put(path, user('maggie'))
  t.ok(await store.find('maggie'))
})

t.test('a corrupt file causes a clear error and is never overwritten', async t => {
  const entry = (more: object) => JSON.stringify({ bob: { passwordHash: hash, ...more } })
  const cases = [
    ['empty', '', /it is empty/],
    ['cut off', `{"maggie":{"passwordHash":"${hash}"`, /it is not JSON/],
    ['words', `${hash} is not JSON`, /it is not JSON/],
    ['not UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), /not JSON in UTF-8/],
    ['an array', '[]', /not a JSON object of users/],
    ['null', 'null', /not a JSON object of users/],
    ['a user that is null', '{"bob":null}', /user "bob": is not a JSON object/],
    ['a user without a hash', '{"bob":{}}', /user "bob": has no passwordHash/],
    ['a password in the clear', entry({ passwordHash: 'secret' }), /not an argon2id hash/],
    ['4 GiB of memory', entry({ passwordHash: hash.replace('m=19456', 'm=4194304') }), /memoryCost 4194304/],
    ['a misspelt member', entry({ channel: { publish: [] } }), /members other than/],
    ['rights as a list', entry({ channels: ['*'] }), /channels is not/],
    ['rights that are null', entry({ channels: null }), /channels is not/],
    ['a misspelt right', entry({ channels: { publsh: ['a'] } }), /channels is not/],
    ['a right that is not a list', entry({ channels: { publish: '*' } }), /channels is not/],
    ['a right that is not a channel', entry({ channels: { publish: ['a b'] } }), /channels is not/],
    ['a wildcard in the middle', entry({ channels: { subscribe: ['a*b'] } }), /channels is not/],
    ['an empty name', `{"":{"passwordHash":"${hash}"}}`, /name 1 is not 1 to 256 bytes/],
    ['a control character in a name', `{"a\\u0000":{"passwordHash":"${hash}"}}`, /name 1 is not/],
    ['half a surrogate pair', `{"\\ud800":{"passwordHash":"${hash}"}}`, /name 1 is not/],
    ['a name of 257 bytes', `{"${'n'.repeat(257)}":{"passwordHash":"${hash}"}}`, /name 1 is not/],
  ] as const
  for (const [name, content, reason] of cases) {
    await t.test(name, async t => {
      const directory = t.testdir()
      const path = join(directory, 'users.json')
      writeFileSync(path, content)
      const expected = { name: 'StartupError', code: 'users_file_invalid', message: reason }
      const error: Error = await openUserStore(path).then(t.fail, error => error)
      t.match(error, expected)
      t.ok(error.message.includes(path), 'the error names the file')
      t.notOk(`${error.stack}${error.cause}`.includes(hash.slice(0, 45)), 'the error quotes no hash')
      await t.rejects(put(path, user('maggie')), expected)
      t.ok(readFileSync(path).equals(Buffer.from(content)), 'the file is unchanged')
      t.strictSame(readdirSync(directory), ['users.json'])
    })
  }
})

t.test('a change that cannot be written leaves the file as it was', async t => {
  const directory = t.testdir()
  const path = join(directory, 'users.json')
  await put(path, user('maggie'))
  const before = readFileSync(path)
  const cases: [string, (users: Map<string, User>) => void, RegExp][] = [
    ['it throws', () => { throw new Error('changed my mind') }, /changed my mind/], // biome-ignore format: a table
    ['a broken hash', users => users.set('bob', user('bob', { passwordHash: 'secret' })), /argon2id/],
    [
      'a broken right',
      users => users.set('bob', user('bob', { channels: { publish: ['a b'] } })),
      /channels/,
    ],
    ['a broken name', users => users.set('a\n', user('a\n')), /name 2 is not/],
    ['two names', users => users.set('bob', user('alice')), /under another name/],
  ]
  for (const [name, change, reason] of cases) {
    await t.rejects(updateUsers(path, change), { message: reason }, name)
    t.ok(readFileSync(path).equals(before), `${name}: the file is unchanged`)
    t.strictSame(readdirSync(directory), ['users.json'], `${name}: no other files are left`)
  }
})

t.test('concurrent changes are all kept', async t => {
  const path = join(t.testdir(), 'users.json')
  const names = Array.from({ length: 20 }, (_, n) => `user${n}`)
  await Promise.all(names.map(name => put(path, user(name))))
  t.strictSame(await namesIn(path), names.sort())
})

t.test('concurrent changes by several processes are all kept', async t => {
  const directory = t.testdir()
  const path = join(directory, 'users.json')
  const program = `
    import { updateUsers } from ${JSON.stringify(storeModule)}
    const [path, mine, passwordHash] = process.argv.slice(1)
    for (let n = 0; n < 20; n++)
      await updateUsers(path, users => users.set(mine + n, { name: mine + n, passwordHash }))`
  const ends = ['a', 'b', 'c'].map(async mine => {
    const flags = ['--import', 'tsx', '--input-type=module', '-e', program]
    const child = spawn(process.execPath, [...flags, path, mine, hash], { stdio: 'inherit' })
    return (await once(child, 'exit'))[0]
  })
  t.strictSame(await Promise.all(ends), [0, 0, 0])
  t.equal((await namesIn(path)).length, 60)
  t.strictSame(readdirSync(directory), ['users.json'])
})

t.test('a change waits for the lock of a living process', async t => {
  const path = join(t.testdir(), 'users.json')
  const events: string[] = []
  let update: Promise<void> | undefined
  await withLock(`${path}.lock`, async () => {
    update = updateUsers(path, () => events.push('change'))
    await spawnAndWait()
    events.push('release')
  })
  await update
  t.strictSame(events, ['release', 'change'])
})

t.test('the lock of a dead process is broken by one waiting process', async t => {
  const cases = [
    ['on this host', `${deadPid()}@${hostname()}:5f1c`, new Date()],
    ['on another host, long ago', `${process.pid}@elsewhere.example:5f1c`, new Date(Date.now() - 60_000)],
    ['with a reused process id', `${process.pid}@${hostname()}:5f1c`, new Date(Date.now() - 60_000)],
    ['before the clock was set back', `${process.pid}@elsewhere.example:5f1c`, new Date(Date.now() + 60_000)],
  ] as const
  for (const [name, holder, since] of cases) {
    await t.test(name, async t => {
      const directory = t.testdir()
      const path = join(directory, 'users.json')
      symlinkSync(holder, `${path}.lock`)
      lutimesSync(`${path}.lock`, since, since)
      await Promise.all([1, 2, 3, 4, 5, 6].map(n => put(path, user(`user${n}`))))
      t.equal((await namesIn(path)).length, 6)
      t.strictSame(readdirSync(directory), ['users.json'])
    })
  }
})

t.test('a process that died while breaking a lock does not block forever', async t => {
  const directory = t.testdir()
  const path = join(directory, 'users.json')
  const holder = `${deadPid()}@${hostname()}:5f1c`
  const longAgo = new Date(Date.now() - 60_000)
  for (const link of [`${path}.lock`, `${path}.lock.5f1c`]) {
    symlinkSync(holder, link)
    lutimesSync(link, longAgo, longAgo)
  }
  await put(path, user('maggie'))
  t.strictSame(readdirSync(directory), ['users.json'])
})

t.test('a process that lost its lock while suspended writes nothing', async t => {
  const directory = t.testdir()
  const path = join(directory, 'users.json')
  await put(path, user('maggie'))
  const lostWhileChanging = updateUsers(path, users => {
    users.delete('maggie')
    unlinkSync(`${path}.lock`)
    symlinkSync('1@elsewhere.example:5f1c', `${path}.lock`)
  })
  await t.rejects(lostWhileChanging, { message: /was broken in the meantime/ })
  t.strictSame(await namesIn(path), ['maggie'])
  t.strictSame(
    readdirSync(directory),
    ['users.json', 'users.json.lock'],
    'the lock of the other process stays',
  )
})

t.test('a file moved into place is picked up whatever its age', async t => {
  const directory = t.testdir()
  const path = join(directory, 'users.json')
  await put(path, user('old'))
  await put(join(directory, 'new.json'), user('new'))
  const store = await openUserStore(join(directory, 'new.json'))
  renameSync(path, join(directory, 'new.json'))
  t.ok(await store.find('old'))
  t.equal(await store.find('new'), undefined)
})

t.test('a Kubernetes mount that swaps a directory link is picked up', async t => {
  const directory = t.testdir({ '..1': {}, '..2': {} })
  await put(join(directory, '..1', 'users.json'), user('maggie'))
  await put(join(directory, '..2', 'users.json'), user('theo'))
  symlinkSync('..1', join(directory, '..data'))
  symlinkSync('..data/users.json', join(directory, 'users.json'))
  const store = await openUserStore(join(directory, 'users.json'))
  t.ok(await store.find('maggie'))
  symlinkSync('..2', join(directory, '..data_tmp'))
  renameSync(join(directory, '..data_tmp'), join(directory, '..data'))
  t.ok(await store.find('theo'))
  t.equal(await store.find('maggie'), undefined)
})

/** Gives everything in this process that is not blocked enough time to run. */
async function spawnAndWait() {
  await once(spawn(process.execPath, ['-e', '']), 'exit')
}

t.test('a change that hangs while another process takes over fails, and undoes nothing', async t => {
  const path = join(t.testdir(), 'users.json')
  await put(path, user('maggie'))
  writeFileSync(`${path}.tmp`, 'not ours')
  const disk = hangNextRename(t, path)
  const refused = t.rejects(put(path, user('late')), { message: /another process took over/ })
  await disk.begun
  makeStale(path)
  await put(path, user('bob'))
  disk.release()
  await refused
  t.strictSame(await namesIn(path), ['bob', 'maggie'])
  t.equal(readFileSync(`${path}.tmp`, 'utf8'), 'not ours')
})
