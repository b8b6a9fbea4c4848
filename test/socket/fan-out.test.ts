import { Packr } from 'msgpackr'
import t, { type Test } from 'tap'
import { startServer, type TestServer } from '../support/server.js'
import { type Client, openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, mint, mintWith, tokenFor } from '../support/tokens.js'

const packr = new Packr({ useRecords: false, variableMapSize: true })
const msgpackProtocol = 'ticketgate.v1.msgpack'
const both = ['ticketgate.v1.json', msgpackProtocol] as const
type Protocol = (typeof both)[number]

const join = async (
  server: TestServer,
  user: string,
  channel: string,
  protocol: Protocol,
): Promise<Client> => {
  const url = socketUrl(server.url, gatePath(await mint(server.url, user), channel))
  return (await openSession(url, { protocols: [protocol] })).client
}

const server = await startServer(t)

const closeAll = (clients: readonly Client[]): Promise<unknown> =>
  Promise.all(clients.map(client => client.close()))

/**
 * Checks publications between all encodings. With enough copies, the sockets also cover every pair of
 * threads.
 */
async function reachesEveryEncoding(t: Test, server: TestServer, copies: number): Promise<void> {
  const listeners: Client[] = []
  const speakers: Client[] = []
  for (let n = 0; n < copies; n++)
    for (const protocol of both) {
      listeners.push(await join(server, `listener-${n}`, 'lobby', protocol))
      speakers.push(await join(server, 'speaker', 'lobby', protocol))
    }
  for (const [index, speaker] of speakers.entries()) {
    const data = { from: index, list: [1, 'two', null] }
    t.strictSame(await speaker.ask({ type: 'publish', data, id: index }), { type: 'ok', id: index })
    const expected = { type: 'message', channel: 'lobby', data, user: 'speaker' }
    for (const other of [...listeners, ...speakers])
      if (other !== speaker) t.strictSame(await other.next(), expected)
    t.ok(await speaker.hearsNothing(), 'the publisher does not receive it')
  }
  await closeAll([...listeners, ...speakers])
}

t.test('data with the names of methods is treated as data', async t => {
  const [speaker, listener] = [
    await join(server, 'speaker', 'lobby', 'ticketgate.v1.json'),
    await join(server, 'listener', 'lobby', msgpackProtocol),
  ]
  const data = '{"constructor":0,"toJSON":1}'
  t.strictSame(await speaker.ask(`{"type":"publish","data":${data},"id":1}`), { type: 'ok', id: 1 })
  t.equal(JSON.stringify((await listener.next()).data), data)
  await closeAll([speaker, listener])
})

t.test('sockets of every encoding receive each publication once', async t => {
  await reachesEveryEncoding(t, server, 2)
})

t.test('the subprotocol that is offered first is used and echoed', async t => {
  const offers = [
    [[msgpackProtocol, 'ticketgate.v1.json'], msgpackProtocol],
    [['other', 'ticketgate.v1.json', msgpackProtocol], 'ticketgate.v1.json'],
    [[msgpackProtocol], msgpackProtocol],
    [[], ''],
  ] as const
  for (const [protocols, echoed] of offers) {
    const { client } = await openSession(socketUrl(server.url, gatePath(await mint(server.url))), {
      protocols,
    })
    t.equal(client.socket.protocol, echoed)
    await client.close()
  }
  const url = socketUrl(server.url, '/channel/red')
  const ticket = await mint(server.url)
  const { client, welcome } = await openSession(url, { protocols: [`ticket.${ticket}`, msgpackProtocol] })
  t.match(welcome, { type: 'welcome', user: 'maggie', channel: 'red' })
  t.equal(client.socket.protocol, msgpackProtocol)
  await client.close()
})

t.test("data arrives byte for byte in the publisher's own encoding", async t => {
  for (const protocol of both) {
    const [one, two] = [
      await join(server, 'one', 'raw', protocol),
      await join(server, 'two', 'raw', protocol),
    ]
    const heard = new Promise<Buffer>(resolve => two.socket.once('message', data => resolve(data as Buffer)))
    if (protocol === msgpackProtocol) {
      const data = Buffer.from('84a132ca3fc00000a131cfffffffffffffffffa162c402ff00a161d10001', 'hex')
      const head = packr.pack({ type: 'publish', more: 1 })
      one.send(Buffer.concat([Buffer.from([0x83]), head.subarray(1), packr.pack('data'), data]))
      t.ok((await heard).includes(data))
    } else {
      const data = '{ "2":1e400, "1":12345678901234567890123, "b":-0.10 ,"a":"\\u00e9", "a":0 }'
      one.send(`{"type":"publish","data":${data}}`)
      t.equal(String(await heard), `{"type":"message","channel":"raw","data":${data},"user":"one"}`)
    }
    await closeAll([one, two])
  }
})

