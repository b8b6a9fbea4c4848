import { once } from 'node:events'
import t from 'tap'
import { startServer } from '../support/server.js'
import { type Client, openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, mint, mintWith, nowSeconds, tokenFor } from '../support/tokens.js'

const server = await startServer(t, {
  env: { TICKETGATE_MESSAGE_RATE: '20/1', TICKETGATE_MAX_MESSAGE_BYTES: '1024' },
})

/** Opens a socket on a channel, and reads its welcome. */
const join = async (user: string, channel = ''): Promise<Client> =>
  (await openSession(socketUrl(server.url, gatePath(await mint(server.url, user), channel)))).client

/** The reply to a message that is malformed, of the wrong kind, or nested too deep. It has no id. */
const badMessage = {
  type: 'error',
  code: 'bad_message',
  detail: 'A message is one JSON object in a text frame, with data at most once and 128 deep.',
}

/** Checks that a client has received nothing so far: the reply to a ping comes first. */
const hearsNothing = async (client: Client): Promise<boolean> => {
  const first = await client.ask({ type: 'ping', id: 'anything before?' })
  return first.type === 'pong' && first.id === 'anything before?'
}

t.test('the welcome comes first, with user, channel and expiry', async t => {
  const exp = nowSeconds() + 300
  for (const user of ['maggie', 'quotes " and \\ and \u2028', '{"user":"admin"}', 'Zoë 🐢']) {
    const { ticket } = await mintWith(server.url, tokenFor(user, { exp }))
    const first = await openSession(socketUrl(server.url, gatePath(ticket, 'red')))
    const { session, ...welcome } = first.welcome
    t.strictSame(welcome, { type: 'welcome', user, channel: 'red', expires: exp })
    t.ok(typeof session === 'string' && session.length > 0, 'the session has an id')
    await first.client.close()
  }
})

t.test('a publication reaches all other subscribers of the channel and nobody else', async t => {
  const [one, two, three, elsewhere] = [
    await join('one', 'a'),
    await join('two', 'a'),
    await join('one', 'a'),
    await join('four', 'b'),
  ]
  one.send({ type: 'publish', data: { text: 'hello' } })
  for (const [name, client] of [
    ['another user', two],
    ['another socket of the same user', three],
  ] as const)
    t.strictSame(
      await client.next(),
      { type: 'message', channel: 'a', data: { text: 'hello' }, user: 'one' },
      name,
    )
  t.ok(await hearsNothing(one), 'the publisher does not receive it')
  t.ok(await hearsNothing(elsewhere), 'another channel does not receive it')
  await Promise.all([one, two, three, elsewhere].map(client => client.close()))
})

t.test('data of every shape arrives unchanged', async t => {
  const [one, two] = [await join('one', 'shapes'), await join('two', 'shapes')]
  for (const data of [
    null,
    false,
    0,
    -1.5,
    '',
    'quotes " and \\ and \u2028',
    'é€😀',
    [],
    [1, [2]],
    {},
    { a: { b: [null] } },
    { type: 'welcome', user: 'admin' },
  ]) {
    one.send({ type: 'publish', data })
    t.strictSame((await two.next()).data, data)
  }
  await Promise.all([one.close(), two.close()])
})

t.test('no client can publish in the name of another', async t => {
  const [one, two] = [await join('one', 'names'), await join('two', 'names')]
  one.send({ type: 'publish', data: 1, user: 'admin' })
  one.send('{"type":"publish","data":2,"user":"admin","user":"admin"}')
  one.send({ type: 'publish', data: 3, id: 'end' })
  let heard = await two.next()
  for (; heard.data !== 3; heard = await two.next()) t.equal(heard.user, 'one')
  t.equal(heard.user, 'one')
  await Promise.all([one.close(), two.close()])
})

