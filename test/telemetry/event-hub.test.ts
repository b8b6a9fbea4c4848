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

/** All that there is to take, in short: the number, and the user or the reason. */
const taken = (reader: EventReader): string[] => {
  const all: string[] = []
  for (let event = reader.take(); event !== undefined; event = reader.take()) {
    const { user, reason } = JSON.parse(event.data) as { user?: string; reason?: string }
    all.push(`${event.id.slice(event.id.lastIndexOf('.') + 1)} ${user ?? reason}`)
  }
  return all
}

t.test('a reader takes what happens from when it came, in order, once', async t => {
  const { hub, login } = start()
  login('before')
  const reader = hub.read(undefined, nothing)
  t.strictSame(taken(reader), ['0 start'])
  login('maggie')
  login('theo')
  t.strictSame(taken(reader), ['1 maggie', '2 theo'])
  t.strictSame(taken(reader), [])
  login('vera')
  const event = reader.take()
  t.equal(event?.data, '{"atMs":1764000000000,"user":"vera"}')
  t.match(event?.id, /^[0-9a-f]{12}\.3$/)
})

t.test('as many are kept as there is room for, and one who misses some is told', async t => {
  const { hub, login } = start(3)
  const slow = hub.read(undefined, nothing)
  const ids: string[] = []
  const quick = hub.read(undefined, nothing)
  taken(slow)
  taken(quick)
  for (const user of ['a', 'b', 'c', 'd']) {
    login(user)
    ids.push(quick.take()?.id ?? '')
  }
  t.strictSame(taken(slow), ['4 slow'], 'it goes on from now')
  login('e')
  t.strictSame(taken(slow), ['5 e'])
  t.strictSame(taken(hub.read(ids[0], nothing)), ['5 gap'], 'after 1 comes 2, which is kept no more')
  t.strictSame(taken(hub.read(ids[1], nothing)), ['3 c', '4 d', '5 e'])
  t.strictSame(taken(hub.read(ids[3], nothing)), ['5 e'])
})

t.test('readers are woken once for all that happens in a turn', async t => {
  const { hub, login } = start()
  let times = 0
  hub.read(undefined, () => times++)
  login('a')
  login('b')
  t.equal(times, 0)
  await new Promise(resolve => setImmediate(resolve))
  t.equal(times, 1)
})

t.test('without a reader nothing is told; after the last one, it is for five minutes', async t => {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  const { hub, watched, login } = start()
  t.equal(hub.sink.isOn, false)
  const first = hub.read(undefined, nothing)
  taken(first)
  login('a')
  const { id = '' } = first.take() ?? {}
  first.close()
  mock.timers.tick(299_999)
  login('b')
  const second = hub.read(id, nothing)
  t.strictSame(taken(second), ['2 b'])
  mock.timers.tick(300_000)
  t.strictSame(watched, [true], 'somebody is there again')
  second.close()
  mock.timers.tick(300_000)
  t.strictSame(watched, [true, false])
  login('unheard')
  t.strictSame(taken(hub.read(id, nothing)), ['3 gap'], 'whatever happened meanwhile has no number')
  t.strictSame(watched, [true, false, true])
})

t.test('at the end readers take what is left', async t => {
  const { hub, login } = start()
  let left: string[] = []
  const reader = hub.read(undefined, () => {
    left = taken(reader)
  })
  login('last')
  hub.close()
  t.strictSame(left, ['1 start'], 'a reader that has taken nothing yet has nothing to go on from')
  t.equal(reader.isOver, true)
  t.equal(hub.read(undefined, nothing).isOver, true)
})