t.test('a publisher without subscriptions can publish', async t => {
  const listener = await join(server, 'two', 'mute', 'ticketgate.v1.json')
  const token = tokenFor('one', { channels: { publish: ['mute'] } })
  const { ticket } = await mintWith(server.url, token)
  const { client } = await openSession(socketUrl(server.url, gatePath(ticket, 'mute')))
  t.strictSame(await client.ask({ type: 'publish', data: 1, id: 1 }), { type: 'ok', id: 1 })
  t.match(await listener.next(), { data: 1, user: 'one' })
  t.match(await client.ask({ type: 'subscribe', channel: 'mute', id: 2 }), { code: 'channel_forbidden' })
  await closeAll([client, listener])
})

t.test('a frame of the wrong type is a bad message', async t => {
  const text = await join(server, 'one', 'x', 'ticketgate.v1.json')
  t.match(await text.ask(packr.pack({ type: 'ping' })), { type: 'error', code: 'bad_message' })
  const binary = await join(server, 'one', 'x', msgpackProtocol)
  t.match(await binary.ask('{"type":"ping"}'), { type: 'error', code: 'bad_message' })
  for (const bytes of ['c1', '9101', '80c0', '81a474797065', 'dfffffffff'])
    t.match(await binary.ask(Buffer.from(bytes, 'hex')), { type: 'error', code: 'bad_message' }, bytes)
  t.match(await binary.ask({ type: 'publish', id: 'x' }), { code: 'bad_message', id: 'x' })
  t.match(await binary.ask({ type: 'shout', id: 1.5 }), { code: 'unknown_type', id: 1.5 })
  t.strictSame(await binary.ask({ type: 'ping', id: 2n ** 60n }), { type: 'pong', id: 2n ** 60n })
  await closeAll([text, binary])
})

t.test('rights are names and prefixes, separate for publish and subscribe', async t => {
  const channels = { publish: ['chat.*', 'log'], subscribe: ['chat.a', 'news*'] }
  const { ticket } = await mintWith(server.url, tokenFor('maggie', { channels }))
  const { client } = await openSession(socketUrl(server.url, gatePath(ticket, 'chat.a')))
  const cases = [
    ['publish', 'chat.a', true],
    ['publish', 'chat.', true],
    ['publish', 'chat', false],
    ['publish', 'log', true],
    ['publish', 'log2', false],
    ['publish', 'news', false],
    ['publish', '', false],
    ['subscribe', 'chat.a', true],
    ['subscribe', 'chat.b', false],
    ['subscribe', 'news', true],
    ['subscribe', 'news.x', true],
    ['subscribe', 'log', false],
    ['subscribe', 'NEWS', false],
  ] as const
  for (const [type, channel, allowed] of cases)
    t.match(
      await client.ask({ type, channel, data: 1, id: 1 }),
      allowed ? { type: 'ok' } : { type: 'error', code: 'channel_forbidden' },
      `${type} ${channel}`,
    )
  await client.close()
})

t.test('a socket may subscribe to 128 channels', async t => {
  const server = await startServer(t, { env: { TICKETGATE_MESSAGE_RATE: 'off' } })
  const client = await join(server, 'many', 'path', 'ticketgate.v1.json')
  for (let n = 1; n < 128; n++)
    t.match(await client.ask({ type: 'subscribe', channel: `n${n}`, id: n }), { type: 'ok' })
  t.match(await client.ask({ type: 'subscribe', channel: 'one-more', id: 0 }), { code: 'too_many_channels' })
  t.match(
    await client.ask({ type: 'subscribe', channel: 'n5', id: 0 }),
    { type: 'ok' },
    'a subscribed channel may be subscribed to again',
  )
  await client.ask({ type: 'unsubscribe', channel: 'n5', id: 0 })
  t.match(await client.ask({ type: 'subscribe', channel: 'one-more', id: 0 }), { type: 'ok' })
  await client.close()
})

t.test('sockets on several threads receive each publication once', async t => {
  await reachesEveryEncoding(t, await startServer(t, { env: { TICKETGATE_THREADS: '2' } }), 4)
})
