import fc from 'fast-check'
import t from 'tap'
import { ChannelTopics, channelOfTopic } from '../../src/socket/channel-topics.js'
import { type ModelSocket, TopicModel } from './topics.js'

const channels = ['', 'lobby', '1', 'a.b:c']
const shardCapacity = 64
const encodings = ['json', 'msgpack'] as const

/** Publishes to a channel at once. Returns the number of subscribers. */
const publish = (topics: ChannelTopics, channel: string, text: string, from?: ModelSocket): number => {
  let subscribers = 0
  for (const shard of topics.shardsOf(channel)) {
    topics.publish(shard, Buffer.from(text), false, from)
    subscribers += shard.subscribers
  }
  return subscribers
}

t.test('a channel is one topic per encoding until it has more subscribers than a topic may have', async t => {
  const model = new TopicModel()
  const topics = new ChannelTopics(model, shardCapacity)
  const add = (): ModelSocket => {
    const socket = model.socket()
    topics.join(socket, 'json', 'lobby')
    return socket
  }
  for (let n = 0; n < shardCapacity; n++) add()
  t.strictSame(
    topics.shardsOf('lobby').map(({ topic, subscribers }) => [topic, subscribers]),
    [['jlobby', shardCapacity]],
  )
  add()
  t.strictSame(
    topics.shardsOf('lobby').map(({ topic, subscribers }) => [topic, subscribers]),
    [
      ['jlobby', shardCapacity],
      ['j1/lobby', 1],
    ],
  )
})

t.test('a topic’s channel can be read from its name', async t => {
  for (const [topic, channel] of [
    ['j', ''],
    ['jlobby', 'lobby'],
    ['m1', '1'],
    ['j12/lobby', 'lobby'],
    ['m3/', ''],
  ] as const)
    t.equal(channelOfTopic(topic), channel, topic)
})

t.test('sockets that leave make room for others, so topics do not multiply', async t => {
  const model = new TopicModel()
  const topics = new ChannelTopics(model, shardCapacity)
  const most = 4 * shardCapacity
  const open: ModelSocket[] = []
  for (let n = 0; n < 20_000; n++) {
    const socket = model.socket()
    topics.join(socket, 'json', 'lobby')
    open.push(socket)
    // A different one each time, so that every topic has gaps.
    if (open.length > most) open.splice((n * 7919) % open.length, 1)[0]?.leave()
  }
  const shards = topics.shardsOf('lobby')
  t.ok(shards.length <= 9, `${shards.length} topics for ${most} subscribers`)
  t.ok(model.sizes.every(size => size <= shardCapacity))
})

t.test(
  'however sockets come and go, each subscriber gets a publication once, but not the publisher',
  async t => {
    const action = fc.oneof(
      {
        weight: 6,
        arbitrary: fc.record({ is: fc.constant('open' as const), many: fc.integer({ min: 1, max: 200 }) }),
      },
      {
        weight: 2,
        arbitrary: fc.record({ is: fc.constant('leave' as const), many: fc.integer({ min: 1, max: 300 }) }),
      },
      {
        weight: 2,
        arbitrary: fc.record({
          is: fc.constantFrom('subscribe' as const, 'unsubscribe' as const),
          many: fc.integer({ min: 1, max: 200 }),
        }),
      },
      { weight: 2, arbitrary: fc.record({ is: fc.constant('publish' as const), many: fc.nat() }) },
    )
    const setting = fc.record({
      channel: fc.constantFrom(...channels),
      encoding: fc.constantFrom(...encodings),
    })
    fc.assert(
      fc.property(fc.array(fc.tuple(action, setting), { minLength: 5, maxLength: 40 }), steps => {
        const model = new TopicModel()
        const topics = new ChannelTopics(model, shardCapacity)
        const subscribers = new Map<ModelSocket, { encoding: 'json' | 'msgpack'; channels: Set<string> }>()
        for (const [{ is, many }, { channel, encoding }] of steps) {
          const some = [...subscribers].slice(0, many)
          if (is === 'open')
            for (let n = 0; n < many; n++) {
              const socket = model.socket()
              topics.join(socket, encoding, channel)
              subscribers.set(socket, { encoding, channels: new Set([channel]) })
            }
          else if (is === 'leave')
            for (const [socket] of some) {
              socket.leave()
              subscribers.delete(socket)
            }
          else if (is === 'publish') {
            const from = [...subscribers.keys()][many % Math.max(1, subscribers.size)]
            const expected = [...subscribers].filter(([, { channels }]) => channels.has(channel))
            if (publish(topics, channel, 'x', from) !== expected.length) return false
            for (const [socket, { channels }] of subscribers) {
              const heard = socket.heard.splice(0).length
              if (heard !== Number(channels.has(channel) && socket !== from)) return false
            }
          } else
            for (const [socket, { encoding: own, channels }] of some) {
              topics[is](socket, own, channel)
              if (is === 'subscribe') channels.add(channel)
              else channels.delete(channel)
              if (topics.countOf(socket) !== channels.size) return false
              if (topics.isSubscribed(socket, own, channel) !== channels.has(channel)) return false
            }
          if (model.sizes.some(size => size > shardCapacity)) return false
        }
        return true
      }),
      { numRuns: 200 },
    )
    t.pass('200 runs')
  },
)

t.test('restricting a socket leaves its other channels', async t => {
  const model = new TopicModel()
  const topics = new ChannelTopics(model, shardCapacity)
  for (let n = 0; n < shardCapacity; n++) topics.join(model.socket(), 'msgpack', 'full')
  const socket = model.socket()
  for (const channel of ['', 'full', 'other']) topics.subscribe(socket, 'msgpack', channel)
  topics.restrict(socket, channel => channel !== 'full')
  t.strictSame(socket.getTopics(), ['m', 'mother'])
})
