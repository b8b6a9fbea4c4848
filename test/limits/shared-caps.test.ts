import { once } from 'node:events'
import t from 'tap'
import type { ConnectionCaps, ConnectionLimits } from '../../src/limits/caps.js'
import { SharedConnectionCaps } from '../../src/limits/shared-caps.js'
import { createSharedLimits, forgetThread } from '../../src/limits/shared-limits.js'
import { startThread } from '../support/thread.js'
import type { RacingThreadStart } from './racing-thread.js'

const off: ConnectionLimits = { total: 0, perUser: 0, perAddress: 0 }

const openAll = (threads: number, limits: ConnectionLimits) => {
  const shared = createSharedLimits(threads, limits)
  return {
    shared,
    caps: Array.from({ length: threads }, (_, thread) => new SharedConnectionCaps(limits, shared, thread)),
  }
}

const at = (caps: readonly ConnectionCaps[], n: number): ConnectionCaps => {
  const found = caps[n % caps.length]
  if (found === undefined) throw new RangeError('no such thread')
  return found
}

t.test('with all sockets open, a cap of one refuses almost no other user by mistake', async t => {
  const total = 100_000
  const probes = 20_000
  const cases = [
    ['users', 2, { total, perUser: 1, perAddress: 0 }],
    ['addresses', 2, { total, perUser: 0, perAddress: 1 }],
    ['users, over many threads', 16, { total, perUser: 1, perAddress: 0 }],
  ] as const
  for (const [name, threads, limits] of cases) {
    const { caps } = openAll(threads, limits)
    let refused = 0
    for (let n = 0; n < total - 1; n++) if (!at(caps, n).enter(`user ${n}`, `address ${n}`)) refused++
    t.ok(refused <= total / 10_000, `${name}: at most one in ten thousand is refused: ${refused}`)
    let wrong = 0
    for (let n = 0; n < probes; n++) {
      if (at(caps, n).enter(`new ${n}`, `new ${n}`)) at(caps, n).leave(`new ${n}`, `new ${n}`)
      else wrong++
    }
    t.ok(wrong <= probes / 10_000, `${name}: at most one in ten thousand new ones is refused: ${wrong}`)
    let twice = 0
    for (let n = 0; n < 1000; n++) if (at(caps, n + 1).enter(`user ${n}`, `address ${n}`)) twice++
    t.equal(twice, 0, `${name}: none gets a second socket on another thread`)
  }
})

t.test('an unset cap takes no memory, and a set one depends on the total', async t => {
  const bytes = (limits: ConnectionLimits) => {
    const { users, addresses } = createSharedLimits(4, limits)
    return [users.byteLength, addresses.byteLength]
  }
  t.strictSame(bytes(off), [0, 0])
  t.strictSame(bytes({ ...off, perUser: 1 }), [192e6, 0])
  t.strictSame(bytes({ total: 100_000, perUser: 0, perAddress: 1 }), [0, 19.2e6])
  t.strictSame(bytes({ total: 16_000_000, perUser: 0, perAddress: 1 }), [0, 192e6])
  t.strictSame(bytes({ total: 3, perUser: 1, perAddress: 1 }), [524_288, 524_288])
})

t.test('a small total works with many threads', async t => {
  const { caps } = openAll(64, { total: 3, perUser: 1, perAddress: 1 })
  let refused = 0
  for (let n = 0; n < 2000; n++) {
    const one = at(caps, 0)
    for (const who of ['a', 'b', 'c']) if (!one.enter(`${who} ${n}`, `${who} ${n}`)) refused++
    for (const who of ['a', 'b', 'c']) one.leave(`${who} ${n}`, `${who} ${n}`)
  }
  t.equal(refused, 0)
})

t.test('the counts of a dead thread are cleared, and no others', async t => {
  const limits = { total: 0, perUser: 2, perAddress: 2 }
  const { shared, caps } = openAll(3, limits)
  for (const one of caps.slice(0, 2)) t.ok(one.enter('maggie', 'home'))
  t.notOk(at(caps, 2).enter('maggie', 'home'))
  forgetThread(shared, 1)
  t.strictSame(
    caps.map(({ open }) => open),
    [1, 0, 0],
  )
  t.ok(at(caps, 2).enter('maggie', 'home'), 'the dead thread no longer counts')
  t.notOk(at(caps, 1).enter('maggie', 'home'), 'the other threads still count')
})

t.test('threads that race for the sockets of one user never exceed the cap', async t => {
  const threads = 4
  for (const perUser of [1, 2]) {
    const limits = { total: 0, perUser, perAddress: 0 }
    const start: Omit<RacingThreadStart, 'thread'> = {
      shared: createSharedLimits(threads, limits),
      limits,
      tally: new Int32Array(new SharedArrayBuffer(16)),
      threads,
      rounds: 5000,
    }
    const workers = Array.from({ length: threads }, (_, thread) =>
      startThread(new URL('./racing-thread.ts', import.meta.url), {
        ...start,
        thread,
      } satisfies RacingThreadStart),
    )
    await Promise.all(workers.map(worker => once(worker, 'exit')))
    const [, inside, most, entered] = start.tally
    t.equal(inside, 0)
    t.ok(most !== undefined && most <= perUser, `at most ${perUser} are open at once: ${most}`)
    t.ok(entered !== undefined && entered > 0, `some are admitted: ${entered}`)
    const one = new SharedConnectionCaps(limits, start.shared, 0)
    const again = Array.from({ length: perUser + 1 }, () => one.enter('maggie', ''))
    t.strictSame(again, [...Array(perUser).fill(true), false], 'the whole cap is free in the end')
  }
})
