import t from 'tap'
import { FairQueue, QueueFullError } from '../../src/limits/fair-queue.js'

interface Job {
  readonly outcome: Promise<'done' | 'refused'>
  /** Lets it end. */
  end(): void
}

/** A queue whose jobs end when a test says so, and the order in which they began. */
const create = (concurrency: number, limit: number) => {
  const queue = new FairQueue({ concurrency, limit })
  const begun: string[] = []
  const endings: (() => void)[] = []
  const add = (name: string): Job => {
    let end = (): void => {}
    const ended = new Promise<void>(resolve => {
      end = resolve
    })
    const outcome = queue
      .run(name.charAt(0), async () => {
        begun.push(name)
        endings.push(end)
        await ended
      })
      .then(
        () => 'done' as const,
        error => {
          if (error instanceof QueueFullError) return 'refused' as const
          throw error
        },
      )
    return { outcome, end }
  }
  /** Ends all jobs, one after another, in the order in which they began. */
  const drain = async (): Promise<void> => {
    for (let n = 0; queue.pending > 0; n++) {
      endings[n]?.()
      await new Promise(setImmediate)
    }
  }
  return { queue, begun, add, drain }
}

t.test('groups take turns, and within a group the order is kept', async t => {
  const { begun, add, drain } = create(1, 100)
  for (const name of ['a1', 'a2', 'a3', 'a4', 'b1', 'b2', 'c1']) add(name)
  await drain()
  t.strictSame(begun, ['a1', 'a2', 'b1', 'c1', 'a3', 'b2', 'a4'])
})

t.test('concurrency is bounded', async t => {
  const { queue, begun, add, drain } = create(2, 100)
  for (const name of ['a1', 'b1', 'c1', 'd1']) add(name)
  await new Promise(setImmediate)
  t.strictSame(begun, ['a1', 'b1'])
  t.equal(queue.pending, 4)
  await drain()
  t.equal(begun.length, 4)
})

t.test('if the queue is full, the newest job of the largest group is refused', async t => {
  const { queue, begun, add, drain } = create(1, 4)
  const flood = ['a0', 'a1', 'a2', 'a3', 'a4', 'a5'].map(add)
  t.equal(queue.pending, 5, 'one runs, four wait')
  t.equal(await flood[5]?.outcome, 'refused', 'another job of the same group is refused')
  const [b, c] = [add('b1'), add('c1')]
  t.equal(await flood[4]?.outcome, 'refused')
  t.equal(await flood[3]?.outcome, 'refused')
  const d = add('d1')
  t.equal(await flood[2]?.outcome, 'refused')
  t.equal(await add('e1').outcome, 'refused', 'if every group has one job, the new one is refused')
  await drain()
  t.strictSame(await Promise.all([b, c, d].map(({ outcome }) => outcome)), ['done', 'done', 'done'])
  t.strictSame(begun, ['a0', 'a1', 'b1', 'c1', 'd1'])
})

t.test('a flood from one group does not block others', async t => {
  const { add, drain } = create(2, 64)
  for (let n = 0; n < 500; n++) add(`f${n}`)
  const others = Array.from({ length: 30 }, (_, n) => add(String.fromCharCode(0x4e00 + n)))
  for (let n = 0; n < 500; n++) add(`f${n}`)
  await drain()
  const outcomes = await Promise.all(others.map(({ outcome }) => outcome))
  t.strictSame(new Set(outcomes), new Set(['done']))
})

t.test('a failed job makes room for the next', async t => {
  const queue = new FairQueue({ concurrency: 1, limit: 0 })
  await t.rejects(
    queue.run('a', () => Promise.reject(new Error('no'))),
    { message: 'no' },
  )
  t.equal(queue.pending, 0)
  t.equal(await queue.run('a', async () => 5), 5)
})
