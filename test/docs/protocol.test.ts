import { readFileSync } from 'node:fs'
import { unpack } from 'msgpackr'
import t, { type Test } from 'tap'
import { closeCode, messageError } from '../../src/protocol.js'
import { bearer, type Json, postJson } from '../support/http.js'
import { adminKey, startServer } from '../support/server.js'
import { type Client, open, openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, mintWith, tokenFor } from '../support/tokens.js'
import { codeBlocks, tableUnder } from './markdown.js'

const protocol = readFileSync(new URL('../../src/socket/PROTOCOL.md', import.meta.url), 'utf8')
const server = await startServer(t, { env: { TICKETGATE_FIRST_MESSAGE_SECONDS: '30' } })

/** The rights that the examples assume. */
const channels = { publish: ['lobby'], subscribe: ['lobby', 'news'] }

const openAs = async (user: string, claims: Json): Promise<{ client: Client; welcome: Json }> => {
  const { ticket } = await mintWith(server.url, tokenFor(user, claims))
  return openSession(socketUrl(server.url, gatePath(ticket, 'lobby')))
}

/** Replaces the values that differ from run to run: only their types are compared. */
const comparable = (message: Json): Json => ({
  ...message,
  ...('session' in message ? { session: typeof message.session } : {}),
  ...('expires' in message ? { expires: Number.isInteger(message.expires) } : {}),
})

const token = (): string => tokenFor('maggie', { channels, sid: 'WZ3kQ0m8' })

/** Replaces the abbreviated ticket or token of an example with a real one. */
const withSecrets = async (message: string): Promise<string> =>
  message.includes('"AQAB…"')
    ? message.replace('AQAB…', (await mintWith(server.url, token())).ticket)
    : message.replace('eyJ…', token())

async function play(t: Test, example: string): Promise<void> {
  const [maggie, theo] = [
    await openAs('maggie', { channels, sid: 'WZ3kQ0m8' }),
    await openAs('theo', { sid: 'T9' }),
  ]
  for (const line of example.split('\n')) {
    if (line.startsWith('→ ')) maggie.client.send(await withSecrets(line.slice(2)))
    else if (line.startsWith('← ')) {
      const expected = JSON.parse(line.slice(2)) as Json
      if (expected.type === 'message')
        theo.client.send({ type: 'publish', channel: expected.channel, data: expected.data })
      const received = expected.type === 'welcome' ? maggie.welcome : await maggie.client.next()
      t.strictSame(comparable(received), comparable(expected), line)
    } else t.fail(`neither → nor ←: ${line}`)
  }
  t.strictSame(await maggie.client.ask({ type: 'ping', id: 'end' }), { type: 'pong', id: 'end' }, 'no others')
  await Promise.all([maggie.client.close(), theo.client.close()])
}

/** Checks a message that the server sends when the operator disconnects a user. */
async function playNotice(t: Test, user: string, expected: Json): Promise<void> {
  const { client } = await openAs(user, {})
  const { type, withinSeconds, ...others } = expected
  const disconnection = { user, ...others, reauthenticateWithinSeconds: withinSeconds }
  await postJson(server.admin, '/disconnect', disconnection, { headers: bearer(adminKey) })
  t.strictSame(await client.next(), expected, String(type))
  await client.close()
}

t.test('the examples run as described', async t => {
  const examples = codeBlocks(protocol, 'wire')
  for (const example of examples) await play(t, example)
  const [first = '', ...others] = codeBlocks(protocol, 'first')
  t.strictSame(others, [])
  examples.push(first)
  const [sent = '', reply = ''] = first.split('\n').map(line => line.slice(2))
  const client = await open(socketUrl(server.url, '/channel/lobby'))
  t.strictSame(comparable(await client.ask(await withSecrets(sent))), comparable(JSON.parse(reply) as Json))
  await client.close()
  for (const [index, example] of codeBlocks(protocol, 'notice').entries()) {
    examples.push(example)
    await playNotice(t, `notified-${index}`, JSON.parse(example.slice(2)) as Json)
  }
  const types = new Set([...examples.join('\n').matchAll(/^. \{"type":"(\w+)"/gm)].map(([, type]) => type))
  t.strictSame(
    [...types].sort(),
    [
      'auth',
      'error',
      'message',
      'ok',
      'ping',
      'pong',
      'publish',
      'renew',
      'renew_required',
      'renewed',
      'shout',
      'subscribe',
      'unsubscribe',
      'unsubscribed',
      'welcome',
    ],
    'every message has an example',
  )
})

t.test('all close codes are listed', async t => {
  const codes = tableUnder(protocol, '## 5. The end').map(([code]) => Number(code))
  t.strictSame([...new Set(codes)], Object.values(closeCode).sort())
})

t.test('all error codes are listed', async t => {
  const rows = tableUnder(
    protocol.slice(protocol.indexOf('\n### error\n')),
    'The request had no effect, and the socket stays open.',
  )
  t.strictSame(
    rows.map(([code]) => code),
    Object.values(messageError).map(code => `\`${code}\``),
  )
})

t.test('MessagePack messages have the documented bytes', async t => {
  const [block = ''] = codeBlocks(protocol, 'msgpack')
  const [request, reply] = block.split('\n').map(line => {
    const [message = '', bytes = ''] = line.split(/ {2,}/)
    const packed = Buffer.from(bytes.replaceAll(' ', ''), 'hex')
    t.strictSame(unpack(packed), JSON.parse(message), message)
    return packed
  })
  const { ticket } = await mintWith(server.url, tokenFor('maggie'))
  const { client } = await openSession(socketUrl(server.url, gatePath(ticket)), {
    protocols: ['ticketgate.v1.msgpack'],
  })
  const received = new Promise(resolve => client.socket.once('message', resolve))
  client.send(request)
  t.strictSame(await received, reply)
  await client.close()
})
