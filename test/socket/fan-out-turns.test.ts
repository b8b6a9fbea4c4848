import { setImmediate as nextTurn } from 'node:timers/promises'
import t from 'tap'
import { ChannelTopics, shardCapacity } from '../../src/socket/channel-topics.js'
import { FanOut } from '../../src/socket/fan-out.js'
import { createCounters } from '../../src/telemetry/metrics.js'
import type { Publication } from '../../src/wire/relay.js'
import { type ModelSocket, TopicModel } from './topics.js'

const largest = 16_384

const start = ({ compresses = false } = {}) => {
  const model = new TopicModel()
  const topics = new ChannelTopics(model, compresses ? shardCapacity.compressed : shardCapacity.plain)
  const counters = createCounters()
  const malformed: unknown[] = []
  const fanOut = new FanOut({
    topics,
    compresses,
    maxMessageBytes: largest,
    counters,
    onMalformed: error => malformed.push(error),
  })
  const join = (count: number, channel: string, encoding: 'json' | 'msgpack' = 'json'): ModelSocket[] =>
    Array.from({ length: count }, () => {
      const socket = model.socket()
      topics.join(socket, encoding, channel)
      return socket
    })
  return { model, counters, malformed, fanOut, join }
}

/** A publication whose data has its number. */
const numbered = (channel: string, number: number, bytes = 64): Publication => ({
  type: 'publish',
  channel,
  encoding: 'json',
  data: Buffer.from(JSON.stringify([number, 'x'.repeat(bytes)])),
})

