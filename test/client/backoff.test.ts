import t from 'tap'
import { backoffMs, renewalDelayMs } from '../../src/client/backoff.js'
import { retryAfterMs } from '../../src/client/tickets.js'

const samples = (draw: () => number): number[] => Array.from({ length: 2000 }, draw)

t.test('the backoff limit doubles up to the cap, with full jitter below it', async t => {
  const bounds = { minDelayMs: 500, maxDelayMs: 30_000 }
  const cases = [
    [0, 500],
    [1, 1000],
    [5, 16_000],
    [6, 30_000],
    [2000, 30_000],
  ] as const
  for (const [failures, limit] of cases) {
    const drawn = samples(() => backoffMs(failures, bounds))
    t.ok(
      drawn.every(ms => ms >= 0 && ms <= limit),
      `${failures} failures: at most ${limit}`,
    )
    // The chance that 2000 uniform draws leave a tenth of the range empty is 1e-91.
    t.ok(Math.min(...drawn) < limit / 10, `${failures} failures: down to almost 0`)
    t.ok(Math.max(...drawn) > (limit / 10) * 9, `${failures} failures: up to almost ${limit}`)
  }
})

t.test('a session is renewed before it ends, in its last fifth or its last minute', async t => {
  for (const [remaining, earliest] of [
    [10_000, 8000],
    [900_000, 840_000],
    [86_400_000, 86_340_000],
  ] as const)
    for (const ms of samples(() => renewalDelayMs(remaining))) {
      if (ms >= earliest && ms <= remaining - (remaining - earliest) * 0.75) continue
      t.fail(`${remaining}: ${ms}`)
    }
})

t.test('Retry-After is read in both its forms', async t => {
  t.equal(retryAfterMs('7'), 7000)
  t.equal(retryAfterMs('0'), 0)
  t.equal(retryAfterMs(null), undefined)
  t.equal(retryAfterMs('soon'), undefined)
  t.equal(retryAfterMs('Fri, 31 Dec 1999 23:59:59 GMT'), 0)
  const inAMinute = retryAfterMs(new Date(Date.now() + 60_000).toUTCString()) ?? 0
  t.ok(inAMinute > 50_000 && inAMinute <= 60_000)
})
