import { once } from 'node:events'
import t from 'tap'
import { clock, createClock, startClock, toSeconds } from '../src/clock.js'
import { startThread } from './support/thread.js'

t.test('the clock is Unix time in milliseconds, with fractions, and never goes backwards', async t => {
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

t.test('all threads of a process share one clock, whenever they were started', async t => {
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
  t.pass('no thread reads an earlier time than another has read before')
  await Promise.all(threads.map(thread => thread.terminate()))
})

const startedAtMs = 1_000_000_000
const hourMs = 3_600_000

/** A machine whose clocks the test sets: `off` is how far the system clock is ahead. */
const machine = () => {
  const at = { monotonic: 0, off: 0 }
  const sources = {
    startedAtMs,
    monotonicMs: () => at.monotonic,
    systemMs: () => startedAtMs + at.monotonic + at.off,
  }
  const state = startClock()
  return { at, sources, state, read: createClock(sources, state) }
}

t.test('the clock follows the system clock forward, as after the machine slept', t => {
  const { at, sources, state, read } = machine()
  at.monotonic = 1
  t.equal(read(), startedAtMs + 1)
  at.off = 8 * hourMs
  at.monotonic = 1000
  t.equal(read(), startedAtMs + 1000, 'checks the system clock only once a second')
  at.monotonic = 1001
  t.equal(read(), startedAtMs + 8 * hourMs + 1001)
  t.equal(createClock(sources, state)(), read(), 'a thread that starts later reads the same time')
  at.off += 999
  at.monotonic = 2001
  t.equal(read(), startedAtMs + 8 * hourMs + 2001, 'ignores a difference under a second')
  at.off += 1
  at.monotonic = 3001
  t.equal(read(), startedAtMs + 8 * hourMs + 4001, 'but differences add up')
  t.end()
})

t.test('the clock does not follow the system clock back', t => {
  const { at, read } = machine()
  read()
  for (const [off, expected] of [
    [-hourMs, 0],
    [hourMs, hourMs],
    [0, hourMs],
    [-1000 * hourMs, hourMs],
    [hourMs + 999, hourMs],
    [Number.NaN, hourMs],
  ] as const) {
    at.monotonic += 1000
    at.off = off
    t.equal(read(), startedAtMs + at.monotonic + expected, `off by ${off}`)
  }
  t.end()
})

t.test('a system clock that is centuries ahead does not turn the clock back', t => {
  const { at, read } = machine()
  Object.assign(at, { off: 1e15, monotonic: 1000 })
  const latest = read()
  t.ok(latest > startedAtMs + 60 * 365 * 24 * hourMs)
  at.monotonic = 2000
  t.equal(read(), latest + 1000)
  t.end()
})
