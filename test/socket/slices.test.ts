import { setImmediate as nextTurn } from 'node:timers/promises'
import t from 'tap'
import { inSlices } from '../../src/socket/slices.js'

const items = Array.from({ length: 1000 }, (_, n) => n)

t.test('items are handled in order, and other work runs in between', async t => {
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
    // Longer than it takes to examine a socket with many subscriptions.
    for (const startMs = performance.now(); performance.now() - startMs < 0.1; );
    return undefined
  })
  isDone = true
  await others
  t.strictSame(seen, items)
  t.ok(turns >= 10, `${turns} turns`)
})

t.test('it stops when told to', async t => {
  let calls = 0
  await inSlices(items, () => ++calls < 7)
  t.equal(calls, 7)
})
