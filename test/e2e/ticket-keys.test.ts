import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { outcomeOf } from '../support/http.js'
import { createMinter, type Minter } from '../support/minter.js'
import { requestUpgradeUntilAnswered } from '../support/nodes.js'
import { run, startServer, type TestServer, temporaryDirectory } from '../support/server.js'
import { openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, mint } from '../support/tokens.js'

const skewSeconds = 60

/** Dated as far ahead as a minter's clock may be, so that it never predates a gate just started. */
const ahead = () => ({ issuedAtMs: Date.now() + skewSeconds * 1000 })

const present = async (server: TestServer, ticket: string): Promise<string> =>
  outcomeOf(await requestUpgradeUntilAnswered(server.url, gatePath(ticket)))

t.test('`ticketgate key new` generates a key that the server accepts', async t => {
  const [one, other, nine] = await Promise.all([
    run(['key', 'new'], {}),
    run(['key', 'new'], {}),
    run(['key', 'new', '--id', '9'], {}),
  ])
  t.match(one.stdout, /^1:[A-Za-z0-9_-]{43}\n$/)
  t.match(nine.stdout, /^9:/)
  t.not(one.stdout, other.stdout)
  for (const args of [
    ['new', '--id', '0'],
    ['new', '--id', '256'],
    ['new', '--id'],
    ['new', 'x'],
    ['old'],
    [],
  ])
    t.equal((await run(['key', ...args], {})).code, 2, args.join(' '))
  for (const args of [['--help'], ['new', '--help'], ['new', '-h']]) {
    const { code, stdout } = await run(['key', ...args], {})
    t.equal(code, 0, args.join(' '))
    t.match(stdout, /^Usage: ticketgate key new/)
  }
  const secret = Buffer.from(nine.stdout.trim().slice(2), 'base64url')
  const server = await startServer(t, {
    env: {
      TICKETGATE_NODE: 'gate-1',
      TICKETGATE_TICKET_KEYS: `${one.stdout.trim()},${nine.stdout.trim()}`,
      TICKETGATE_CLOCK_SKEW_SECONDS: String(skewSeconds),
    },
  })
  t.equal(await present(server, createMinter(9, secret).mint('gate-1', ahead())), '101')
})

const fileEnv = (file: string, threads: string) => ({
  TICKETGATE_NODE: 'gate-1',
  TICKETGATE_TICKET_KEYS_FILE: file,
  TICKETGATE_CLOCK_SKEW_SECONDS: String(skewSeconds),
  TICKETGATE_THREADS: threads,
})

/**
 * Presents fresh tickets of a minter until all threads give this answer: each thread reads the file
 * by itself.
 */
async function until(server: TestServer, minter: Minter, expected: string): Promise<void> {
  for (let inARow = 0; inARow < 20; )
    inARow = (await present(server, minter.mint('gate-1', ahead()))) === expected ? inARow + 1 : 0
}

for (const threads of ['1', '2'])
  t.test(`changing keys while the server runs drops no socket, threads: ${threads}`, async t => {
    const [old, next, last] = [createMinter(1), createMinter(2), createMinter(3)]
    const file = join(temporaryDirectory(t), 'ticket.keys')
    const replace = (text: string): void => {
      writeFileSync(`${file}.new`, text)
      renameSync(`${file}.new`, file)
    }
    replace(`${old.key}\n`)
    const server = await startServer(t, { env: fileEnv(file, threads) })
    const path = gatePath(old.mint('gate-1', ahead()))
    const { client } = await openSession(socketUrl(server.url, path))
    t.equal(
      await present(server, next.mint('gate-1', ahead())),
      '401 ticket_invalid',
      'an unknown key is refused',
    )

    replace(`${old.key}\n${next.key}\n`)
    await until(server, next, '101')
    t.pass('the changed file is read')
    t.equal(await present(server, old.mint('gate-1', ahead())), '101', 'the old key is still valid')

    replace(`${old.key}\n${next.key}!\n`)
    server.signal('SIGHUP')
    await server.logged('the ticket keys are broken')
    t.equal(await present(server, next.mint('gate-1', ahead())), '101', 'a broken file changes nothing')
    t.notOk(server.output().includes(next.key.slice(2)), 'no key is in the log')

    replace(`${last.key}\n`)
    server.signal('SIGHUP')
    await until(server, last, '101')
    await until(server, old, '401 ticket_invalid')
    t.equal(
      await present(server, await mint(server.url)),
      '101',
      'the gate’s own tickets do not depend on the file',
    )
    t.match(
      await client.ask({ type: 'ping', id: 'still here' }),
      { type: 'pong' },
      'a socket opened with the old key stays open',
    )
    await client.close()
  })
