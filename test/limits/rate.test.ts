import fc from 'fast-check'
import t from 'tap'
import type { Rate } from '../../src/config/value-types.js'
import { retryAfterSeconds } from '../../src/errors.js'
import { KeyedRate, nextArrival } from '../../src/limits/rate.js'
import { createSharedLimits, SharedRate } from '../../src/limits/shared-limits.js'

const nowMs = 1_764_000_000_123.25
const seed = 20_260_603

/** How many of `attempts` at one instant pass. */
const passing = (rate: Rate, attempts: number, burst?: number): number => {
  let arrival = 0
  let passed = 0
  for (let n = 0; n < attempts; n++) {
    const next = nextArrival(arrival, nowMs, rate, burst)
    if (next < 0) continue
    arrival = next
    passed++
  }
  return passed
}

t.test('a burst is as large as the rate says, and no larger', async t => {
  const cases = [
    ['the login rate', { count: 10, seconds: 60 }, undefined, 10],
    ['the ticket rate', { count: 60, seconds: 60 }, undefined, 60],
    ['the message rate, with twice the burst', { count: 100, seconds: 1 }, 200, 200],
    ['one', { count: 1, seconds: 1 }, undefined, 1],
    ['a burst of one', { count: 100, seconds: 1 }, 1, 1],
    ['seven a second, which is no whole number of milliseconds', { count: 7, seconds: 1 }, undefined, 7],
    ['nine a minute', { count: 9, seconds: 60 }, undefined, 9],
  ] as const
  for (const [name, rate, burst, expected] of cases) t.equal(passing(rate, 500, burst), expected, name)
})

t.test('whatever the rate, its burst is exact', async t => {
  const property = fc.property(
    fc.integer({ min: 1, max: 500 }),
    fc.integer({ min: 1, max: 3600 }),
    (count, seconds) => {
      return passing({ count, seconds }, count + 5) === count
    },
  )
  fc.assert(property, { seed, numRuns: 500 })
  t.pass(`seed ${seed}`)
})

t.test('after a burst one passes every interval, to the millisecond', async t => {
  const rate = { count: 10, seconds: 60 }
  let arrival = 0
  for (let n = 0; n < 10; n++) arrival = nextArrival(arrival, nowMs, rate)
  t.equal(arrival, nowMs + 60_000)
  t.equal(nextArrival(arrival, nowMs, rate), -6000, 'the eleventh has to wait')
  t.equal(nextArrival(arrival, nowMs + 5999, rate), -1, 'it still has to wait a millisecond earlier')
  t.equal(nextArrival(arrival, nowMs + 6000, rate), nowMs + 66_000, 'then it passes')
  t.equal(nextArrival(nowMs + 66_000, nowMs + 6000, rate), -6000, 'but no other')
})

t.test('unused events do not accumulate beyond the burst', async t => {
  const rate = { count: 3, seconds: 3 }
  let arrival = nextArrival(0, nowMs, rate)
  let passed = 0
  for (let n = 0; n < 20; n++) {
    const next = nextArrival(arrival, nowMs + 3_600_000, rate)
    if (next < 0) continue
    arrival = next
    passed++
  }
  t.equal(passed, 3)
})

t.test('in any window no more events pass than the burst and the rate allow', async t => {
  const rate = { count: 5, seconds: 10 }
  const property = fc.property(fc.array(fc.integer({ min: 0, max: 4000 }), { maxLength: 200 }), gaps => {
    const passed: number[] = []
    let at = nowMs
    let arrival = 0
    for (const gap of gaps) {
      at += gap
      const next = nextArrival(arrival, at, rate)
      if (next < 0) continue
      arrival = next
      passed.push(at)
    }
    return passed.every((start, index) => {
      const inWindow = passed.slice(index).filter(each => each < start + 10_000).length
      return inWindow <= 5 + 5
    })
  })
  fc.assert(property, { seed, numRuns: 500 })
  t.pass(`seed ${seed}`)
})

t.test('waiting for the reported time is enough, and refusals cost nothing', async t => {
  const limiter = new KeyedRate({ count: 2, seconds: 10 })
  t.strictSame([limiter.take('a', nowMs), limiter.take('a', nowMs)], [0, 0])
  const waitMs = limiter.take('a', nowMs)
  t.equal(waitMs, 5000)
  const early = Array.from({ length: 1000 }, (_, n) => limiter.take('a', nowMs + n))
  t.strictSame(
    early,
    early.map((_, n) => 5000 - n),
    'an early attempt gets the rest of the wait',
  )
  t.equal(limiter.take('a', nowMs + waitMs), 0)
  t.ok(limiter.take('a', nowMs + waitMs) > 0)
})

t.test('keys are independent, and without a rate there is no limit', async t => {
  const limiter = new KeyedRate({ count: 1, seconds: 60 })
  for (const key of ['a', 'b', '', '__proto__', 'a\0'])
    t.strictSame(
      [limiter.take(key, nowMs) === 0, limiter.take(key, nowMs) > 0],
      [true, true],
      JSON.stringify(key),
    )
  const off = new KeyedRate(undefined)
  t.ok(Array.from({ length: 10_000 }, () => off.take('a', nowMs)).every(waitMs => waitMs === 0))
})

t.test(
  'a limiter reports how many keys have used part of their rate, and how many would be refused now',
  async t => {
    const rate = { count: 2, seconds: 10 }
    const limiter = new KeyedRate(rate)
    const shared = new SharedRate(rate, createSharedLimits(2, { total: 0, perUser: 0, perAddress: 0 }))
    for (const each of [limiter, shared]) {
      t.strictSame(each.usage(nowMs), { tracked: 0, refusing: 0 })
      for (const key of ['a', 'a', 'a', 'b']) each.take(key, nowMs)
      t.strictSame(each.usage(nowMs), { tracked: 2, refusing: 1 })
      t.strictSame(
        each.usage(nowMs + 5000),
        { tracked: 1, refusing: 0 },
        'a is no longer refused, and b is at its full rate again',
      )
      t.strictSame(each.usage(nowMs + 10_000), { tracked: 0, refusing: 0 })
    }
    t.equal(new KeyedRate(undefined).usage(nowMs), undefined)
  },
)

t.test('in a flood of keys the oldest are forgotten, and the latest stay limited', async t => {
  const limiter = new KeyedRate({ count: 1, seconds: 3600 })
  for (let n = 0; n < 150_000; n++) limiter.take(`key ${n}`, nowMs)
  t.ok(limiter.take('key 149999', nowMs) > 0, 'the last key is remembered')
  t.ok(limiter.take('key 60000', nowMs) > 0, 'so are nearly a hundred thousand before it')
  t.equal(limiter.take('key 0', nowMs), 0, 'the first key is forgotten, so the memory is bounded')
})

t.test('Retry-After is whole seconds, never less than the wait and never 0', async t => {
  const cases = [
    [0.001, 1],
    [1, 1],
    [999, 1],
    [1000, 1],
    [1000.1, 2],
    [1001, 2],
    [59_999, 60],
    [60_000, 60],
  ] as const
  for (const [waitMs, seconds] of cases) t.equal(retryAfterSeconds(waitMs), seconds, `${waitMs} ms`)
})
