import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import WebSocket from 'ws'
import { type ConnectOptions, connect, GateError } from '../../src/client/index.js'
import { first, htmlPage, startFront } from '../support/front.js'
import { type Json, requestUpgrade } from '../support/http.js'
import { development, jwtSecret, startServer, temporaryDirectory } from '../support/server.js'
import { openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, mint, mintWith, tokenFor } from '../support/tokens.js'
import { codeBlocks, readPage } from './markdown.js'

const root = new URL('../../', import.meta.url)
const firstBlock = (page: string): string => codeBlocks(readPage(page), 'js')[0] ?? ''
const browserSnippet = firstBlock('README.md')
const clientSnippet = firstBlock('docs/browser-client.md')
const embedSnippet = firstBlock('docs/embedding.md')

t.test('the snippet for pages works in two tabs', async t => {
  const password = 'of the demo user'
  const server = await startServer(t, { env: development, users: { maggie: password } })
  t.match(browserSnippet, 'http://127.0.0.1:8080')
  const code = browserSnippet.replace('http://127.0.0.1:8080', server.url)
  const right = code.replace('the password that npm start printed', password)
  const first = await runPage(t, right)
  t.match(await first.next(), { type: 'welcome', user: 'maggie', channel: 'lobby' })
  const second = await runPage(t, right)
  t.match(await second.next(), { type: 'welcome' })
  t.strictSame(await first.next(), { type: 'message', channel: 'lobby', data: 'hello', user: 'maggie' })
  second.socket.close(1000, 'enough')
  t.equal(await second.next(), 'closed: 1000 enough')
  await t.rejects(runPage(t, code), { message: /^bad_credentials: / })
})

/** Runs the snippet as in a page. `next` resolves with the next value that it logs. */
async function runPage(t: Test, code: string) {
  const logged: unknown[] = []
  const waiting: ((message: unknown) => void)[] = []
  const console = {
    log(message: unknown) {
      const wake = waiting.shift()
      if (wake === undefined) logged.push(message)
      else wake(message)
    },
  }
  const run = new Function(
    'fetch',
    'WebSocket',
    'console',
    `return (async () => { ${code}; return socket })()`,
  )
  const socket: WebSocket = await run(fetch, WebSocket, console)
  t.teardown(() => socket.terminate())
  const next = async (): Promise<unknown> =>
    logged.length > 0 ? logged.shift() : new Promise(resolve => waiting.push(resolve))
  return { socket, next }
}

t.test('the snippet for the client works', async t => {
  const server = await startServer(t)
  const code = clientSnippet
    .replace(/^import .*\n/, '')
    .replace('https://gate.example.com', server.url)
    .replace('/my/own/token', `data:application/json,${JSON.stringify({ token: tokenFor('maggie') })}`)
  const peer = (await openSession(socketUrl(server.url, gatePath(await mint(server.url, 'theo'), 'lobby'))))
    .client
  const logged = new Promise<unknown[]>(resolve => {
    const console = { log: (...words: unknown[]) => resolve(words) }
    const opened = (options: ConnectOptions) => {
      const gate = connect({ WebSocket, ...options })
      t.teardown(() => gate.close())
      return gate
    }
    runSnippet(code, { connect: opened, console })
  })
  t.match(await peer.next(), { channel: 'lobby', data: { text: 'hello' }, user: 'maggie' })
  const other = (await openSession(socketUrl(server.url, gatePath(await mint(server.url, 'theo'), 'other'))))
    .client
  await other.ask({ type: 'publish', channel: 'news', data: 1, id: 1 })
  t.strictSame(await logged, ['news', 'theo', 1])
  await peer.close()
  await other.close()
})

const runSnippet = (code: string, scope: Json): void =>
  new Function(...Object.keys({ GateError, ...scope }), `return (async () => { ${code} })()`)(
    ...Object.values({ GateError, ...scope }),
  )

t.test(
  'the snippet gives up if its back end requires a login, and retries if the back end is broken',
  async t => {
    for (const [status, expected] of [
      [401, 'closed for good: logged_out'],
      [500, /^token_unavailable, again in /],
    ] as const) {
      const server = await startServer(t)
      const front = await startFront(t, server.url, first(1, '/my/own/token', htmlPage(status)))
      const code = clientSnippet
        .replace(/^import .*\n/, '')
        .replace(/await gate\.subscribe[\s\S]*/, '')
        .replace('https://gate.example.com', front.url)
        .replace('/my/own/token', `${front.url}/my/own/token`)
      const logged = await new Promise(resolve => {
        const opened = (options: ConnectOptions) => {
          const gate = connect({ WebSocket, ...options })
          t.teardown(() => gate.close())
          return gate
        }
        runSnippet(code, { connect: opened, console: { log: resolve } })
      })
      t.match(logged, expected)
    }
  },
)

t.test('the snippet for embedding works: it listens, serves, and shuts down on SIGTERM', async t => {
  const child = spawn(process.execPath, ['--input-type=module', '--eval', embedSnippet], {
    cwd: fileURLToPath(root),
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      PATH: process.env.PATH,
      TICKETGATE_PORT: '0',
      TICKETGATE_ADMIN_PORT: '0',
      TICKETGATE_DRAIN_SECONDS: '5',
      TICKETGATE_JWT_SECRET: jwtSecret,
      TICKETGATE_STATE_DIR: temporaryDirectory(t),
    },
  })
  t.teardown(() => child.kill('SIGKILL'))
  const exited = new Promise(resolve => child.once('exit', (code, signal) => resolve({ code, signal })))
  const url = await new Promise<string>((resolve, reject) => {
    exited.then(() => reject(new Error('it ended before it listened')))
    createInterface({ input: child.stdout }).on('line', line => {
      const found = /^listening on (http:\S+)$/.exec(line)?.[1]
      if (found !== undefined) resolve(found)
    })
  })
  t.ok(embedSnippet.split('\n').length < 30)
  const join = async (user: string) => {
    const { ticket } = await mintWith(url, tokenFor(user))
    const origin = 'https://app.example.com'
    const { client, welcome } = await openSession(socketUrl(url, gatePath(ticket, 'game')), { origin })
    t.equal(welcome.user, user, 'pages of the configured origin may connect')
    t.strictSame((await client.next()).data, { hello: user }, 'onConnect sends the data from authorize')
    return client
  }
  const [client, other] = [await join('maggie'), await join('theo')]
  client.send({ type: 'publish', data: 'e2e4' })
  t.strictSame(await other.next(), {
    type: 'message',
    channel: 'game',
    data: { move: 1, data: 'e2e4' },
    user: 'maggie',
  })
  await other.close()
  t.strictSame(await client.next(), { type: 'message', channel: 'game', data: { gone: 'theo' } })
  const { ticket } = await mintWith(url, tokenFor('maggie'))
  t.equal((await requestUpgrade(url, gatePath(ticket, 'closed'))).status, 403)
  child.kill('SIGTERM')
  t.equal((await client.closed).code, 1012)
  t.strictSame(await exited, { code: 0, signal: null })
})
