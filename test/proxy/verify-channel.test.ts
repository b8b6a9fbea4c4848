import t, { type Test } from 'tap'
import { codeBlocks, readPage } from '../docs/markdown.js'
import { requestUpgrade } from '../support/http.js'
import { needs, type ProgramName } from '../support/programs.js'
import { startCaddy, startNginx } from '../support/proxy.js'
import { startServer } from '../support/server.js'
import { mint, mintWith, tokenFor } from '../support/tokens.js'
import { startUpstream } from './upstream.js'

const page = readPage('docs/in-front-of.md')

/** The lines of the page that make a configuration of test/proxy verify the channel in the path. */
const linesOf = (language: string): readonly string[] =>
  codeBlocks(page, language)
    .filter(block => block.includes('/verify?channel='))
    .flatMap(block => block.split('\n').map(line => line.trim()))
    .filter(line => line !== '' && !line.startsWith('#'))

type Replacements = Readonly<Record<string, string>>

interface ProxyUnderTest {
  readonly program: ProgramName
  readonly start: (t: Test, addresses: Replacements) => Promise<string>
  /** Names of channels that it can verify. */
  readonly channels: readonly string[]
}

const proxies: Readonly<Record<string, ProxyUnderTest>> = {
  nginx: {
    program: 'nginx',
    start(t, addresses) {
      const [map = '', pass = ''] = linesOf('nginx')
      return startNginx(t, 'nginx-verify.conf', {
        'server {': `${map}\nserver {`,
        'proxy_pass http://127.0.0.1:8080/verify;': pass,
        ...addresses,
      })
    },
    channels: ['room.1', 'A-Z_~', 'a:b', 'me@home'],
  },
  Caddy: {
    program: 'caddy',
    start(t, addresses) {
      const [matcher = '', route = '', uri = ''] = linesOf('caddyfile')
      return startCaddy(t, 'caddy-verify.caddyfile', {
        'route /sockets/* {': `${matcher}\n${route}`,
        'uri /verify?': uri,
        ...addresses,
      })
    },
    channels: ['room.1', 'A-Z_~'],
  },
}

for (const [name, { program, start, channels }] of Object.entries(proxies))
  t.test(`${name} verifies the channel in the path`, needs(program, 'python3'), async t => {
    const server = await startServer(t, {
      env: {
        TICKETGATE_VERIFY: 'on',
        TICKETGATE_TICKET_TTL_SECONDS: '60',
        TICKETGATE_TRUSTED_PROXIES: '127.0.0.1',
      },
    })
    const upstream = await startUpstream(t)
    const proxy = await start(t, {
      '127.0.0.1:8080': `127.0.0.1:${server.port}`,
      '127.0.0.1:9000': `127.0.0.1:${upstream.port}`,
    })
    const status = async (path: string, ticket: string): Promise<number> =>
      (await requestUpgrade(proxy, `/sockets/${path}ticket=${ticket}`)).status
    const enters = async (channel: string, ticket: string): Promise<void> => {
      const got = await status(`${channel}?`, ticket)
      if (got !== 101) throw new Error(`${channel}: ${got}`)
      const { path, headers } = await upstream.next()
      t.equal(
        path,
        `/sockets/${channel}?ticket=${ticket}`,
        'no other request has reached the upstream server',
      )
      const told = headers.filter(([name]) => name.toLowerCase() === 'x-ticket-channel')
      t.strictSame(
        told.map(([, value]) => value),
        [channel],
      )
    }

    for (const channel of ['red', ...channels])
      await enters(channel, await mint(server.url, 'maggie', channel))
    const red = await mint(server.url, 'maggie', 'red')
    const others = [
      'blue?',
      'Red?',
      '?',
      '?channel=red&',
      'blue?channel=red&',
      'red/blue?',
      'blue/../Red?',
      're%64/..%2fblue?',
      'blue%26channel=red?',
    ]
    for (const path of others) t.not(await status(path, red), 101, path)
    const rights = { channels: { publish: ['chat.*'], subscribe: [] } }
    const some = (await mintWith(server.url, tokenFor('theo', rights))).ticket
    t.equal(await status('red?', some), 403, 'a ticket without rights on the channel is refused')
    await enters('red', red)
    await enters('chat.1', some)
  })
