import { spawn } from 'node:child_process'
import { readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import t, { type Test } from 'tap'
import { mainFile } from '../support/built.js'
import { request } from '../support/http.js'
import { plain } from '../support/plain.js'
import { fileNeeds } from '../support/programs.js'
import { temporaryDirectory } from '../support/server.js'
import { codeBlocks, pages, readPage } from './markdown.js'

fileNeeds(t, 'bash', 'openssl')

const documents = pages.map(readPage)

/** The one block of shell that has this in it. */
function blockWith(text: string): string {
  const found = documents
    .flatMap(document => codeBlocks(document, 'sh'))
    .filter(block => block.includes(text))
  if (found.length !== 1) throw new Error(`${found.length} blocks with ${text}`)
  return found[0] ?? ''
}

/** A directory with what `npm run build` leaves. */
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

/** Runs a script in a shell that knows nothing of ours; resolves with all it printed. */
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

t.test('the recipe for production starts one, and leaves the shell as it was', async t => {
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
  t.match(printed, /^left: \[\]$/m, 'the next npm ci installs what the build needs')
  t.equal(statSync(join(directory, 'ticketgate.env')).mode & 0o777, 0o600)
})

t.test('the file of unrouted nodes starts nodes in production, wherever it is used', async t => {
  const directory = checkout(t)
  const script = blockWith('> gates.env')
  t.match(script, /^NODE_ENV=production$/m)
  await inShell(t, directory, script, async () => {})
  const text = readFileSync(join(directory, 'gates.env'), 'utf8')
  t.notMatch(text, /["'$]/, 'docker takes quotes literally, and replaces nothing')
  t.match(text, /^TICKETGATE_TICKET_KEYS=1:[\w-]{43}$/m)
  t.equal(statSync(join(directory, 'gates.env')).mode & 0o777, 0o600)
  // Without Redis, which is elsewhere.
  const alone = text.replace(/^TICKETGATE_(REPLAY|REDIS_URL)=.*\n/gm, '') + anyPorts
  writeFileSync(join(directory, 'gates.env'), `${alone}TICKETGATE_NODE=one\n`)
  const serve = 'node --env-file=gates.env dist/main.js serve'
  t.ok(documents.some(document => document.includes(`\`${serve}\``)))
  await inShell(t, directory, serve, async line => void t.equal(line.production, true))
})

t.test('no command of a document relies on a name that npx would fetch', async t => {
  for (const document of documents)
    for (const [line] of document.matchAll(/^.*\bnpx ticketgate\b.*$/gm)) t.fail(line)
})
