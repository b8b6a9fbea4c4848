import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import WebSocket from 'ws'
import { type ConnectOptions, connect, GateError } from '../../src/client/index.js'
import { optionsTable } from '../../src/config/help.js'
import { refusalCodes, statusOf } from '../../src/errors.js'
import { createCounters, createMetrics } from '../../src/telemetry/metrics.js'
import { first, htmlPage, startFront } from '../support/front.js'
import { type Json, knock, request } from '../support/http.js'
import { development, jwtSecret, startServer, temporaryDirectory } from '../support/server.js'
import { enter, socketUrl } from '../support/tclient.js'
import { gatePath, mint, mintWith, tokenFor } from '../support/tokens.js'
import { between, codeBlocks, rowsOf, tableUnder } from './markdown.js'

const root = new URL('../../', import.meta.url)
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8')
const readme = read('README.md')
const [browserSnippet = '', clientSnippet = '', embedSnippet = ''] = codeBlocks(readme, 'js')

t.equal(between(readme, 'options'), optionsTable(), 'the table of options is the one that the schema gives')

t.test('every error code is in the table, in order, with its status and what it means', async t => {
  const rows = rowsOf(between(readme, 'errors'))
  t.strictSame(
    rows.map(([code, status]) => `${code} ${status}`),
    refusalCodes.map(code => `\`${code}\` ${statusOf(code)}`),
  )
  t.strictSame(
    rows.filter(cells => cells.length !== 3 || (cells[2] ?? '').length < 10),
    [],
  )
})

t.test('every metric is in the table', async t => {
  // Of a gate that has all that there is to measure.
  const text = await createMetrics({
    replay: { size: 0, highWater: 0, capacity: 1 },
    bus: { isUp: true, dropped: 0, lost: 0 },
    store: { state: { is: 'ready' } },
    snapshot: async () => ({ counters: createCounters(), connections: 0, loginsPending: 0 }),
  }).render()
  const served = [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name)
  const listed = tableUnder(readme, '### Metrics').flatMap(([names = '']) =>
    [...names.matchAll(/`(\w+)/g)].map(([, name]) => name),
  )
  t.strictSame(listed.sort(), served.sort())
})

t.test('links within the repository lead somewhere', async t => {
  for (const page of [
    'README.md',
    'CHANGELOG.md',
    'docs/redis.md',
    'src/ticket/FORMAT.md',
    'src/socket/PROTOCOL.md',
    'src/replay/EXACTNESS.md',
  ]) {
    const text = read(page)
    for (const [, target = ''] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (target.startsWith('https://')) continue
      const url = new URL(target, new URL(page, root))
      const anchor = url.hash.slice(1)
      url.hash = ''
      t.ok(existsSync(url), `${page}: ${target}`)
      if (anchor !== '') t.ok(anchorsOf(readFileSync(url, 'utf8')).has(anchor), `${page}: ${target}`)
    }
  }
})

/** The anchors of headings, as GitHub makes them. */
const anchorsOf = (markdown: string): Set<string> =>
  new Set(
    [...markdown.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
      heading
        .toLowerCase()
        .replace(/[^\w\- ]/g, '')
        .replaceAll(' ', '-'),
    ),
  )

t.test('the snippet for pages works', async t => {
  const password = 'of the demo user'
  const server = await startServer(t, { env: development, users: { maggie: password } })
  const code = browserSnippet
    .replace('http://127.0.0.1:8080', server.url)
    .replace('the password that npm start printed', password)
  t.equal(browserSnippet.split('\n').length, 10, 'in ten lines')
  const heard: Json[] = []
  let wake = (): void => {}
  const console = {
    log(message: Json) {
      heard.push(message)
      wake()
    },
  }
  const run = new Function(
    'fetch',
    'WebSocket',
    'console',
    `return (async () => { ${code}; return socket })()`,
  )
  const socket: WebSocket = await run(fetch, WebSocket, console)
  const until = async (count: number): Promise<void> => {
    while (heard.length < count)
      await new Promise<void>(resolve => {
        wake = resolve
      })
  }
  await until(1)
  t.match(heard[0], { type: 'welcome', user: 'maggie', channel: 'lobby' })
  // In development the secret is random, so the other user logs in as well.
  const login = await request(server.url, '/auth', {
    headers: { authorization: `Basic ${Buffer.from(`maggie:${password}`).toString('base64')}` },
  })
  const { ticket } = await mintWith(server.url, (JSON.parse(login.text) as { token: string }).token)
  const { client } = await enter(socketUrl(server.url, gatePath(ticket, 'lobby')))
  client.send({ type: 'publish', data: 'hello page' })
  await until(2)
  t.strictSame(heard[1], { type: 'message', channel: 'lobby', data: 'hello page', user: 'maggie' })
  await client.close()
  socket.terminate()
})

t.test('the snippet for the client works', async t => {
  const server = await startServer(t)
  const code = clientSnippet
    .replace(/^import .*\n/, '')
    .replace('https://gate.example.com', server.url)
    .replace('/my/own/token', `data:application/json,${JSON.stringify({ token: tokenFor('maggie') })}`)
  const peer = (await enter(socketUrl(server.url, gatePath(await mint(server.url, 'theo'), 'lobby')))).client
  const heard = new Promise<unknown[]>(resolve => {
    const console = { log: (...words: unknown[]) => resolve(words) }
    const opened = (options: ConnectOptions) => {
      const gate = connect({ WebSocket, ...options })
      t.teardown(() => gate.close())
      return gate
    }
    runSnippet(code, { connect: opened, console })
  })
  t.match(await peer.next(), { channel: 'lobby', data: { text: 'hello' }, user: 'maggie' })
  const other = (await enter(socketUrl(server.url, gatePath(await mint(server.url, 'theo'), 'other')))).client
  await other.ask({ type: 'publish', channel: 'news', data: 1, id: 1 })
  t.strictSame(await heard, ['news', 'theo', 1])
  await peer.close()
  await other.close()
})

const runSnippet = (code: string, scope: Json): void =>
  new Function(...Object.keys({ GateError, ...scope }), `return (async () => { ${code} })()`)(
    ...Object.values({ GateError, ...scope }),
  )

t.test('a back end that wants a login ends what the snippet opens; one that is broken does not', async t => {
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
    const said = await new Promise(resolve => {
      const opened = (options: ConnectOptions) => {
        const gate = connect({ WebSocket, ...options })
        t.teardown(() => gate.close())
        return gate
      }
      runSnippet(code, { connect: opened, console: { log: resolve } })
    })
    t.match(said, expected)
  }
})

t.test('the snippet for embedding works: it listens, serves, and ends on SIGTERM', async t => {
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
    const { client, welcome } = await enter(socketUrl(url, gatePath(ticket, 'game')), { origin })
    t.equal(welcome.user, user, 'the origin it was given may connect')
    t.strictSame((await client.next()).data, { hello: user }, 'onConnect and authorize')
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
  t.equal((await knock(url, gatePath(ticket, 'closed'))).status, 403)
  child.kill('SIGTERM')
  t.equal((await client.closed).code, 1012)
  t.strictSame(await exited, { code: 0, signal: null })
})
