import t from 'tap'
import { jsonOf } from '../support/http.js'
import { adminKey, development, startServer } from '../support/server.js'
import { openSession } from '../support/socket-client.js'
import { codeBlocks, readPage } from './markdown.js'

const [handler = ''] = codeBlocks(readPage('docs/frameworks.md'), 'js')

t.test('a handler that returns a Response issues tickets for the session of the application', async t => {
  const gate = await startServer(t, { env: { ...development, TICKETGATE_ADMIN_KEY: adminKey } })
  const code = handler.replace(/^import .*$/m, '').replace('export async function', 'return async function')
  const handlerFor = (session: unknown, env: Readonly<Record<string, string>>): (() => Promise<Response>) =>
    new Function('auth', 'process', code)(async () => session, { env })
  const env = { GATE_ADMIN: gate.admin, TICKETGATE_ADMIN_KEY: adminKey }
  const session = {
    user: { email: 'maggie@example.com' },
    expires: new Date(Date.now() + 3_600_000).toISOString(),
  }

  const reply = await handlerFor(session, env)()
  t.equal(reply.status, 200)
  t.equal(reply.headers.get('cache-control'), 'no-store')
  const { url } = jsonOf({ status: 200, headers: {}, text: await reply.text() })
  const { client, welcome } = await openSession(String(url))
  t.match(welcome, { user: 'maggie@example.com', channel: 'lobby' })
  await client.close()

  t.equal((await handlerFor(null, env)()).status, 401, 'without a login there is no ticket')
  const refused = await handlerFor(session, { ...env, TICKETGATE_ADMIN_KEY: 'another' })()
  t.equal(refused.status, 503, 'the page does not learn that the key was refused')
  t.equal(await refused.text(), '')
})
