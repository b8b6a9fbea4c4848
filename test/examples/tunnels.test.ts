import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { createClient } from 'graphql-ws'
import { NodeWebSocket as EngineSocket, io } from 'socket.io-client'
import t, { type Test } from 'tap'
import WebSocket from 'ws'
import { WebsocketProvider } from 'y-websocket'
import * as Y from 'yjs'
import { createTicketSource, type HandledSocketClass, ticketedWebSocket } from '../../src/client/index.js'
import { codeBlocks } from '../docs/markdown.js'
import { goCache } from '../support/go-cache.js'
import { bearer, postJson } from '../support/http.js'
import { needs, pathOf } from '../support/programs.js'
import {
  adminKey,
  allowedOrigin,
  startServer,
  type TestServer,
  temporaryDirectory,
} from '../support/server.js'
import { socketUrl } from '../support/socket-client.js'
import { mint, nowSeconds, tokenFor, untilSecond } from '../support/tokens.js'
import { openThrough } from '../support/tunnel.js'

const directory = fileURLToPath(new URL('../../examples/tunnels', import.meta.url))
const [, settings = ''] = codeBlocks(readFileSync(join(directory, 'README.md'), 'utf8'), 'sh')

/** The value that the README gives a variable. */
const settingOf = (name: string): string => new RegExp(`${name}='([^']*)'`).exec(settings)?.[1] ?? ''

