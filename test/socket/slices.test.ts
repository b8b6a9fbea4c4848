import { setImmediate as nextTurn } from 'node:timers/promises'
import t from 'tap'
import { inSlices } from '../../src/socket/slices.js'

const items = Array.from({ length: 1000 }, (_, n) => n)

t.test('each item has its turn, in order, and others have theirs between them', async t => {
  const seen: number[] = []
  let isDone = false
  let turns = 0
  const others = (async () => {
    while (!isDone) {
      await nextTurn()
      turns++
    }
  })()
  await inSlices(items, item => {
    seen.push(item)
    // As long as a look at a socket with many subscriptions, and more.
    for (const startMs = performance.now(); performance.now() - startMs < 0.1; );
    return undefined
  })
  isDone = true
  await others
  t.strictSame(seen, items)
  t.ok(turns >= 10, `${turns} turns`)
})

t.test('it ends when told to', async t => {
  let looks = 0
  await inSlices(items, () => ++looks < 7)
  t.equal(looks, 7)
})
