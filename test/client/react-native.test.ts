import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { baseOf, socketUrlOf } from '../../src/client/server-url.js'
import { freePort } from '../support/free-port.js'
import { startServer } from '../support/server.js'
import { tokenFor } from '../support/tokens.js'

const root = fileURLToPath(new URL('../../', import.meta.url))

/** As on a phone: its URL class, no `location`, and an `Origin` with the port of the URL. */
const program = `
  import { request } from 'node:http'
  import WebSocket from 'ws'
  const { URL } = await import(process.env.URL_CLASS)
  globalThis.URL = URL
  class Phone extends WebSocket {
    constructor(url, protocols) {
      const [, secure, authority] = /^ws(s?):\\/\\/([^/]+)/.exec(url)
      super(url, protocols, { origin: 'http' + secure + '://' + authority })
    }
  }
  // Node's fetch needs Node's URL class; on a phone, fetch is native code.
  const fetch = (url, { method, headers }) => new Promise((resolve, reject) => {
    const [, hostname, port, path] = /^http:\\/\\/([^:]+):(\\d+)(\\/.*)$/.exec(url)
    request({ hostname, port, path, method, headers }, async reply => {
      let text = ''
      for await (const chunk of reply) text += chunk
      const { statusCode: status, headers } = reply
      resolve({ ok: status === 200, status, headers: { get: name => headers[name] ?? null }, json: async () => JSON.parse(text) })
    }).once('error', reject).end()
  })
  const { connect } = await import('ticketgate/client')
  const gate = connect({ url: process.env.SERVER, channel: 'lobby', getToken: () => process.env.TOKEN, fetch, WebSocket: Phone })
  gate.on('retry', ({ error }) => {
    console.log(error.code)
    void gate.close()
  })
  gate.on('open', async ({ user, channel }) => {
    await gate.publish('hello')
    console.log(user, 'in', channel)
    await gate.close()
  })
`

t.test("connects with React Native's own URL class", async t => {
  const port = await freePort()
  const env = { TICKETGATE_PORT: String(port), TICKETGATE_ORIGINS: `http://127.0.0.1:${port}` }
  const server = await startServer(t, { env })
  for (const version of ['0.76', '0.86']) {
    const given = {
      PATH: process.env.PATH,
      SERVER: server.url,
      TOKEN: tokenFor('maggie'),
      URL_CLASS: new URL(`react-native/url-${version}.js`, import.meta.url).href,
    }
    const args = ['--no-warnings', '--input-type=module', '--eval', program]
    const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: root, env: given })
    t.equal(stdout, 'maggie in lobby\n', version)
  }
})

t.test('the server’s URL is parsed without a URL class', async t => {
  const cases = [
    ['https://gate.example.com', 'https://gate.example.com'],
    ['HTTPS://Gate.Example.COM/', 'https://gate.example.com'],
    ['http://gate.example.com/base//', 'http://gate.example.com/base'],
    ['wss://gate.example.com:8443/a/B', 'https://gate.example.com:8443/a/B'],
    ['ws://localhost:8080', 'http://localhost:8080'],
    ['https://gate.example.com:443/base', 'https://gate.example.com/base'],
    ['wss://gate.example.com:443', 'https://gate.example.com'],
    ['http://gate.example.com:80', 'http://gate.example.com'],
    ['http://gate.example.com:443', 'http://gate.example.com:443'],
    ['https://gate.example.com:80', 'https://gate.example.com:80'],
    ['http://[::1]:8080/x', 'http://[::1]:8080/x'],
    ['http://[::1]', 'http://[::1]'],
    ['https://gate.example.com?query#part', 'https://gate.example.com'],
    ['https://gate.example.com/base?query', 'https://gate.example.com/base'],
  ] as const
  for (const [url, base] of cases) t.equal(baseOf(url), base, url)
  const refused = [
    'gate.example.com',
    '//gate.example.com',
    '/base',
    '',
    'ftp://gate.example.com',
    'httpss://gate.example.com',
    'https://',
    'https:///ws_ticket',
    'https://:443',
    'https://user:password@gate.example.com',
    'https://gate.example.com:port',
    'https://gate example.com',
    'https://gate.example.com/a b',
    'https://gate.example.com\\base',
    'https://gate.example.com\n',
    'javascript:https://gate.example.com',
    ' https://gate.example.com',
  ]
  for (const url of refused) t.throws(() => baseOf(url), { name: 'TypeError', message: /^url: / }, url)
  for (const url of [undefined, null, 1, {}])
    t.throws(() => baseOf(url as never), { name: 'TypeError', message: /^url: / })
})

t.test('a socket URL keeps its path and query, and has no default port', async t => {
  const cases = [
    ['wss://app.example.com:443/ws/', 'wss://app.example.com/ws/'],
    ['ws://app.example.com:80?v=1#part', 'ws://app.example.com?v=1'],
    ['https://App.example.com/a?b=/c', 'wss://app.example.com/a?b=/c'],
    ['http://localhost:8080/ws', 'ws://localhost:8080/ws'],
  ] as const
  for (const [url, expected] of cases) t.equal(socketUrlOf(url), expected, url)
  for (const url of ['/ws', '', 'ftp://x', 'https://x/a b', 'https://x/?a b'])
    t.throws(() => socketUrlOf(url), { name: 'TypeError', message: /^socketUrl: / }, url)
})

t.test('in a page, the URL may be relative', async t => {
  const page = { value: { href: 'https://app.example.com/chat/room?x=1' }, configurable: true }
  Object.defineProperty(globalThis, 'location', page)
  t.teardown(() => Reflect.deleteProperty(globalThis, 'location'))
  const cases = [
    ['/', 'https://app.example.com'],
    ['', 'https://app.example.com/chat/room'],
    ['/gate/', 'https://app.example.com/gate'],
    ['gate', 'https://app.example.com/chat/gate'],
    ['//gate.example.com', 'https://gate.example.com'],
    ['https://gate.example.com', 'https://gate.example.com'],
  ] as const
  for (const [url, base] of cases) t.equal(baseOf(url), base, url)
  for (const url of ['ftp://x', 'data:,x', 'https://']) t.throws(() => baseOf(url), TypeError, url)
})
