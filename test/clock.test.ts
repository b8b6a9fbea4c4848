import { once } from 'node:events'
import t from 'tap'
import { clock, createClock, startClock, toSeconds } from '../src/clock.js'
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
  t.pass('what one has read, another has not before it')
  await Promise.all(threads.map(thread => thread.terminate()))
})

const bootMs = 1_000_000_000
const hourMs = 3_600_000

/** A machine whose clocks a test sets. */
const machine = () => {
  const at = { monotonic: 0, slept: 0, systemOff: 0, uptimeOff: 0 }
  const sources = {
    startedAtMs: bootMs,
    monotonicMs: () => at.monotonic,
    uptimeMs: () => 5000 + at.monotonic + at.slept + at.uptimeOff,
    systemMs: () => bootMs + at.monotonic + at.slept + at.systemOff,
  }
  const state = startClock(sources)
  return { at, sources, state, read: createClock(sources, state) }
}

t.test('the time that the machine has slept is added', async t => {
  const { at, sources, state, read } = machine()
  at.monotonic = 1
  t.equal(read(), bootMs + 1)
  at.slept = 8 * hourMs
  at.monotonic = 1000
  t.equal(read(), bootMs + 1000, 'not yet looked')
  at.monotonic = 1001
  t.equal(read(), bootMs + 8 * hourMs + 1001)
  t.equal(createClock(sources, state)(), read(), 'a thread that starts later has the same time')
  at.slept += 1999
  at.monotonic = 2001
  t.equal(read(), bootMs + 8 * hourMs + 2001, 'too little to tell from a coarse uptime')
  at.slept += 1
  at.monotonic = 3001
  t.equal(read(), bootMs + 8 * hourMs + 5001, 'but it adds up')
})

t.test('nothing else changes it', async t => {
  const steps = [
    ['the system clock set ahead', { systemOff: hourMs }],
    ['the system clock set back', { systemOff: -hourMs }],
    ['an uptime from elsewhere', { uptimeOff: 1000 * hourMs }],
    ['an uptime that went back', { uptimeOff: -hourMs }],
    ['no uptime', { uptimeOff: Number.NaN, slept: hourMs }],
    ['asleep, and the system clock set back by as much', { slept: hourMs, systemOff: -hourMs }],
  ] as const
  for (const [name, step] of steps) {
    const { at, read } = machine()
    read()
    Object.assign(at, step)
    at.monotonic = 10_000
    t.equal(read(), bootMs + 10_000, name)
  }
})

t.test('it advances by no more than the system clock', async t => {
  const { at, read } = machine()
  read()
  Object.assign(at, { monotonic: 1000, slept: hourMs, uptimeOff: hourMs })
  t.equal(read(), bootMs + hourMs + 1000, 'the uptime counts twice')
  Object.assign(at, { monotonic: 2000, slept: 2 * hourMs, systemOff: -hourMs })
  t.equal(read(), bootMs + hourMs + 2000, 'the system clock was set back as well')
})
