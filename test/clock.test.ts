import { once } from 'node:events'
import t from 'tap'
import { clock, toSeconds } from '../src/clock.js'
import { startThread } from './support/thread.js'

t.test('it is Unix time, with fractions, and never goes backwards', async t => {
  const [before, now, after] = [Date.now(), clock(), Date.now()]
  // The system clock may be slewed or set while this process runs; ours is not.
  t.ok(Math.abs(now - (before + after) / 2) < 60_000)
  let latest = 0
  for (let n = 0; n < 100_000; n++) {
    const next = clock()
    if (next < latest) t.fail(`${next} after ${latest}`)
    latest = next
  }
  t.equal(toSeconds(1999.9), 1)
})

t.test('all threads of a process have the one clock, whenever they were started', async t => {
  const threads = Array.from({ length: 2 }, () =>
    startThread(new URL('support/clock-thread.ts', import.meta.url), undefined),
  )
  for (let round = 0; round < 50; round++)
    for (const thread of threads) {
      const before = clock()
      thread.postMessage('now')
      const [there] = await once(thread, 'message')
      if (there < before || there > clock()) t.fail(`${before}, then ${there} there, then ${clock()} here`)
    }
  t.pass('what one has read, another has not before it')
  await Promise.all(threads.map(thread => thread.terminate()))
})
