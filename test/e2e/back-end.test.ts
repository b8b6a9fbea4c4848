import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import WebSocket from 'ws'
import { type ConnectOptions, connect, GateError } from '../../src/client/index.js'
import { codeBlocks, readPage } from '../docs/markdown.js'
import { adminKey, startServer } from '../support/server.js'

const [backEnd = '', page = ''] = codeBlocks(readPage('docs/back-end.md'), 'js')

/** Runs the documentation's back end as a separate process. */
const startBackEnd = async (admin: string): Promise<string> => {
  const child = spawn(process.execPath, ['--input-type=module', '--eval', backEnd], {
    cwd: fileURLToPath(new URL('../../', import.meta.url)),
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { PATH: process.env.PATH, PORT: '0', GATE_ADMIN: admin, TICKETGATE_ADMIN_KEY: adminKey },
  })
  t.teardown(() => child.kill('SIGKILL'))
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string]
  return `http://127.0.0.1:${/^port (\d+)$/.exec(line)?.[1]}`
}

t.test('a page whose back end has a cookie session connects without a token', async t => {
  const server = await startServer(t)
  const own = await startBackEnd(server.admin)
  const login = await fetch(`${own}/login`, { method: 'POST' })
  const cookie = login.headers.get('set-cookie')?.split(';')[0] ?? ''
  /** Runs the snippet for pages, with the cookies that a browser would send. */
  const visit = (cookies: string) => {
    const code = page.replace(/^import .*\n/, '').replace('https://gate.example.com', server.url)
    const scope = {
      GateError,
      fetch: (path: string, init: RequestInit) =>
        fetch(own + path, { ...init, headers: { cookie: cookies } }),
      connect: (options: ConnectOptions) => connect({ WebSocket, minDelayMs: 1, ...options }),
    }
    const gate = new Function(...Object.keys(scope), `${code}; return gate`)(...Object.values(scope))
    t.teardown(() => gate.close())
    return gate as ReturnType<typeof connect>
  }

  const gate = visit(cookie)
  const other = visit(cookie)
  const welcome = new Promise(resolve => gate.on('open', resolve))
  await Promise.all([gate.opened(), other.opened()])
  t.match(await welcome, { user: 'maggie', channel: 'lobby' })
  const messages = gate.messages()
  await other.publish('hello')
  for await (const { data, user } of messages) {
    t.strictSame([data, user], ['hello', 'maggie'])
    break
  }

  const stranger = visit('')
  await t.rejects(stranger.opened(), { code: 'logged_out' }, 'without the session there is no ticket')
})
