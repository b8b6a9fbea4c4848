import { execFileSync } from 'node:child_process'
import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { bearer, outcomeOf, request } from '../support/http.js'
import { needs } from '../support/programs.js'
import { startRedis } from '../support/redis.js'
import { runServe, startServer, type TestServer, temporaryDirectory } from '../support/server.js'

const keys = ['first-admin-key-Hs4Pq8', 'second-admin-key-Yn1Wd7', 'third-admin-key-Bc5Xr2'] as const

/** How the admin listener responds to each of the keys. */
const outcomes = async ({ admin }: TestServer): Promise<string[]> => {
  const replies = await Promise.all(keys.map(key => request(admin, '/metrics', { headers: bearer(key) })))
  return replies.map(reply => (reply.status === 200 ? accepted : outcomeOf(reply)))
}

const accepted = 'accepted'
const refused = '401 admin_key_invalid'

t.test('the previous admin key is accepted too', async t => {
  const env = { TICKETGATE_ADMIN_KEY: keys[1], TICKETGATE_ADMIN_KEY_PREVIOUS: keys[0] }
  t.strictSame(await outcomes(await startServer(t, { env })), [accepted, accepted, refused])
})

for (const threads of ['1', '2'])
  t.test(`an admin key is replaced without a restart (threads: ${threads})`, async t => {
    const directory = temporaryDirectory(t)
    const files = { current: join(directory, 'key'), previous: join(directory, 'previous') }
    const replace = (file: keyof typeof files, text: string): void => {
      writeFileSync(`${files[file]}.new`, text, { mode: 0o600 })
      renameSync(`${files[file]}.new`, files[file])
    }
    replace('current', `${keys[0]}\n`)
    replace('previous', `${keys[0]}\n`)
    const server = await startServer(t, {
      env: {
        TICKETGATE_THREADS: threads,
        TICKETGATE_ADMIN_KEY: undefined,
        TICKETGATE_ADMIN_KEY_FILE: files.current,
        TICKETGATE_ADMIN_KEY_PREVIOUS_FILE: files.previous,
      },
    })
    t.strictSame(await outcomes(server), [accepted, refused, refused])
    replace('current', keys[1])
    server.signal('SIGHUP')
    while ((await outcomes(server))[1] === refused);
    t.strictSame(await outcomes(server), [accepted, accepted, refused])
    replace('current', `"${keys[2]}"`)
    server.signal('SIGHUP')
    await server.logged('the file of an admin key is broken')
    replace('current', 'weak'.repeat(8))
    server.signal('SIGHUP')
    await server.logged('is weak: it has too few different characters')
    t.strictSame(await outcomes(server), [accepted, accepted, refused], 'a broken file changes nothing')
    replace('current', keys[2])
    replace('previous', keys[1])
    while ((await outcomes(server)).join() !== `${refused},accepted,accepted`);
    t.pass('a change is noticed without a signal as well')
    await server.stop()
    for (const key of keys) t.notMatch(server.output(), key)
  })

t.test('a faulty secret file is reported with the name of its variable', async t => {
  const directory = temporaryDirectory(t)
  const write = (text: string): string => {
    const file = join(directory, `file-${text.length}`)
    writeFileSync(file, text)
    return file
  }
  const pipe = join(directory, 'pipe')
  execFileSync('mkfifo', [pipe])
  const cases = [
    [{ TICKETGATE_ADMIN_KEY_FILE: pipe }, /ADMIN_KEY_FILE: .*pipe is a pipe, which cannot be read again/],
    [{ TICKETGATE_TLS_CERT_FILE: pipe }, /TLS_CERT_FILE: .*pipe is a pipe/],
    [{ TICKETGATE_ADMIN_KEY_FILE: '/nowhere/key' }, /ADMIN_KEY_FILE: cannot read \/nowhere\/key/],
    [{ TICKETGATE_ADMIN_KEY_FILE: write('short') }, /ADMIN_KEY_FILE: is shorter than 16 characters/],
    [{ TICKETGATE_ADMIN_KEY_FILE: write(`'${keys[0]}'\n`) }, /ADMIN_KEY_FILE: is in quotes/],
    [{ TICKETGATE_ADMIN_KEY_FILE: write(`${keys[0]}\r`) }, /ADMIN_KEY_FILE: ends with a carriage return/],
    [{ TICKETGATE_ADMIN_KEY_FILE: write('aaaaaaaaaaaaaaaaaaaaa') }, /ADMIN_KEY_FILE: the secret is weak/],
    [{ TICKETGATE_REDIS_URL_FILE: write('http://x') }, /REDIS_URL_FILE: /],
    [{ TICKETGATE_ADMIN_KEY_PREVIOUS: keys[0] }, /ADMIN_KEY_PREVIOUS: there is no current key/],
  ] as const
  for (const [env, message] of cases) {
    const { code, stderr } = await runServe(t, { TICKETGATE_ADMIN_KEY: undefined, ...env })
    t.equal(code, 1)
    t.match(stderr, message)
    t.notMatch(stderr, keys[0])
  }
  const both = await runServe(t, { TICKETGATE_ADMIN_KEY_FILE: write(keys[0]) })
  t.match(both.stderr, /TICKETGATE_ADMIN_KEY: TICKETGATE_ADMIN_KEY_FILE is set too/)
})

t.test('the Redis URL, which contains a password, can be in a file', needs('redis-server'), async t => {
  const redis = await startRedis(t)
  const file = join(temporaryDirectory(t), 'redis-url')
  writeFileSync(file, `${redis.url}\n`, { mode: 0o644 })
  const server = await startServer(t, { env: { TICKETGATE_REDIS_URL_FILE: file } })
  t.match((await request(server.url, '/readyz')).status, 200)
  await server.logged('Redis carries messages between the nodes')
  await server.logged('other users can access this file with secrets')
})
