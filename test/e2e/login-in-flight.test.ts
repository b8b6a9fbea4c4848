import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createPasswordHasher } from '../../src/users/password.js'
import { updateUsers } from '../../src/users/store.js'
import { disconnect, until } from '../support/bus.js'
import { bearer, jsonOf, postJson, type Reply, request } from '../support/http.js'
import { isProblem } from '../support/problem.js'
import { adminKey, startServer, type TestServer } from '../support/server.js'
import { mintWith } from '../support/tokens.js'

const crowd = 50

const login = (server: TestServer, user: string, pwd: string): Promise<Reply> =>
  postJson(server.url, '/auth', { user, pwd })

const pending = async (server: TestServer): Promise<number> => {
  const { text } = await request(server.admin, '/metrics', { headers: bearer(adminKey) })
  return Number(/^ticketgate_logins_pending (\d+)$/m.exec(text)?.[1])
}

/** Starts a server, and a login there that waits behind many others. */
async function waitingLogin(t: Test) {
  const server = await startServer(t, { users: { maggie: 'secret', theo: 'other' } })
  let isCrowded = false
  // Try again if most were already answered when the metric was read.
  while (!isCrowded) {
    let answered = 0
    const others = Array.from({ length: crowd }, () =>
      login(server, 'theo', 'wrong').finally(() => answered++),
    )
    t.teardown(() => Promise.all(others))
    await until(async () => {
      isCrowded = (await pending(server)) > crowd / 2
      return isCrowded || answered === crowd
    })
  }
  const late = login(server, 'maggie', 'secret')
  // The login has been read once these later requests are answered.
  for (let n = 0; n < 5; n++) await pending(server)
  /** Changes the users while the server is stopped, so that the login waits for the change. */
  const change = async (work: Parameters<typeof updateUsers>[1]): Promise<void> => {
    server.signal('SIGSTOP')
    await updateUsers(join(server.stateDir, 'users.json'), work)
    server.signal('SIGCONT')
  }
  return { server, late, change }
}

t.test('a user removed while the login waits is refused', async t => {
  const { server, late, change } = await waitingLogin(t)
  await change(users => void users.delete('maggie'))
  await disconnect(server, { user: 'maggie' })
  isProblem(t, await late, '401 bad_credentials')
})

t.test('a password changed while the login waits is refused', async t => {
  const passwordHash = await createPasswordHasher({ concurrency: 1, queueLimit: 1 }).hash('secret too')
  const { server, late, change } = await waitingLogin(t)
  await change(users => void users.set('maggie', { name: 'maggie', passwordHash }))
  await disconnect(server, { user: 'maggie' })
  isProblem(t, await late, '401 bad_credentials')
  t.equal((await login(server, 'maggie', 'secret too')).status, 200)
})

t.test('rights changed while the login waits apply to it', async t => {
  const { late, change } = await waitingLogin(t)
  await change(users => {
    const maggie = users.get('maggie')
    if (maggie !== undefined) users.set('maggie', { ...maggie, channels: { subscribe: ['red'] } })
  })
  const { token } = jsonOf(await late)
  const payload = JSON.parse(Buffer.from(String(token).split('.')[1] ?? '', 'base64url').toString())
  t.strictSame(payload.channels, { subscribe: ['red'] })
})

t.test('a login that waits while its user is disconnected counts as later', async t => {
  const { server, late } = await waitingLogin(t)
  await disconnect(server, { user: 'maggie' })
  const reply = await late
  t.equal(reply.status, 200)
  t.ok((await mintWith(server.url, String(jsonOf(reply).token))).ticket)
})
