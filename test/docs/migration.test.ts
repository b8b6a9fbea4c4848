import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import WebSocket from 'ws'
import { type ConnectOptions, connect, createTicketSource } from '../../src/client/index.js'
import { startServer } from '../support/server.js'
import { mint, tokenFor } from '../support/tokens.js'
import { codeBlocks, readPage } from './markdown.js'

const [fromUrl = '', fromCookies = ''] = codeBlocks(readPage('docs/migration.md'), 'js').map(block =>
  block.replace(/^import .*\n/, ''),
)

/** Runs a snippet with the names of `scope`. Resolves with the value of its constant `name`. */
const constantOf = (name: string, code: string, scope: Readonly<Record<string, unknown>>): Promise<unknown> =>
  new Function(...Object.keys(scope), `return (async () => { ${code}; return ${name} })()`)(
    ...Object.values(scope),
  )

t.test('instead of a JWT, the URL carries a ticket', async t => {
  const server = await startServer(t)
  const code = fromUrl
    .replace('https://gate.example.com', server.url)
    .replace('wss://app.example.com/ws', `${server.url.replace('http', 'ws')}/channel/lobby`)
  const scope = { createTicketSource, WebSocket, jwt: tokenFor('maggie') }
  const socket = (await constantOf('socket', code, scope)) as WebSocket
  t.teardown(() => socket.terminate())
  const welcome = await new Promise(resolve => socket.once('message', data => resolve(String(data))))
  t.match(JSON.parse(String(welcome)), { type: 'welcome', user: 'maggie' })
})

t.test('a back end with cookies gives the client its tickets', async t => {
  const server = await startServer(t)
  const backEnd = createServer(async ({ method, url }, response) => {
    const ticket = method === 'POST' && url === '/my/own/ticket' ? await mint(server.url, 'theo') : undefined
    response.end(JSON.stringify({ ticket }))
  }).listen(0, '127.0.0.1')
  await new Promise(resolve => backEnd.once('listening', resolve))
  t.teardown(() => backEnd.close())
  t.teardown(() => backEnd.closeAllConnections())
  const code = fromCookies
    .replace('https://gate.example.com', server.url)
    .replace('/my/own/ticket', `http://127.0.0.1:${(backEnd.address() as AddressInfo).port}$&`)
  const opened = (options: ConnectOptions) => {
    const gate = connect({ WebSocket, ...options })
    t.teardown(() => gate.close())
    return gate
  }
  const gate = (await constantOf('gate', code, { connect: opened, fetch })) as ReturnType<typeof connect>
  t.match(await gate.opened(), undefined)
  t.equal(gate.state, 'open')
})