t.test('a socket can subscribe and unsubscribe', async t => {
  const [one, two] = [await join('one'), await join('two')]
  t.strictSame(await two.ask({ type: 'subscribe', channel: 'news', id: 1 }), { type: 'ok', id: 1 })
  t.strictSame(await one.ask({ type: 'publish', channel: 'news', data: 'a', id: 'x' }), {
    type: 'ok',
    id: 'x',
  })
  t.strictSame(await two.next(), { type: 'message', channel: 'news', data: 'a', user: 'one' })
  t.strictSame(
    await two.ask({ type: 'subscribe', channel: 'news', id: 2 }),
    { type: 'ok', id: 2 },
    'subscribing twice has no effect',
  )
  t.strictSame(await one.ask({ type: 'publish', channel: 'news', data: 'b', id: 'y' }), {
    type: 'ok',
    id: 'y',
  })
  t.equal((await two.next()).data, 'b')
  t.ok(await hearsNothing(two), 'the message arrives once')
  t.strictSame(await two.ask({ type: 'unsubscribe', channel: 'news', id: 3 }), { type: 'ok', id: 3 })
  t.strictSame(await one.ask({ type: 'publish', channel: 'news', data: 'c', id: 'z' }), {
    type: 'ok',
    id: 'z',
  })
  t.ok(await hearsNothing(two), 'an unsubscribed channel is not received')
  t.strictSame(
    await two.ask({ type: 'unsubscribe', channel: 'never', id: 4 }),
    { type: 'ok', id: 4 },
    'unsubscribing without a subscription is not an error',
  )
  one.send({ type: 'publish', data: 'own channel' })
  t.strictSame(
    await two.next(),
    { type: 'message', channel: '', data: 'own channel', user: 'one' },
    'without a channel, the channel of the path is used',
  )
  t.strictSame(await two.ask({ type: 'unsubscribe', channel: '', id: 5 }), { type: 'ok', id: 5 })
  t.strictSame(await one.ask({ type: 'publish', data: 'd', id: 'w' }), { type: 'ok', id: 'w' })
  t.ok(await hearsNothing(two), 'the channel of the path can be unsubscribed too')
  await Promise.all([one.close(), two.close()])
})

t.test('without an id there is no ok', async t => {
  const one = await join('one')
  one.send({ type: 'publish', data: 1 })
  one.send({ type: 'subscribe', channel: 'x' })
  t.ok(await hearsNothing(one))
  await one.close()
})

t.test('a ping gets a pong', async t => {
  const one = await join('one')
  t.strictSame(await one.ask({ type: 'ping' }), { type: 'pong' })
  t.strictSame(await one.ask({ type: 'ping', id: 7 }), { type: 'pong', id: 7 })
  t.strictSame(await one.ask({ type: 'ping', id: 'seven' }), { type: 'pong', id: 'seven' })
  await one.close()
})

t.test('a failed request gets an error, and the socket stays open', async t => {
  const openRed = async () =>
    (await openSession(socketUrl(server.url, gatePath(await mint(server.url, 'maggie', 'red'), 'red'))))
      .client
  let bound = await openRed()
  const cases = [
    ['text that is not JSON', 'hello', 'bad_message', undefined],
    ['truncated JSON', '{"type":"ping"', 'bad_message', undefined],
    ['an empty message', '', 'bad_message', undefined],
    ['null', 'null', 'bad_message', undefined],
    ['a list', '[]', 'bad_message', undefined],
    ['a number', '5', 'bad_message', undefined],
    ['no type', '{"id":1}', 'unknown_type', 1],
    ['a type that is a number', '{"type":5,"id":1}', 'unknown_type', 1],
    ['an unknown type', '{"type":"shout","id":1}', 'unknown_type', 1],
    ['a type that is a method', '{"type":"constructor","id":1}', 'unknown_type', 1],
    ['a type for clients only', '{"type":"welcome","id":1}', 'unknown_type', 1],
    ['a publish without data', '{"type":"publish","id":1}', 'bad_message', 1],
    ['a subscribe without a channel', '{"type":"subscribe","id":1}', 'channel_invalid', 1],
    ['a channel that is a number', '{"type":"subscribe","channel":5,"id":1}', 'channel_invalid', 1],
    ['a channel with a space', '{"type":"subscribe","channel":"a b","id":1}', 'channel_invalid', 1],
    ['a channel with an asterisk', '{"type":"publish","channel":"*","data":1,"id":1}', 'channel_invalid', 1],
    [
      'a channel of 129 characters',
      `{"type":"subscribe","channel":"${'a'.repeat(129)}","id":1}`,
      'channel_invalid',
      1,
    ],
  ] as const
  for (const [index, [name, text, code, id]] of cases.entries()) {
    // The rate applies to each socket, and there are more cases than it allows at once.
    if (index % 15 === 14) {
      await bound.close()
      bound = await openRed()
    }
    const heard = await bound.ask(text)
    t.match(heard, { type: 'error', code, detail: String }, name)
    t.equal(heard.id, id, `${name}: the id`)
  }
  await bound.close()
})

t.test('a ticket for one channel opens no other in band', async t => {
  const other = await join('other', 'blue')
  const bound = (
    await openSession(socketUrl(server.url, gatePath(await mint(server.url, 'maggie', 'red'), 'red')))
  ).client
  for (const message of [
    { type: 'subscribe', channel: 'blue', id: 1 },
    { type: 'publish', channel: 'blue', data: 'x', id: 2 },
    { type: 'subscribe', channel: '', id: 3 },
    { type: 'subscribe', channel: 'RED', id: 4 },
  ])
    t.match(
      await bound.ask(message),
      { type: 'error', code: 'channel_forbidden', id: message.id },
      `${message.type} ${message.channel}`,
    )
  t.strictSame(
    await bound.ask({ type: 'publish', channel: 'red', data: 1, id: 5 }),
    { type: 'ok', id: 5 },
    'its own channel is allowed',
  )
  t.ok(await hearsNothing(other), 'nothing reached the other channel')
  await Promise.all([other.close(), bound.close()])
})

