import t from 'tap'
import { createGate } from '../../src/index.js'
import '../support/built.js'
import { jwtSecret, temporaryDirectory } from '../support/fixtures.js'
import { bearer, type Json, jsonOf, postJson, request } from '../support/http.js'
import { mintWith, nowSeconds, tokenFor } from '../support/tokens.js'
import { openThrough } from '../support/tunnel.js'
import { startUpstream } from '../support/upstream.js'

t.test('authorize decides on the renewal of sockets in tunnels', async t => {
  const { port } = await startUpstream(t)
  let decide = (_channel: string): unknown => undefined
  const asked: unknown[] = []
  const gate = await createGate({
    port: 0,
    adminPort: 0,
    jwtSecret,
    stateDir: temporaryDirectory(t),
    drainSeconds: 1,
    logLevel: 'fatal',
    console: 'off',
    tunnels: `/a/*=ws://127.0.0.1:${port}`,
    authorize(request) {
      asked.push({ ...request, claims: { ...request.claims } })
      return decide(request.channel) as undefined
    },
  })
  const { url, adminUrl } = await gate.listen()
  t.teardown(() => gate.drain())
  const end = nowSeconds() + 300
  const enter = async (channel: string) => {
    const { ticket } = await mintWith(url, tokenFor('maggie', { sid: 's1', exp: end }))
    return openThrough({ url }, `/a/${channel}`, { ticket, origin: 'http://localhost:1' })
  }
  const renew = async (expires: number): Promise<Json> => {
    const token = tokenFor('maggie', { sid: 's1', exp: expires })
    return jsonOf(await postJson(url, '/ws_ticket/renew', {}, { headers: bearer(token) }))
  }
  const ends = async (): Promise<unknown[]> =>
    (jsonOf(await request(adminUrl, '/connections?user=maggie')).connections as { expires: number }[])
      .map(({ expires }) => expires)
      .sort()
  const [one, two] = [await enter('one'), await enter('two')]

  asked.length = 0
  t.match(await renew(end + 10), { extended: 2 })
  const common = {
    user: 'maggie',
    session: 's1',
    origin: 'http://localhost:1',
    expires: end + 10,
    claims: {},
  }
  t.same(
    new Set(asked),
    new Set(['one', 'two'].map(channel => ({ ...common, channel }))),
    'it is asked as for a handshake',
  )
  decide = () => false
  t.match(await renew(end + 20), { extended: 0 }, 'a refused socket is not extended')
  t.same(await ends(), [end + 10, end + 10])
  decide = channel => {
    if (channel === 'one') throw new Error('thrown by the application')
  }
  t.match(await renew(end + 20), { extended: 1 })
  t.same(await one.closed, { code: 1011, reason: 'internal_error' }, 'an error ends only its socket')
  const ended: Promise<number>[] = []
  decide = () => void ended.push(gate.disconnect({ user: 'maggie' }))
  t.match(await renew(end + 30), { extended: 0 }, 'a socket that it closes is not extended')
  t.strictSame(await Promise.all(ended), [1])
  t.equal((await two.closed).code, 4403)
  t.same(await ends(), [])
})
