import { mock } from 'node:test'
import t from 'tap'
import { EventHub, type EventReader } from '../../src/telemetry/event-hub.js'

const start = (capacity = 3, node = '') => {
  const watched: boolean[] = []
  const hub = new EventHub({
    capacity,
    node,
    clock: () => 1_764_000_000_000.7,
    onWatched: isWatched => watched.push(isWatched),
  })
  return { hub, watched, login: (user: string) => hub.sink.tell('login', { user }) }
}

const nothing = (): void => {}

interface Read {
  readonly id: string
  readonly data: string
}

const read = (frame = ''): Read => {
  const [, id = '', data = '{}'] = /^id: (.+)\nevent: \w+\ndata: ([^\n]+)\n\n$/.exec(frame) ?? []
  return { id, data }
}

const short = (frame: string): string => {
  const { id, data } = read(frame)
  const { user, reason } = JSON.parse(data) as { user?: string; reason?: string }
  return `${id.slice(id.lastIndexOf('.') + 1)} ${user ?? reason}`
}

/** All events that can be taken, in a short form: the number, and the user or the reason. */
const taken = (reader: EventReader): string[] => {
  const all: string[] = []
  for (let frame = reader.take(); frame !== undefined; frame = reader.take()) all.push(short(frame))
  return all
}

/** The same, taking several at a time. */
const takenTogether = (reader: EventReader, bytes: number): string[] => {
  let text = ''
  for (let some = reader.takeSome(bytes); some !== undefined; some = reader.takeSome(bytes))
    text += typeof some === 'string' ? some : Buffer.from(some).toString()
  return text
    .split(/(?<=\n\n)/)
    .filter(frame => frame !== '')
    .map(short)
}

t.test('a reader gets the events since its start, in order, once', async t => {
  const { hub, login } = start()
  login('before')
  const reader = hub.read(undefined, nothing)
  t.strictSame(taken(reader), ['0 start'])
  login('maggie')
  login('theo')
  t.strictSame(taken(reader), ['1 maggie', '2 theo'])
  t.strictSame(taken(reader), [])
  login('vera')
  const { id, data } = read(reader.take())
  t.equal(data, '{"atMs":1764000000000,"user":"vera"}')
  t.match(id, /^[0-9a-f]{12}\.3$/)
})

t.test('only as many events are kept as fit, and a reader that misses some is told', async t => {
  const { hub, login } = start(3)
  const slow = hub.read(undefined, nothing)
  const ids: string[] = []
  const quick = hub.read(undefined, nothing)
  taken(slow)
  taken(quick)
  for (const user of ['a', 'b', 'c', 'd']) {
    login(user)
    ids.push(read(quick.take()).id)
  }
  t.strictSame(taken(slow), ['4 slow'], 'the slow reader continues from now')
  login('e')
  t.strictSame(taken(slow), ['5 e'])
  t.strictSame(taken(hub.read(ids[0], nothing)), ['5 gap'], 'the event after the first is no longer kept')
  t.strictSame(taken(hub.read(ids[1], nothing)), ['3 c', '4 d', '5 e'])
  t.strictSame(taken(hub.read(ids[3], nothing)), ['5 e'])
})

t.test('readers are woken only once for several events', async t => {
  const { hub, login } = start()
  let times = 0
  hub.read(undefined, () => times++)
  login('a')
  login('b')
  t.equal(times, 0)
  while (times === 0) await new Promise(resolve => setImmediate(resolve))
  t.equal(times, 1)
})

t.test('events are recorded only with a reader, and for five minutes after the last one leaves', async t => {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  const { hub, watched, login } = start()
  t.equal(hub.sink.isOn, false)
  const first = hub.read(undefined, nothing)
  taken(first)
  login('a')
  const { id } = read(first.take())
  first.close()
  mock.timers.tick(299_999)
  login('b')
  const second = hub.read(id, nothing)
  t.strictSame(taken(second), ['2 b'])
  mock.timers.tick(300_000)
  t.strictSame(watched, [true], 'a new reader keeps the recording on')
  second.close()
  mock.timers.tick(300_000)
  t.strictSame(watched, [true, false])
  login('unrecorded')
  t.strictSame(taken(hub.read(id, nothing)), ['3 gap'], 'events in the meantime have no number')
  t.strictSame(watched, [true, false, true])
})

t.test('when the hub closes, readers are woken to take the rest', async t => {
  const { hub, login } = start()
  let left: string[] = []
  const reader = hub.read(undefined, () => {
    left = taken(reader)
  })
  login('last')
  hub.close()
  t.strictSame(left, ['1 start'], 'a reader that has taken nothing yet gets only the start')
  t.equal(reader.isOver, true)
  t.equal(hub.read(undefined, nothing).isOver, true)
})

t.test('events of any size and content arrive whole, while the oldest are dropped', async t => {
  const capacity = 50
  const { hub, login } = start(capacity)
  const [one, some] = [hub.read(undefined, nothing), hub.read(undefined, nothing)]
  taken(one)
  takenTogether(some, 1000)
  const users: string[] = []
  let seed = 1
  const random = (most: number): number => {
    seed = (seed * 48_271) % 2_147_483_647
    return seed % most
  }
  for (let round = 0; round < 300; round++) {
    const count = 1 + random(6)
    const from = users.length
    for (let n = 0; n < count; n++) {
      const character = ['a', '"', '\\', 'ü', '漢', '𝄞', '\u2028'][random(7)] ?? ''
      users.push(character.repeat(random(700)))
      login(users.at(-1) ?? '')
    }
    const expected = users.slice(from).map((user, n) => `${from + n + 1} ${user}`)
    for (const got of [taken(one), takenTogether(some, random(3000))])
      if (JSON.stringify(got) !== JSON.stringify(expected)) t.strictSame(got, expected, `round ${round}`)
  }
  t.pass()
  const late = hub.read(undefined, nothing)
  taken(late)
  for (let n = 0; n < capacity + 1; n++) login('x')
  t.strictSame(takenTogether(late, 1000), [`${users.length + capacity + 1} slow`])
})