/** The number in a received message. Parsing millions of large messages would take seconds. */
const numberIn = (message: string): number => Number(/"data":\[(\d+)/.exec(message)?.[1])

const deliveries = ({ model }: { model: TopicModel }): number =>
  model.published.reduce((sum, { reached }) => sum + reached, 0)

t.test('publications that fit into a turn are sent at once', async t => {
  const gate = start()
  const [first] = gate.join(1000, 'lobby')
  for (let n = 0; n < 32; n++) t.equal(gate.fanOut.send(numbered('lobby', n)), 1000)
  t.strictSame(first?.heard.map(numberIn), [...Array(32).keys()])
  t.equal(gate.counters.publicationsQueued, 0)
})

for (const [name, compresses, bytes, subscribers, publications] of [
  ['a burst of the largest messages to 500', false, 16_000, 500, 200],
  ['a burst of the largest messages to 5,000', false, 16_000, 5000, 200],
  ['a tenth of that burst, compressed', true, 16_000, 500, 20],
  ['one message, compressed, to 5,000', true, 16_000, 5000, 1],
  ['small messages by the thousand', false, 64, 1000, 5000],
] as const)
  t.test(`${name}: sent over many turns, in order, with other channels in between`, async t => {
    const gate = start({ compresses })
    const crowd = gate.join(subscribers, 'lobby')
    const [other] = gate.join(1, 'other')
    const incomplete = new Set(crowd)
    const accepted = Array.from({ length: publications }, (_, n) =>
      gate.fanOut.send(numbered('lobby', n, bytes)),
    )
    t.ok(
      accepted.every(reached => reached === subscribers),
      'every publication is accepted',
    )
    t.ok(deliveries(gate) < subscribers * publications, 'they are not all sent at once')
    t.ok(gate.counters.publicationsQueued > 0)
    t.equal(gate.fanOut.send(numbered('other', 0)), 1)
    let turns = 0
    let before = deliveries(gate)
    for (let receivedAt: number | undefined; receivedAt === undefined; turns++) {
      await nextTurn()
      if (other?.heard.length === 1) receivedAt = turns
    }
    t.ok(turns <= 1, 'a message on another channel waits for one turn at most')
    let most = 0
    for (; deliveries(gate) < subscribers * publications + 1; turns++) {
      await nextTurn()
      most = Math.max(most, deliveries(gate) - before)
      before = deliveries(gate)
    }
    t.ok(turns >= 2, `${turns} turns, with ${most} deliveries at most`)
    for (const each of crowd) {
      const numbers = each.heard.map(numberIn)
      if (numbers.length === publications && numbers.every((number, index) => number === index))
        incomplete.delete(each)
    }
    t.equal(incomplete.size, 0, 'every socket received everything in order')
    const lobby = gate.model.published.filter(({ topic }) => topic.endsWith('lobby'))
    t.ok(lobby.every(({ compress }) => compress === compresses))
  })

t.test('a publication that waits keeps its own copy of the data', async t => {
  const gate = start()
  const [one] = gate.join(1000, 'lobby')
  const memory = Buffer.alloc(largest, 'a')
  memory[0] = memory[largest - 1] = 0x22
  for (let n = 0; n < 10; n++)
    gate.fanOut.send({ type: 'publish', channel: 'lobby', encoding: 'json', data: memory })
  t.ok(gate.counters.publicationsQueued > 0)
  memory.fill('z')
  while ((one?.heard.length ?? 0) < 10) await nextTurn()
  t.notOk(one?.heard.some(message => message.includes('zz')))
})

t.test('a publisher does not receive its own message, and may leave', async t => {
  const gate = start()
  const [publisher, leaving, other] = gate.join(1000, 'lobby')
  for (let n = 0; n < 20; n++) {
    gate.fanOut.send(numbered('lobby', n, 16_000), publisher)
    gate.fanOut.send(numbered('lobby', n, 16_000), leaving)
  }
  leaving?.leave()
  while ((other?.heard.length ?? 0) < 40) await nextTurn()
  t.equal(publisher?.heard.length, 20, 'it receives only the messages of the other publisher')
})

t.test('waiting publications of a revoked user are dropped', async t => {
  const gate = start()
  const [flooder, honest, other] = gate.join(1000, 'lobby')
  for (let n = 0; n < 20; n++) gate.fanOut.send(numbered('lobby', n, 16_000), flooder)
  gate.fanOut.send(numbered('lobby', 20), honest)
  const before = other?.heard.length ?? 0
  t.ok(before < 20)
  if (flooder !== undefined) flooder.getUserData().session.closeReason = 'revoked'
  flooder?.leave()
  await nextTurn()
  t.strictSame(other?.heard.slice(before).map(numberIn), [20])
})

t.test('the queue is bounded: publications are refused until there is room again', async t => {
  const gate = start()
  const [one] = gate.join(5000, 'lobby')
  const accepted: number[] = []
  let sent = 0
  for (; accepted.length === sent; sent++)
    if (gate.fanOut.send(numbered('lobby', sent, 16_000)) !== undefined) accepted.push(sent)
  t.ok(accepted.length > 400, `${accepted.length} are queued, more than a socket may send in a burst`)
  t.equal(gate.counters.publicationsRefused, 1)
  t.equal(gate.fanOut.send(numbered('nobody', 0)), 0, 'without subscribers, nothing is queued')
  gate.join(1, 'other')
  t.equal(gate.fanOut.send(numbered('other', 0)), 1, 'another channel has room')
  while (gate.fanOut.send(numbered('lobby', sent)) === undefined) await nextTurn()
  while ((one?.heard.length ?? 0) < accepted.length + 1) await nextTurn()
  t.strictSame(one?.heard.map(numberIn), [...accepted, sent], 'accepted publications arrive in order')
})

t.test('malformed data is never sent in another encoding', async t => {
  const gate = start()
  const [one] = gate.join(1000, 'lobby', 'msgpack')
  const broken: Publication = { type: 'publish', channel: 'lobby', encoding: 'json', data: Buffer.from('{') }
  gate.fanOut.send(broken)
  t.equal(gate.malformed.length, 4, 'it is reported for each shard')
  for (let n = 0; n < 20; n++) gate.fanOut.send(numbered('lobby', n, 16_000))
  t.ok(gate.counters.publicationsQueued > 0)
  gate.fanOut.send(broken)
  while ((one?.heard.length ?? 0) < 20) await nextTurn()
  await nextTurn()
  t.ok(gate.malformed.length > 4)
  gate.fanOut.send(numbered('lobby', 0))
  t.equal(one?.heard.length, 21, 'later publications are sent')
})

t.test('a gate that closes sends nothing more', async t => {
  const gate = start()
  gate.join(5000, 'lobby')
  for (let n = 0; n < 20; n++) gate.fanOut.send(numbered('lobby', n, 16_000))
  gate.fanOut.close()
  const before = deliveries(gate)
  await nextTurn()
  await nextTurn()
  t.equal(deliveries(gate), before)
})
