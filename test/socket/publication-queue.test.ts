import fc from 'fast-check'
import t from 'tap'
import { PublicationQueue, type Queued } from '../../src/socket/publication-queue.js'

interface Item extends Queued {
  readonly number: number
  steps: number
}

const item = (channel: string, number: number, bytes = 10, steps = 1): Item => ({
  channel,
  number,
  bytes,
  steps,
})

/** Takes turns until the queue is empty. Returns the channel and number of the item of each step. */
const drain = (queue: PublicationQueue<Item>): string[] => {
  const steps: string[] = []
  while (!queue.isEmpty)
    queue.turn(each => {
      steps.push(`${each.channel}${each.number}`)
      return --each.steps === 0
    })
  return steps
}

const roomy = { channelBytes: 1000, totalBytes: 10_000 }

t.test('channels take turns, each in order, and an item stays first until it is done', async t => {
  const queue = new PublicationQueue<Item>(roomy)
  for (const each of [item('a', 1, 10, 3), item('a', 2), item('b', 1), item('a', 3), item('c', 1, 10, 2)])
    queue.add(each)
  t.strictSame(drain(queue), ['a1', 'b1', 'c1', 'a1', 'c1', 'a1', 'a2', 'a3'])
  t.equal(queue.bytes, 0)
})

t.test('items added during a turn come after waiting ones', async t => {
  const queue = new PublicationQueue<Item>(roomy)
  queue.add(item('a', 1))
  queue.turn(() => {
    t.ok(queue.has('a'))
    queue.add(item('a', 2))
    return true
  })
  t.strictSame(drain(queue), ['a2'])
  queue.turn(() => t.fail('an empty queue takes no step'))
})

t.test('it is bounded per channel and in total, and no channel crowds out the others', async t => {
  const queue = new PublicationQueue<Item>({ channelBytes: 100, totalBytes: 250 })
  const addIfRoom = (channel: string, bytes: number): boolean => {
    const hasRoom = queue.hasRoom(channel, bytes)
    if (hasRoom) queue.add(item(channel, 0, bytes))
    return hasRoom
  }
  t.ok(addIfRoom('a', 60))
  t.ok(addIfRoom('a', 40))
  t.notOk(addIfRoom('a', 1), 'the channel is full')
  t.ok(addIfRoom('b', 100))
  t.ok(addIfRoom('c', 50))
  t.notOk(addIfRoom('c', 1), 'the queue is full')
  t.ok(addIfRoom('d', 250), 'a channel with nothing queued still has room')
  t.notOk(addIfRoom('e', 1), 'only up to a limit')
  drain(queue)
  t.ok(addIfRoom('a', 100), 'there is room again once it is drained')
  queue.clear()
  t.ok(queue.isEmpty)
  t.equal(queue.bytes, 0)
})

t.test('nothing is lost, and every channel keeps its order', async t => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.constantFrom('a', 'b', 'c'), fc.constant('turn'))), actions => {
      const queue = new PublicationQueue<Item>(roomy)
      const out: string[] = []
      const added: string[] = []
      const take = (each: Item): boolean => {
        out.push(`${each.channel}${each.number}`)
        return true
      }
      for (const [number, action] of actions.entries())
        if (action === 'turn') queue.turn(take)
        else {
          queue.add(item(action, number))
          added.push(`${action}${number}`)
        }
      while (!queue.isEmpty) queue.turn(take)
      const of = (channel: string, all: readonly string[]): string =>
        all.filter(each => each.startsWith(channel)).join()
      return ['a', 'b', 'c'].every(channel => of(channel, out) === of(channel, added)) && queue.bytes === 0
    }),
  )
  t.pass()
})
