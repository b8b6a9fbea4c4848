import { spawn } from 'node:child_process'
import { readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import t, { type Test } from 'tap'
import { resolveConfig } from '../../src/config/resolve.js'
import { mainFile } from '../support/built.js'
import { request } from '../support/http.js'
import { plain } from '../support/plain.js'
import { fileNeeds, needs } from '../support/programs.js'
import { adminKey, jwtSecret, startServer, temporaryDirectory } from '../support/server.js'
import { openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, mint } from '../support/tokens.js'
import { codeBlocks, pages, readPage } from './markdown.js'

fileNeeds(t, 'bash', 'openssl')

const documents = pages.map(readPage)

/** The only shell block of all documents that contains this text. */
function blockWith(text: string): string {
  const found = documents
    .flatMap(document => codeBlocks(document, 'sh'))
    .filter(block => block.includes(text))
  if (found.length !== 1) throw new Error(`${found.length} shell blocks contain ${text}`)
  return found[0] ?? ''
}

/** The first shell block of a page. */
const firstOf = (page: string): string => codeBlocks(readPage(page), 'sh')[0] ?? ''

/** A directory with the output of `npm run build`, and a file with a password. */
function checkout(t: Test): string {
  const directory = temporaryDirectory(t)
  symlinkSync(join(mainFile, '..'), join(directory, 'dist'))
  writeFileSync(join(directory, 'password.txt'), 'correct horse battery\n')
  return directory
}

const anyPorts = 'TICKETGATE_PORT=0\nTICKETGATE_ADMIN_PORT=0\n'

interface Listening {
  readonly pid: number
  readonly url: string
  readonly production: boolean
}

/** Runs a script in a shell without our environment. Resolves with its output. */
async function inShell(
  t: Test,
  cwd: string,
  script: string,
  whileListening: (line: Listening) => Promise<void>,
) {
  const env = { PATH: process.env.PATH, HOME: cwd }
  const child = spawn(...plain('bash', ['-euc', script]), { cwd, env, stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  const lines: string[] = []
  for await (const line of createInterface(child.stdout)) {
    lines.push(line)
    if (!line.includes('"msg":"listening"')) continue
    const listening: Listening = JSON.parse(line)
    await whileListening(listening)
    process.kill(listening.pid, 'SIGTERM')
  }
  return lines.join('\n')
}

t.test('the documented commands for production start a gate, and do not change the shell', async t => {
  const directory = checkout(t)
  const script = blockWith('> ticketgate.env')
    .replace('npm ci && npm run build\n', '')
    .replace(/^END$/m, `${anyPorts}END`)
    .replace(/(user add maggie)$/m, '$1 --password-stdin < password.txt')
  t.match(script, anyPorts)
  t.match(script, '--password-stdin')
  const printed = await inShell(t, directory, `${script}\necho "left: [\${NODE_ENV-}]"`, async line => {
    t.equal(line.production, true)
    t.equal((await request(line.url, '/')).status, 404, 'no console')
    const headers = { authorization: `Basic ${btoa('maggie:correct horse battery')}` }
    t.equal((await request(line.url, '/auth', { headers })).status, 200)
  })
  t.match(printed, /^left: \[\]$/m, 'NODE_ENV stays unset, or npm ci would skip what the build needs')
  t.equal(statSync(join(directory, 'ticketgate.env')).mode & 0o777, 0o600)
})

t.test('the environment file of unrouted nodes starts a node in production, without quotes', async t => {
  const directory = checkout(t)
  const script = blockWith('> gates.env')
  t.match(script, /^NODE_ENV=production$/m)
  await inShell(t, directory, script, async () => {})
  const text = readFileSync(join(directory, 'gates.env'), 'utf8')
  t.notMatch(text, /["'$]/, 'docker keeps quotes, and expands no variables')
  t.match(text, /^TICKETGATE_TICKET_KEYS=1:[\w-]{43}$/m)
  t.equal(statSync(join(directory, 'gates.env')).mode & 0o777, 0o600)
  // Without Redis: its address in the file does not exist here.
  const alone = text.replace(/^TICKETGATE_(REPLAY|REDIS_URL)=.*\n/gm, '') + anyPorts
  writeFileSync(join(directory, 'gates.env'), `${alone}TICKETGATE_NODE=one\n`)
  const serve = 'node --env-file=gates.env dist/main.js serve'
  t.ok(documents.some(document => document.includes(`\`${serve}\``)))
  await inShell(t, directory, serve, async line => void t.equal(line.production, true))
})

t.test('the login commands work as documented', async t => {
  const directory = checkout(t)
  const script = firstOf('docs/users.md')
    .replace(/^(.*user add anna).*$/m, '$1 --password-stdin < password.txt')
    .replace(/^(.*user passwd anna)$/m, '$1 --password-stdin < password.txt')
  t.equal(script.match(/--password-stdin < password\.txt/g)?.length, 3)
  const printed = await inShell(t, directory, script, async () => {})
  const [, listed = ''] = /^(bob.*)$/m.exec(printed) ?? []
  t.match(listed, 'chat.*')
  t.notMatch(printed.slice(printed.indexOf(listed)), 'anna', 'she was removed')
  const another = firstOf('docs/getting-started.md').replace(/ *#.*$/m, ' --password-stdin < password.txt')
  t.match(
    await inShell(t, checkout(t), `${another}\nnode dist/main.js user list`, async () => {}),
    /^theo\b/m,
  )
})

t.test('a gate starts with a key for minters', async t => {
  const directory = checkout(t)
  const script = firstOf('docs/minting.md')
  const serve = `env ${anyPorts.replaceAll('\n', ' ')} node dist/main.js serve`
  await inShell(t, directory, `${script}\n${serve}`, async line => {
    t.equal((await request(line.url, '/readyz')).status, 200)
  })
  t.match(readFileSync(join(directory, 'ticket.keys'), 'utf8'), /^1:[\w-]{43}\n$/)
  t.equal(statSync(join(directory, 'ticket.keys')).mode & 0o777, 0o600)
})

t.test('the curl commands publish, get a ticket, list sockets and check a ticket', needs('curl'), async t => {
  const server = await startServer(t, { env: { TICKETGATE_ADMIN_KEY: adminKey } })
  const { client } = await openSession(
    socketUrl(server.url, gatePath(await mint(server.url, 'maggie'), 'lobby')),
  )
  const publish = firstOf('docs/http-api.md').replace('127.0.0.1:8081', server.admin)
  const script = `TICKETGATE_ADMIN_KEY=${adminKey}\n${publish}`
  t.equal(await inShell(t, '/', script, async () => {}), '{"delivered":1}')
  t.strictSame(await client.next(), { type: 'message', channel: 'lobby', data: { text: 'hello' } })
  await client.close()
  const take = firstOf('docs/back-end.md').replace('127.0.0.1:8081', server.admin)
  const taken = await inShell(t, '/', `TICKETGATE_ADMIN_KEY=${adminKey}\n${take}`, async () => {})
  const path = gatePath(JSON.parse(taken).ticket, 'lobby')
  t.match((await openSession(socketUrl(server.url, path))).welcome, { user: 'maggie', channel: 'lobby' })
  const list = (codeBlocks(readPage('docs/back-end.md'), 'sh')[1] ?? '').replace(
    '127.0.0.1:8081',
    server.admin,
  )
  const listed = await inShell(t, '/', `TICKETGATE_ADMIN_KEY=${adminKey}\n${list}`, async () => {})
  t.match(JSON.parse(listed), { connections: [{ user: 'maggie', channel: 'lobby' }] })
  const ask = firstOf('docs/troubleshooting.md')
    .replace('127.0.0.1:8080', server.url)
    .replace('"ticket":"…"', `"ticket":"${await mint(server.url, 'maggie')}"`)
  t.equal(await inShell(t, '/', ask, async () => {}), '{"state":"live"}')
})

t.test('the settings for identity providers are valid', async t => {
  const directory = temporaryDirectory(t)
  const exported = firstOf('docs/identity.md')
  const env = Object.fromEntries(
    [...exported.matchAll(/(TICKETGATE_\w+)=(?:'([^']*)'|(\S+))/g)].map(([, name, quoted, bare]) => [
      name,
      quoted ?? bare,
    ]),
  )
  t.equal(Object.keys(env).length, 4)
  const base = { NODE_ENV: 'production', TICKETGATE_ADMIN_KEY: adminKey, TICKETGATE_STATE_DIR: directory }
  t.equal(resolveConfig({ env: { ...base, ...env } }).issuers.length, 1)
  for (const name of ['new', 'old']) writeFileSync(join(directory, name), `${name}-${jwtSecret}`)
  const files = ['identity', 'ticket-claims', 'logout'].map(
    page => codeBlocks(readPage(`docs/${page}.md`), 'yaml')[0],
  )
  const counts = files.map((file = '') => {
    writeFileSync(join(directory, 'issuers.yaml'), file.replaceAll('/run/secrets', directory))
    const issuers = { TICKETGATE_ISSUERS_FILE: join(directory, 'issuers.yaml') }
    return resolveConfig({ env: { ...base, ...issuers } }).issuers.length
  })
  t.strictSame(counts, [3, 1, 1])
})

t.test('no documented command lets npx download a package', async t => {
  for (const document of documents)
    for (const [line] of document.matchAll(/^.*\bnpx (?!--no-install ).*$/gm)) t.fail(line)
})
