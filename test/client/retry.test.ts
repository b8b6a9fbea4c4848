import t from 'tap'
import { GateError } from '../../src/client/gate-error.js'
import { RetryPolicy } from '../../src/client/retry.js'

const policy = () => new RetryPolicy({ minDelayMs: 100, maxDelayMs: 100_000 })
const lost = new GateError('connection_lost', '', 'time')
const refused = new GateError('token_invalid', '', 'token')

/** The longest wait of many draws: close to the limit, and never above it. */
function limitAfter(errors: readonly GateError[], lastedMs?: number): number {
  let longest = 0
  for (let draws = 0; draws < 400; draws++) {
    const retry = policy()
    let delayMs = 0
    for (const error of errors) delayMs = retry.next(error, lastedMs, false)?.delayMs ?? -1
    longest = Math.max(longest, delayMs)
  }
  return longest
}

// The chance that 400 uniform draws leave the upper tenth of the range empty is 1e-18.
const isNear = (limit: number, longest: number): boolean => longest <= limit && longest > limit * 0.9

t.test('the limit of the wait doubles with every failure', async t => {
  t.ok(isNear(100, limitAfter([lost])))
  t.ok(isNear(400, limitAfter([lost, lost, lost])))
})

t.test('a failure for which the server states a time does not double it', async t => {
  const stated = (code: string, ms?: number) => new GateError(code, '', 'time', ms)
  for (const error of [
    stated('draining'),
    stated('draining', 0),
    stated('draining', 1000),
    stated('keys_unavailable', 1000),
    stated('http_503', 1000),
  ]) {
    const longest = limitAfter([error, error, error, error, lost])
    t.ok(isNear(100, longest), `${error.code} ${error.retryAfterMs}: ${longest}`)
  }
  const atOnce = limitAfter([stated('rate_limited', 0), stated('rate_limited', 0), lost])
  t.ok(isNear(400, atOnce), 'a server that keeps saying 0 is not obeyed forever')
})

t.test('a connection that ended because of too many messages doubles it', async t => {
  const flood = new GateError('rate_limited', '', 'time', 1000)
  const longest = limitAfter([flood, flood, lost], 60)
  t.ok(isNear(400, longest), `${longest}`)
})

t.test('after a long-lived connection, the next wait is short', async t => {
  for (const [lastedMs, limit] of [
    [9_999, 800],
    [10_000, 100],
  ] as const) {
    let longest = 0
    for (let draws = 0; draws < 400; draws++) {
      const retry = policy()
      for (let failures = 0; failures < 3; failures++) retry.next(lost, undefined, false)
      longest = Math.max(longest, retry.next(lost, lastedMs, false)?.delayMs ?? -1)
    }
    t.ok(isNear(limit, longest), `${lastedMs} ms: ${longest}`)
  }
})

t.test('an expired session is followed by another at once, but not repeatedly', async t => {
  const ended = new GateError('session_expired', '', 'token')
  const retry = policy()
  t.match(retry.next(ended, 5000, false), { delayMs: 0, fresh: true })
  t.not(retry.next(ended, 5000, false)?.delayMs, 0)
})

t.test('eight token refusals in a row end the connection; any other failure resets the count', async t => {
  const retry = policy()
  for (let count = 1; count < 8; count++) t.match(retry.next(refused, undefined, false), { fresh: true })
  t.match(retry.next(lost, undefined, false), { fresh: false })
  for (let count = 1; count < 8; count++) t.match(retry.next(refused, undefined, false), { fresh: true })
  t.equal(retry.next(refused, undefined, false), undefined)
})

t.test('while offline it waits as long as possible', async t => {
  t.match(policy().next(lost, undefined, true), { delayMs: 100_000 })
})