t.test('data may be nested 128 deep, and no deeper', async t => {
  const one = await join('one')
  const nested = (depth: number): string =>
    `{"type":"publish","data":${'['.repeat(depth)}${']'.repeat(depth)},"id":1}`
  t.strictSame(await one.ask(nested(128)), { type: 'ok', id: 1 })
  for (const depth of [129, 450]) t.strictSame(await one.ask(nested(depth)), badMessage, `${depth} deep`)
  await one.close()
})

t.test('a binary frame on a JSON socket gets an error, and the socket stays open', async t => {
  const one = await join('one')
  t.strictSame(await one.ask(Buffer.from('{"type":"ping","id":1}')), badMessage)
  t.strictSame(await one.ask({ type: 'ping', id: 2 }), { type: 'pong', id: 2 })
  await one.close()
})

t.test('a flood closes the socket with 4429 and says when to retry', async t => {
  const one = await join('flood')
  for (let n = 0; n < 300; n++) one.send({ type: 'ping', id: n })
  const { code, reason } = await one.closed
  t.equal(code, 4429)
  t.match(reason, /^retry_after_ms=(1\d{3}|2000)$/, 'between one and two times the seconds of the rate')
})

t.test('a burst of twice the rate is allowed', async t => {
  const one = await join('burst')
  for (let n = 0; n < 40; n++) one.send({ type: 'ping', id: n })
  for (let n = 0; n < 40; n++) {
    const pong = await one.next()
    if (pong.id !== n) t.fail(`pong ${n}: ${JSON.stringify(pong)}`)
  }
  t.equal((await one.close()).code, 1005)
})

t.test('a message of the maximum size is accepted, a byte more closes with 1009', async t => {
  const sized = (bytes: number): string => `{"type":"ping","id":"${'a'.repeat(bytes - 23)}"}`
  const whole = await join('large')
  t.equal((await whole.ask(sized(1024))).type, 'pong', '1024 bytes')
  whole.send(sized(1025))
  t.equal((await whole.closed).code, 1009, '1025 bytes')

  const wide = await join('wide')
  wide.send(`{"type":"ping","id":"${'€'.repeat(340)}"}`)
  t.equal((await wide.closed).code, 1009, 'bytes are counted, not characters')

  const parts = await join('parts')
  parts.socket.send(sized(1025).slice(0, 600), { fin: false })
  parts.socket.send(sized(1025).slice(600), { fin: true })
  t.equal((await parts.closed).code, 1009, 'in two fragments')

  const huge = await join('huge')
  huge.send('a'.repeat(1_000_000))
  t.equal((await huge.closed).code, 1006, 'more than twice the maximum: no close frame')
})

t.test('ids and numbers of 64 bits are unchanged', async t => {
  const url = async (user: string): Promise<string> =>
    socketUrl(server.url, gatePath(await mint(server.url, user)))
  const protocols = ['ticketgate.v1.msgpack']
  const [json, packed] = [
    (await openSession(await url('j'))).client,
    (await openSession(await url('m'), { protocols })).client,
  ]
  const next = async (client: Client): Promise<Buffer> => (await once(client.socket, 'message'))[0] as Buffer

  for (const id of ['9007199254740993', '1.0', '1e2', '-0', '18446744073709551615']) {
    const pong = next(json)
    json.send(`{"type":"ping","id":${id}}`)
    t.equal(String(await pong), `{"type":"pong","id":${id}}`)
    const error = next(json)
    json.send(`{"type":"publish","channel":"a b","data":1,"id":${id}}`)
    t.ok(String(await error).endsWith(`,"id":${id}}`), `${id}: in an error`)
  }

  const bytes = (hex: string): Buffer => Buffer.from(hex.replaceAll(' ', ''), 'hex')
  const [type, publish, data, id] = ['a474797065', 'a77075626c697368', 'a464617461', 'a26964']
  for (const number of [
    'cf0000000000000005',
    'd30000000000000005',
    'cfffffffffffffffff',
    'd38000000000000000',
  ]) {
    const replies = [next(packed), next(json)] as const
    packed.send(bytes(`83 ${type} ${publish} ${data} 91 ${number} ${id} ${number}`))
    t.ok((await replies[0]).equals(bytes(`82 ${type} a26f6b ${id} ${number}`)), `${number}: ok`)
    const value = number.startsWith('cf') ? bytes(number).readBigUInt64BE(1) : bytes(number).readBigInt64BE(1)
    t.match(String(await replies[1]), `"data":[${value}]`, `${number}: in JSON`)
  }
  await Promise.all([json.close(), packed.close()])
})
