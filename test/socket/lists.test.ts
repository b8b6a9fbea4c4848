import t from 'tap'
import { mergeChannels } from '../../src/socket/channel-list.js'
import { mergeConnections } from '../../src/socket/connection-list.js'
import { Smallest } from '../../src/socket/smallest.js'
import { SocketIds } from '../../src/socket/socket-ids.js'

t.test('the smallest items are kept, in order', async t => {
  const smallest = new Smallest<number>(5)
  // 7919 is prime, so these are all numbers below 7919, shuffled.
  for (let n = 0; n < 7919; n++) smallest.add((n * 4001) % 7919, (n * 4001) % 7919)
  t.strictSame(smallest.sorted(), [0, 1, 2, 3, 4])
  const few = new Smallest<string>(5)
  for (const key of [3, 1, 2]) few.add(key, `k${key}`)
  t.strictSame(few.sorted(), ['k1', 'k2', 'k3'])
})

t.test('an id determines which sockets of a thread come after it', async t => {
  const ids = new SocketIds()
  const number = ids.next()
  t.equal(ids.floorAfter(ids.idOf(number)), number)
  t.equal(ids.floorAfter('--------.7'), 0, 'after an id of an earlier thread, all sockets')
  t.equal(ids.floorAfter('zzzzzzzz.7'), undefined, 'after an id of a later thread, none')
})

const connections = (thread: string, numbers: readonly number[], next?: string) => ({
  thread,
  connections: numbers.map(number => ({ id: `${thread}.${number}`, json: '{}' })),
  next,
})

t.test('pages of threads are merged', async t => {
  const cases = [
    ['all', [connections('b', [1]), connections('a', [7, 9])], 5, ['a.7', 'a.9', 'b.1'], undefined],
    ['exactly the limit', [connections('a', [7, 9]), connections('b', [])], 2, ['a.7', 'a.9'], undefined],
    ['more in another thread', [connections('a', [7, 9]), connections('b', [1])], 2, ['a.7', 'a.9'], 'a.9'],
    [
      'more in the same thread',
      [connections('a', [7, 9], 'a.9'), connections('b', [1])],
      2,
      ['a.7', 'a.9'],
      'a.9',
    ],
    ['more, after a short page', [connections('a', [7], 'a.8'), connections('b', [1])], 2, ['a.7'], 'a.8'],
    [
      'more, only in another thread',
      [connections('a', []), connections('b', [1, 2, 3])],
      2,
      ['b.1', 'b.2'],
      'b.2',
    ],
  ] as const
  for (const [name, pages, limit, expected, next] of cases) {
    const merged = mergeConnections(pages, limit)
    t.strictSame([merged.connections.map(({ id }) => id), merged.next], [expected, next], name)
  }
})

const channels = (counts: Readonly<Record<string, number>>, hasMore = false) => ({
  channels: Object.entries(counts).map(([channel, subscribers]) => ({ channel, subscribers })),
  hasMore,
})

t.test('the counts of threads are summed', async t => {
  const cases = [
    ['all', [channels({ a: 1, c: 2 }), channels({ b: 1, c: 3 })], 5, channels({ a: 1, b: 1, c: 5 })],
    ['one page', [channels({ a: 1, c: 2 }), channels({ b: 1, c: 3 })], 2, channels({ a: 1, b: 1 }, true)],
    [
      'no further than an incomplete page',
      [channels({ a: 1, b: 2 }, true), channels({ b: 1, z: 3 })],
      2,
      channels({ a: 1, b: 3 }, true),
    ],
  ] as const
  for (const [name, pages, limit, expected] of cases)
    t.strictSame(mergeChannels(pages, limit), expected, name)
})