/** Starts a server of the examples on a free port, and the gate of the README in front of it. */
async function start(t: Test, readmePort: number, command: string, ...args: string[]): Promise<TestServer> {
  // daphne logs to standard error.
  const child = spawn('sh', ['-c', 'exec "$0" "$@" 2>&1', command, ...args], {
    cwd: directory,
    env: { PATH: process.env.PATH, PORT: '0', PYTHONDONTWRITEBYTECODE: '1' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  const port = await portIn(createInterface(child.stdout))
  const tunnels = settingOf('TICKETGATE_TUNNELS')
  if (!tunnels.includes(`:${readmePort}/`)) throw new Error(`the README has no port ${readmePort}`)
  return startServer(t, {
    env: {
      TICKETGATE_TUNNELS: tunnels.replace(`:${readmePort}/`, `:${port}/`),
      TICKETGATE_TUNNEL_HEADERS: settingOf('TICKETGATE_TUNNEL_HEADERS'),
    },
  })
}

/** The port in a server's log line about listening. */
async function portIn(lines: AsyncIterable<string>): Promise<string> {
  const seen: string[] = []
  for await (const line of lines) {
    const port = /\blistening on (?:TCP address [\d.]+:)?(\d+)$/i.exec(line)?.[1]
    if (port !== undefined) return port
    seen.push(line)
  }
  throw new Error(`no port: ${seen.join('\n')}`)
}

const node = (t: Test, readmePort: number, file: string) => start(t, readmePort, process.execPath, file)

/** Tokens issued in the second of a revocation are revoked as well. */
let revokedUntilSeconds = 0

/** A source of tickets for the user, each for a new token. */
const sourceFor = (gate: TestServer, path = '', user = 'maggie') =>
  createTicketSource({
    url: gate.url,
    socketUrl: socketUrl(gate.url, path),
    async getToken() {
      await untilSecond(revokedUntilSeconds + 1)
      return tokenFor(user)
    },
  })

const disconnect = ({ admin }: TestServer, user = 'maggie') => {
  revokedUntilSeconds = nowSeconds() + 1
  return postJson(admin, '/disconnect', { user }, { headers: bearer(adminKey) })
}

const when = <Event>(listen: (heard: (event: Event) => void) => void): Promise<Event> => new Promise(listen)

t.test('Socket.IO reconnects with a new ticket', async t => {
  const gate = await node(t, 3001, 'socket-io.js')
  const source = sourceFor(gate)
  class TicketTransport extends EngineSocket {
    override doOpen(): this {
      source.ticket().then(
        ticket => {
          this.query.ticket = ticket
          super.doOpen()
        },
        error => this.onError('no ticket', error),
      )
      return this
    }
  }
  const socket = io(gate.url, {
    transports: [TicketTransport as never],
    forceNew: true,
    reconnectionDelay: 10,
    reconnectionDelayMax: 100,
  })
  t.teardown(() => socket.close())
  const connected = () => when<void>(heard => socket.once('connect', heard))
  const said = () => when<unknown>(heard => socket.once('said', heard))
  await connected()
  let heard = said()
  socket.emit('say', 'hello')
  t.strictSame(await heard, { user: 'maggie', text: 'hello' })
  const again = connected()
  await disconnect(gate)
  await again
  heard = said()
  socket.emit('say', 'back')
  t.strictSame(await heard, { user: 'maggie', text: 'back' }, 'the new connection works')
})

t.test('graphql-ws reconnects with a new ticket', async t => {
  const gate = await node(t, 3002, 'graphql.js')
  const source = sourceFor(gate, '/graphql')
  const client = createClient({
    url: () => source.url(),
    webSocketImpl: WebSocket,
    lazy: false,
    retryAttempts: Number.POSITIVE_INFINITY,
    retryWait: async () => {},
    shouldRetry: () => true,
  })
  t.teardown(() => client.dispose())
  const connected = () => when<void>(heard => client.on('connected', () => heard()))
  const ask = async () => {
    for await (const result of client.iterate({ query: '{ user }' })) return result.data
    return undefined
  }
  await connected()
  t.strictSame({ ...(await ask()) }, { user: 'maggie' })
  const again = connected()
  await disconnect(gate)
  await again
  t.strictSame({ ...(await ask()) }, { user: 'maggie' })
})

t.test('y-websocket reconnects with a new ticket', async t => {
  const gate = await node(t, 3003, 'yjs.js')
  const visit = (user: string) => {
    const doc = new Y.Doc()
    const provider = new WebsocketProvider(socketUrl(gate.url, '/docs'), 'plan', doc, {
      WebSocketPolyfill: ticketedWebSocket(
        sourceFor(gate, '', user),
        WebSocket as unknown as HandledSocketClass,
      ) as never,
      disableBc: true,
      // By default y-websocket does not reconnect after any code from 4400 to 4499, even 4401.
      shouldReconnect: () => true,
    })
    t.teardown(() => {
      provider.destroy()
      doc.destroy()
    })
    const connected = () =>
      when<void>(heard =>
        provider.on('status', ({ status }: { status: string }) => {
          if (status === 'connected') heard()
        }),
      )
    return { text: doc.getText('text'), connected }
  }
  const [maggie, theo] = [visit('maggie'), visit('theo')]
  await Promise.all([maggie.connected(), theo.connected()])
  const seen = (text: string) =>
    when<void>(heard =>
      theo.text.observe(() => {
        if (theo.text.toString() === text) heard()
      }),
    )
  const first = seen('hello')
  maggie.text.insert(0, 'hello')
  await first
  const again = maggie.connected()
  await disconnect(gate)
  await again
  const second = seen('hello again')
  maggie.text.insert(5, ' again')
  await second
  t.pass('the other client has received both changes')
})

/** Checks an echo server that prefixes each message with its user. */
async function echoes(t: Test, gate: TestServer, path: string): Promise<void> {
  const { socket, hears, closed } = await openThrough(gate, path, { user: 'Zoë', origin: allowedOrigin })
  socket.send('hello')
  const large = Buffer.alloc(16_384, 7)
  socket.send(large)
  t.strictSame(await hears(2), ['text Zoë: hello', `binary ${large.toString('hex')}`])
  await disconnect(gate, 'Zoë')
  t.strictSame(await closed, { code: 4403, reason: 'revoked' })
  const url = socketUrl(gate.url, `${path}?ticket=${await mint(gate.url, 'theo')}`)
  const other = new WebSocket(url, { perMessageDeflate: false })
  await once(other, 'open')
  other.send(Buffer.from([0x61]), { fin: false, binary: false })
  other.ping()
  other.send('b', { fin: true })
  const [message] = await once(other, 'message')
  t.equal(String(message), 'theo: ab', 'a fragmented message arrives whole')
  other.close(4000, 'enough')
  const [code, reason] = await once(other, 'close')
  t.strictSame([code, String(reason)], [4000, 'enough'])
}

t.test('websockets, in Python, echoes', needs('python3'), async t => {
  await echoes(t, await start(t, 3004, pathOf('python3'), 'echo.py'), '/python/room')
})

t.test('Django Channels echoes', needs('daphne'), async t => {
  const args = ['-b', '127.0.0.1', '-p', '0', 'asgi:application']
  await echoes(t, await start(t, 3006, pathOf('daphne'), ...args), '/django/room')
})

t.test('gorilla/websocket, in Go, echoes', needs('go-gorilla'), async t => {
  const program = join(temporaryDirectory(t), 'echo')
  execFileSync(pathOf('go-gorilla'), ['build', '-o', program, 'echo.go'], {
    cwd: directory,
    env: {
      ...process.env,
      GO111MODULE: 'off',
      GOPATH: '/usr/share/gocode',
      GOFLAGS: '',
      GOCACHE: goCache,
    },
  })
  await echoes(t, await start(t, 3005, program), '/go/room')
})
