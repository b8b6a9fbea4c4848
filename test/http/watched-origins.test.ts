import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { outcomeOf, requestUpgrade } from '../support/http.js'
import { runServe, startServer, type TestServer, temporaryDirectory } from '../support/server.js'
import { openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, mint } from '../support/tokens.js'

const [first, second] = ['https://one.example.com', 'https://two.example.com'] as const

const enter = async ({ url }: TestServer, origin: string): Promise<string> =>
  outcomeOf(await requestUpgrade(url, gatePath(await mint(url)), { headers: { origin } }))

/** Retries until all threads reply the same, since each reads the file by itself. */
async function until(server: TestServer, origin: string, expected: string): Promise<void> {
  for (let inARow = 0; inARow < 20; ) inARow = (await enter(server, origin)) === expected ? inARow + 1 : 0
}

for (const threads of ['1', '2'])
  t.test(`origins change without a restart (threads: ${threads})`, async t => {
    const file = join(temporaryDirectory(t), 'origins')
    const replace = (text: string): void => {
      writeFileSync(`${file}.new`, text)
      renameSync(`${file}.new`, file)
    }
    replace(`# the first\n${first} # alone\n\n`)
    const server = await startServer(t, {
      env: {
        TICKETGATE_ORIGINS: undefined,
        TICKETGATE_ORIGINS_FILE: file,
        TICKETGATE_THREADS: threads,
      },
    })
    t.equal(await enter(server, first), '101')
    t.equal(await enter(server, second), '403 origin_forbidden')
    const { client } = await openSession(socketUrl(server.url, gatePath(await mint(server.url))), {
      origin: first,
    })
    replace(`${first},${second}`)
    await until(server, second, '101')
    t.equal(await enter(server, first), '101')

    for (const [index, broken] of ['', 'https://One.example.com/'].entries()) {
      replace(broken)
      server.signal('SIGHUP')
      await server.logged('the file of origins is broken', index + 1)
      t.equal(await enter(server, second), '101', 'a broken file changes nothing')
    }
    replace(`${second}\n`)
    server.signal('SIGHUP')
    await until(server, first, '403 origin_forbidden')
    t.equal(await enter(server, second), '101')
    t.match(await client.ask({ type: 'ping' }), { type: 'pong' }, 'an open socket stays open')
  })

t.test('a file without valid origins stops the start', async t => {
  const file = join(temporaryDirectory(t), 'origins')
  writeFileSync(file, '# nothing\n')
  const env = { TICKETGATE_ORIGINS: undefined, TICKETGATE_ORIGINS_FILE: file }
  t.match(await runServe(t, env), { code: 1, stderr: /TICKETGATE_ORIGINS_FILE: .* has no origins/ })
  writeFileSync(file, 'https://one.example.com/path\n')
  t.match(await runServe(t, env), { code: 1, stderr: /TICKETGATE_ORIGINS_FILE: .*write https:\/\/one/ })
})
