import { Packr } from 'msgpackr'
import t, { type Test } from 'tap'
import { bearer, jsonOf, metric, postJson, type Reply, request } from '../support/http.js'
import { isProblem } from '../support/problem.js'
import { adminKey, type Environment, startServer } from '../support/server.js'
import { type Client, openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, mint } from '../support/tokens.js'

const packr = new Packr({ useRecords: false, variableMapSize: true })
const protocols = ['ticketgate.v1.json', 'ticketgate.v1.msgpack'] as const

async function startWith(t: Test, env: Environment, copies: number) {
  const server = await startServer(t, { env })
  const clients: Client[] = []
  for (let n = 0; n < copies; n++)
    for (const protocol of protocols) {
      const url = socketUrl(server.url, gatePath(await mint(server.url), 'lobby'))
      clients.push((await openSession(url, { protocols: [protocol] })).client)
    }
  const publish = (body: unknown, headers: Readonly<Record<string, string>> = {}): Promise<Reply> =>
    postJson(server.admin, '/publish', body, { headers: { ...bearer(adminKey), ...headers } })
  return { server, clients, publish }
}

async function expectDelivery(t: Test, env: Environment, copies: number): Promise<void> {
  const { server, clients, publish } = await startWith(t, env, copies)
  const all = clients.length
  const one = await publish({ channel: 'lobby', data: { text: 'hello' } })
  t.strictSame([one.status, jsonOf(one)], [200, { delivered: all }])
  for (const client of clients)
    t.strictSame(
      await client.next(),
      { type: 'message', channel: 'lobby', data: { text: 'hello' } },
      'the message has no sender',
    )
  const batch = Array.from({ length: 20 }, (_, n) => ({ channel: n % 2 ? 'empty' : 'lobby', data: n }))
  t.strictSame(jsonOf(await publish(batch)), { delivered: 10 * all })
  for (const client of clients)
    for (let n = 0; n < 20; n += 2) t.equal((await client.next()).data, n, 'the messages arrive in order')
  t.strictSame(jsonOf(await publish([])), { delivered: 0 })
  await Promise.all(clients.map(client => client.close()))
  t.strictSame(jsonOf(await publish({ channel: 'lobby', data: 1 })), { delivered: 0 })
  t.equal(await metric(server, 'ticketgate_messages_published_total'), 22, 'each message counts once')
}

t.test('a message, or a batch, reaches all subscribers of its channel', t => expectDelivery(t, {}, 2))

t.test('a message, or a batch, reaches all subscribers with several threads', t =>
  expectDelivery(t, { TICKETGATE_THREADS: '2' }, 4),
)

t.test('MessagePack is accepted, and invalid requests are refused', async t => {
  const { server, clients, publish } = await startWith(t, {}, 1)
  const send = (body: Uint8Array, type: string): Promise<Response> =>
    fetch(`${server.admin}/publish`, {
      method: 'POST',
      headers: { ...bearer(adminKey), 'content-type': type },
      body: Buffer.from(body),
    })
  for (const type of ['application/msgpack', 'Application/Vnd.MsgPack; v=1']) {
    const reply = await send(packr.pack([{ channel: 'lobby', data: [1, { a: 2 }] }]), type)
    t.strictSame(await reply.json(), { delivered: 2 }, type)
    for (const client of clients)
      t.strictSame(await client.next(), { type: 'message', channel: 'lobby', data: [1, { a: 2 }] })
  }

  const raw = '{"channel":"lobby","data":1e400}'
  const heard = new Promise(resolve => clients[0]?.socket.once('message', data => resolve(String(data))))
  t.strictSame(jsonOf(await publish(raw)), { delivered: 2 })
  t.equal(await heard, '{"type":"message","channel":"lobby","data":1e400}', 'the data is passed on unchanged')
  t.equal((await clients[0]?.next())?.data, Number.POSITIVE_INFINITY)
  t.equal((await clients[1]?.next())?.data, Number.POSITIVE_INFINITY)

  const cases = [
    ['not JSON', 'hello', '400 bad_request'],
    ['not an object', '5', '400 bad_request'],
    ['a list of lists', '[[]]', '400 bad_request'],
    ['no channel', '{"data":1}', '400 bad_request'],
    ['no data', '{"channel":"lobby"}', '400 bad_request'],
    ['an unknown member', '{"channel":"lobby","data":1,"to":"x"}', '400 bad_request'],
    ['a member that only sockets send', '[{"channel":"lobby","data":1,"type":"publish"}]', '400 bad_request'],
    ['a channel twice', '{"channel":"lobby","channel":"lobby","data":1}', '400 bad_request'],
    ['a channel twice in a list', '[{"channel":"lobby","channel":"lobby","data":1}]', '400 bad_request'],
    ['data twice', '{"channel":"lobby","data":1,"data":2}', '400 bad_request'],
    ['an invalid channel', '{"channel":"a b","data":1}', '400 channel_invalid'],
    [
      'one invalid message of many',
      '[{"channel":"lobby","data":1},{"channel":"*","data":1}]',
      '400 channel_invalid',
    ],
  ] as const
  for (const [name, body, code] of cases) isProblem(t, await publish(body), code, name)
  isProblem(t, await publish('{}', { 'content-type': 'text/plain' }), '415 unsupported_media_type')
  isProblem(t, await publish('{}', { 'content-type': 'constructor' }), '415 unsupported_media_type')
  const bad = await send(Buffer.from([0xc1]), 'application/msgpack')
  t.equal(bad.status, 400)
  const stray = await send(packr.pack({ channel: 'lobby', data: 1, to: 'x' }), 'application/msgpack')
  t.equal(stray.status, 400, 'an unknown member')
  for (const client of clients) t.ok(await client.hearsNothing(), 'no refused message is delivered')

  const query = await request(server.admin, '/publish?to=x', {
    method: 'POST',
    headers: { ...bearer(adminKey), 'content-type': 'application/json' },
    body: '{"channel":"lobby","data":1}',
  })
  isProblem(t, query, '400 bad_request', 'an unknown parameter')

  const large = { channel: 'lobby', data: 'a'.repeat(900_000) }
  t.strictSame(jsonOf(await publish(large)), { delivered: 2 })
  t.equal(String((await clients[0]?.next())?.data).length, 900_000)
  isProblem(t, await publish({ ...large, data: 'a'.repeat(1_100_000) }), '413 body_too_large')
  isProblem(t, await publish(large, { authorization: 'Bearer wrong' }), '401 admin_key_invalid')
  isProblem(
    t,
    await postJson(server.url, '/publish', { channel: 'lobby', data: 1 }),
    '404 not_found',
    'not on the public listener',
  )
})
