import { createHash } from 'node:crypto'
import type { Test } from 'tap'
import type { SpendOutcome } from '../../src/replay/contract.js'
import { tally } from '../support/tally.js'

/** A replay cache under test. It may reply synchronously or later. */
export interface ReplayHarness {
  readonly cache: {
    spend(nonce: string, expiresAtMs: number, nowMs: number): SpendOutcome | Promise<SpendOutcome>
    has(nonce: string, expiresAtMs: number, nowMs: number): boolean | Promise<boolean>
    roomInMs(nowMs: number): number | Promise<number>
    readonly size: number
    readonly capacity: number
    readonly highWater: number
  }
  /** Advances time for a store with its own clock. */
  readonly advance?: (ms: number) => void | Promise<void>
  readonly close?: () => void | Promise<void>
}

/** What an implementation documents, if it differs from the defaults. */
export interface ReplayTraits {
  /** Lifetime of most tickets here: short for a store that waits in real time. Default 10,000. */
  readonly ttlMs?: number
  /** The longest accepted lifetime. Default: any. */
  readonly longestMs?: number
  /** How long a full cache may stay full after everything has expired. Default 0. */
  readonly recoveryMs?: number
  /** The stated probability that a fresh ticket is called replayed. Default 0. */
  readonly falseReplays?: number
  /** How far it may exceed its capacity, as a fraction; undefined if it is never full. Default 0. */
  readonly slack?: number | undefined
  /** False if only the store knows how many it holds, and reports it from time to time. Default true. */
  readonly counts?: boolean
  /** How many nonces the largest test spends. Default 100,000. */
  readonly many?: number
}

type Create = (capacity: number) => ReplayHarness | Promise<ReplayHarness>

/** The start time of all these tests, Unix milliseconds. */
export const startMs = 1_764_000_000_123

/** The nth nonce of a group: 16 one-byte characters that look random, the same in every run. */
export const nonceOf = (group: string, n: number): string =>
  createHash('sha256').update(`${group}:${n}`).digest().toString('latin1', 0, 16)

/** A cache with a clock that the test moves. */
class Subject {
  nowMs = startMs
  readonly harness: ReplayHarness
  constructor(harness: ReplayHarness) {
    this.harness = harness
  }
  get cache() {
    return this.harness.cache
  }
  async wait(ms: number): Promise<void> {
    this.nowMs += ms
    await this.harness.advance?.(ms)
  }
  spend(nonce: string, expiresAtMs: number): SpendOutcome | Promise<SpendOutcome> {
    return this.harness.cache.spend(nonce, expiresAtMs, this.nowMs)
  }
  /** Counts the results. */
  async spendAll(nonces: readonly string[], expiresAtMs: number): Promise<Record<string, number>> {
    const results: SpendOutcome[] = []
    for (const nonce of nonces) results.push(await this.spend(nonce, expiresAtMs))
    return tally(results)
  }
}

const nonces = (group: string, count: number): string[] =>
  Array.from({ length: count }, (_, n) => nonceOf(group, n))

type Limits = Required<ReplayTraits>
type Tester = (title: string, capacity: number, body: (t: Test, subject: Subject) => Promise<void>) => unknown

const defaults: Limits = {
  ttlMs: 10_000,
  longestMs: Number.POSITIVE_INFINITY,
  recoveryMs: 0,
  falseReplays: 0,
  slack: 0,
  counts: true,
  many: 100_000,
}

/** The promises of every replay cache (src/replay/contract.ts), as tests. */
export function replayContract(t: Test, name: string, create: Create, traits: ReplayTraits = {}): void {
  const limits: Limits = { ...defaults, ...traits }
  const { slack } = limits
  const test: Tester = (title, capacity, body) =>
    t.test(`${name}: ${title}`, async t => {
      const subject = new Subject(await create(capacity))
      t.teardown(() => subject.harness.close?.())
      await body(t, subject)
    })
  testSpending(test, limits)
  testExpiry(test, limits)
  testClock(test, limits)
  if (limits.counts) testCounts(test, limits)
  if (slack !== undefined) {
    testFull(test, { ...limits, slack })
    testOutlivingFull(test, { ...limits, slack })
  }
  testFalseReplays(test, limits)
  testRandomSchedule(test, limits)
}

function testSpending(test: Tester, { ttlMs, falseReplays }: Limits): void {
  test('the first call is fresh, all later ones are replayed until expiry', 1000, async (t, subject) => {
    const expiresAtMs = subject.nowMs + ttlMs
    t.equal(await subject.spend(nonceOf('a', 0), expiresAtMs), 'fresh')
    for (const part of [0, 0.5, 0.4]) {
      await subject.wait(part * ttlMs)
      t.equal(
        await subject.spend(nonceOf('a', 0), expiresAtMs),
        'replayed',
        `replayed after another ${part} of its life`,
      )
    }
    t.equal(await subject.spend(nonceOf('a', 1), expiresAtMs), 'fresh', 'another nonce is fresh')
  })

  test('asking spends nothing, and says whether a nonce is spent', 1000, async (t, subject) => {
    const expiresAtMs = subject.nowMs + ttlMs
    const has = (n: number) => subject.cache.has(nonceOf('asked', n), expiresAtMs, subject.nowMs)
    for (let n = 0; n < 200; n++) t.equal(await has(n), false)
    for (let n = 0; n < 100; n++) t.equal(await subject.spend(nonceOf('asked', n), expiresAtMs), 'fresh')
    for (let n = 0; n < 200; n++) if ((await has(n)) !== n < 100) t.fail(`nonce ${n}: wrong answer`)
    await subject.wait(ttlMs / 2)
    t.equal(await has(0), true, 'still spent after half its life')
  })

  test('of many calls at once, one is fresh', 1000, async (t, subject) => {
    const expiresAtMs = subject.nowMs + ttlMs
    for (const nonce of nonces('b', 20)) {
      const results = await Promise.all(Array.from({ length: 50 }, () => subject.spend(nonce, expiresAtMs)))
      t.equal(results.filter(result => result === 'fresh').length, 1)
      t.equal(results.filter(result => result === 'replayed').length, 49)
    }
  })

  test('nonces that differ in one bit are different', 1000, async (t, subject) => {
    const base = Buffer.from(nonceOf('bit', 0), 'latin1')
    const family = Array.from({ length: 128 }, (_, bit) => {
      const copy = Buffer.from(base)
      copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      return copy.toString('latin1')
    })
    // A cache may keep only part of a nonce; its stated probability says how much.
    const counts = await subject.spendAll(family, subject.nowMs + ttlMs)
    if (falseReplays === 0) t.strictSame(counts, { fresh: 128 })
    t.strictSame(await subject.spendAll(family, subject.nowMs + ttlMs), { replayed: 128 })
  })
}

function testExpiry(test: Tester, { ttlMs }: Limits): void {
  test('nothing is fresh at or after its expiry', 1000, async (t, subject) => {
    const { nowMs } = subject
    const cases = [
      ['a millisecond before', nowMs + 1, 'fresh'],
      ['a fraction of one before', nowMs + 0.001, 'fresh'],
      ['at', nowMs, 'replayed'],
      ['a fraction after', nowMs - 0.001, 'replayed'],
      ['a millisecond after', nowMs - 1, 'replayed'],
      ['long after', nowMs - 10 * ttlMs, 'replayed'],
      ['at the Unix epoch', 0, 'replayed'],
    ] as const
    for (const [index, [when, expiresAtMs, expected]] of cases.entries())
      t.equal(await subject.spend(nonceOf('c', index), expiresAtMs), expected, when)
  })

  test('a spent nonce stays spent after it expires', 1000, async (t, subject) => {
    const expiresAtMs = subject.nowMs + ttlMs
    t.equal(await subject.spend(nonceOf('d', 0), expiresAtMs), 'fresh')
    await subject.wait(ttlMs - 1)
    t.equal(await subject.spend(nonceOf('d', 0), expiresAtMs), 'replayed', 'a millisecond before it expires')
    await subject.wait(1)
    t.equal(await subject.spend(nonceOf('d', 0), expiresAtMs), 'replayed', 'as it expires')
    for (const ms of [1, ttlMs, 100]) {
      await subject.wait(ms)
      t.equal(await subject.spend(nonceOf('d', 0), expiresAtMs), 'replayed', `${ms} ms later`)
    }
  })

  test('two tickets with one nonce: each stays spent until its own expiry', 1000, async (t, subject) => {
    const nonce = nonceOf('repeated', 0)
    const [soonMs, lateMs] = [subject.nowMs + ttlMs / 10, subject.nowMs + ttlMs]
    t.equal(await subject.spend(nonce, lateMs), 'fresh')
    await subject.spend(nonce, soonMs)
    await subject.wait(ttlMs / 5)
    // Enough calls to sweep out expired ones.
    await subject.spendAll(nonces('between', 500), lateMs)
    t.equal(await subject.spend(nonce, lateMs), 'replayed', 'the expiry of the other does not free it')
    t.equal(await subject.spend(nonce, soonMs), 'replayed')
  })

  test('lifetimes of different lengths, each exact', 1000, async (t, subject) => {
    const lives = [1, 2, 50, 99, 100].map((percent, index) => ({
      nonce: nonceOf('mixed', index),
      expiresAtMs: subject.nowMs + Math.ceil((percent * ttlMs) / 100),
    }))
    for (const { nonce, expiresAtMs } of lives) t.equal(await subject.spend(nonce, expiresAtMs), 'fresh')
    for (const { expiresAtMs: until } of lives) {
      await subject.wait(until - 1 - subject.nowMs)
      for (const each of lives) t.equal(await subject.spend(each.nonce, each.expiresAtMs), 'replayed')
      t.equal(
        await subject.spend(nonceOf('mixed before', until), until),
        'fresh',
        'another is fresh until that time',
      )
      await subject.wait(1)
      t.equal(
        await subject.spend(nonceOf('mixed at', until), until),
        'replayed',
        'another is not fresh from that time on',
      )
    }
  })
}

function testClock(test: Tester, { ttlMs, recoveryMs }: Limits): void {
  test('a clock that jumps ahead or is set back revives nothing', 1000, async (t, subject) => {
    const expiresAtMs = subject.nowMs + ttlMs
    const before = subject.nowMs
    t.equal(await subject.spend(nonceOf('e', 0), expiresAtMs), 'fresh')
    subject.nowMs -= ttlMs * 100
    t.equal(await subject.spend(nonceOf('e', 0), expiresAtMs), 'replayed', 'spent after a step back')
    subject.nowMs = before
    await subject.wait(ttlMs * 100)
    t.equal(await subject.spend(nonceOf('e', 1), subject.nowMs + ttlMs), 'fresh', 'fresh after a jump ahead')
    t.equal(await subject.spend(nonceOf('e', 0), expiresAtMs), 'replayed')
    subject.nowMs = before
    t.equal(
      await subject.spend(nonceOf('e', 0), expiresAtMs),
      'replayed',
      'spent after a jump ahead and back',
    )
    t.equal(
      await subject.spend(nonceOf('e', 2), expiresAtMs),
      'replayed',
      'an expired ticket stays expired after a step back',
    )
  })

  test('after a long pause, the spent stay spent and all room is free', 200, async (t, subject) => {
    const expiresAtMs = subject.nowMs + ttlMs
    const spent = nonces('pause', 200)
    t.strictSame(await subject.spendAll(spent, expiresAtMs), { fresh: 200 })
    await subject.wait(ttlMs * 50 + recoveryMs)
    t.strictSame(await subject.spendAll(spent, expiresAtMs), { replayed: 200 })
    const next = nonces('after the pause', 200)
    t.strictSame(
      await subject.spendAll(next, subject.nowMs + ttlMs),
      { fresh: 200 },
      'all room is free again',
    )
    t.strictSame(await subject.spendAll(next, subject.nowMs + ttlMs), { replayed: 200 })
  })
}

function testCounts(test: Tester, { ttlMs, recoveryMs, slack }: Limits): void {
  test('it holds its stated capacity, and counts the entries', 500, async (t, subject) => {
    const { cache } = subject
    const expiresAtMs = subject.nowMs + ttlMs
    t.equal(cache.capacity, 500)
    t.strictSame([cache.size, cache.highWater], [0, 0])
    const spent = nonces('count', 500)
    for (const [index, nonce] of spent.entries()) {
      const result = await subject.spend(nonce, expiresAtMs)
      if (result !== 'fresh' || cache.size !== index + 1 || cache.highWater !== index + 1)
        t.fail(`call ${index + 1}: ${result}, size ${cache.size}, high water ${cache.highWater}`)
    }
    t.strictSame(await subject.spendAll(spent, expiresAtMs), { replayed: 500 }, 'none is forgotten')
    t.strictSame([cache.size, cache.highWater], [500, 500], 'replays are not counted')
    await subject.wait(ttlMs + recoveryMs)
    await subject.spend(nonceOf('late', 0), subject.nowMs + ttlMs)
    t.ok(cache.size <= 500)
    t.ok(cache.highWater >= 500 && cache.highWater <= 500 * (1 + (slack ?? 0)), 'the high-water mark stays')
  })
}

/** Limits of a cache that can be full. */
type FullLimits = Limits & { readonly slack: number }

/** The capacity of the caches that are filled. */
const fullCapacity = 300

const mostIn = (slack: number): number => Math.floor(fullCapacity * (1 + slack))

/** Spends until the cache is full. Returns what was spent. */
async function fill(group: string, subject: Subject, expiresAtMs: number, slack: number): Promise<string[]> {
  const spent: string[] = []
  for (const nonce of nonces(group, mostIn(slack) + 1)) {
    const result = await subject.spend(nonce, expiresAtMs)
    if (result === 'fresh') spent.push(nonce)
    else if (result === 'full') break
    else throw new Error(`a nonce never seen is ${result}`)
  }
  return spent
}

function testFull(test: Tester, { ttlMs, recoveryMs, slack }: FullLimits): void {
  const capacity = fullCapacity
  const isWithinLimits = ({ length }: readonly string[]): boolean =>
    length >= capacity && length <= mostIn(slack)

  test('a full cache refuses, and forgets nothing', capacity, async (t, subject) => {
    const expiresAtMs = subject.nowMs + ttlMs
    const spent = await fill('fill', subject, expiresAtMs, slack)
    t.ok(isWithinLimits(spent), `${spent.length} fit, of a capacity of ${capacity}`)
    t.strictSame(await subject.spendAll(nonces('too many', 1000), expiresAtMs), { full: 1000 })
    t.strictSame(
      await subject.spendAll(spent, expiresAtMs),
      { replayed: spent.length },
      'the spent stay spent in a full cache',
    )
    await subject.wait(ttlMs - 1)
    t.equal(await subject.spend(nonceOf('last', 0), expiresAtMs), 'full', 'full until the last millisecond')
    t.strictSame(await subject.spendAll(spent, expiresAtMs), { replayed: spent.length })
    t.equal(
      await subject.spend(nonceOf('expired', 0), subject.nowMs),
      'replayed',
      'an expired ticket is replayed, not full',
    )
    t.equal(subject.cache.size, spent.length)
  })

  test('a full cache recovers', capacity, async (t, subject) => {
    const expiresAtMs = subject.nowMs + ttlMs
    const spent = await fill('fill', subject, expiresAtMs, slack)
    await subject.wait(ttlMs + recoveryMs)
    const laterMs = subject.nowMs + ttlMs
    const again = await fill('again', subject, laterMs, slack)
    t.ok(isWithinLimits(again), `${again.length} fit again, of a capacity of ${capacity}`)
    t.strictSame(await subject.spendAll(again, laterMs), { replayed: again.length })
    t.strictSame(
      await subject.spendAll(spent, expiresAtMs),
      { replayed: spent.length },
      'the old ones stay spent',
    )
  })

  test('a full cache says when there is room again', capacity, async (t, subject) => {
    const { cache } = subject
    t.equal(await cache.roomInMs(subject.nowMs), 0, 'an empty cache has room now')
    const expiresAtMs = subject.nowMs + ttlMs
    await fill('fill', subject, expiresAtMs, slack)
    await subject.wait(ttlMs / 2)
    const waitMs = await cache.roomInMs(subject.nowMs)
    t.ok(waitMs > 0 && waitMs <= ttlMs + recoveryMs, `room in ${waitMs} ms`)
    t.equal(await cache.roomInMs(subject.nowMs + waitMs), 0, 'room by then')
    await subject.wait(waitMs + recoveryMs)
    t.equal(
      await subject.spend(nonceOf('waited', 0), subject.nowMs + ttlMs),
      'fresh',
      'a client that waited that long is accepted',
    )
    t.equal(await cache.roomInMs(subject.nowMs), 0)
  })
}

/** Tests with a ticket that outlives a full cache; not every cache accepts one. */
function testOutlivingFull(test: Tester, { ttlMs, longestMs, recoveryMs, slack }: FullLimits): void {
  const capacity = fullCapacity
  const longMs = 2 * ttlMs + recoveryMs
  if (longMs > longestMs) return

  test('a nonce that a full cache refused is not spent', capacity, async (t, subject) => {
    const longLived = [nonceOf('long-lived', 0), subject.nowMs + longMs] as const
    await fill('fill', subject, subject.nowMs + ttlMs, slack)
    t.equal(await subject.spend(...longLived), 'full')
    await subject.wait(ttlMs + recoveryMs)
    t.equal(await subject.spend(...longLived), 'fresh')
    t.equal(await subject.spend(...longLived), 'replayed')
  })

  test('live entries are kept when others expire', capacity, async (t, subject) => {
    const early = nonces('early', capacity / 2)
    const late = nonces('late', capacity / 2)
    const [soonMs, laterMs] = [subject.nowMs + ttlMs, subject.nowMs + longMs]
    await subject.spendAll(early, soonMs)
    await subject.spendAll(late, laterMs)
    await subject.wait(ttlMs + recoveryMs)
    const { fresh = 0 } = await subject.spendAll(nonces('new', 1000), laterMs)
    t.ok(fresh >= capacity / 2, `${fresh} fit where ${capacity / 2} have expired`)
    t.strictSame(await subject.spendAll(late, laterMs), { replayed: late.length })
    t.strictSame(await subject.spendAll(early, soonMs), { replayed: early.length })
  })
}

function testFalseReplays(test: Tester, { ttlMs, falseReplays, many }: Limits): void {
  test(`of ${many} fresh tickets, no more than stated are called replayed`, many, async (t, subject) => {
    const count = many
    const expiresAtMs = subject.nowMs + ttlMs
    const all = nonces('many', count)
    const { fresh = 0, replayed = 0, ...others } = await subject.spendAll(all, expiresAtMs)
    const expected = falseReplays * count
    // Ten standard deviations above the stated value.
    t.ok(replayed <= expected + 10 * Math.sqrt(expected), `${replayed} false replays, ${fresh} fresh`)
    t.strictSame(others, {})
    t.strictSame(await subject.spendAll(all, expiresAtMs), { replayed: count }, 'all are remembered')
  })
}

/** Random whole numbers below a limit, the same in every run. */
function createRandom(seed: number): (limit: number) => number {
  let state = seed
  return limit => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    return (state >>> 8) % limit
  }
}

function testRandomSchedule(test: Tester, { ttlMs, falseReplays, slack }: Limits): void {
  test('random schedules: none is fresh twice, none too late, none is lost', 40, async (t, subject) => {
    const seed = 0x5eed
    t.comment(`seed ${seed}`)
    const below = createRandom(seed)
    const tickets: { nonce: string; expiresAtMs: number; spent: boolean }[] = []
    const broken: string[] = []
    const seen: Record<string, number> = {}
    for (let step = 0; step < 5000; step++) {
      if (below(3) === 0) await subject.wait(below(Math.ceil(ttlMs / 20)))
      if (tickets.length === 0 || below(2) === 0)
        tickets.push({
          nonce: nonceOf('random', step),
          expiresAtMs: subject.nowMs + 1 + below(ttlMs),
          spent: false,
        })
      const ticket = tickets[Math.max(0, tickets.length - 1 - below(60))]
      if (ticket === undefined) continue
      const result = await subject.spend(ticket.nonce, ticket.expiresAtMs)
      seen[result] = (seen[result] ?? 0) + 1
      const isOver = ticket.spent || subject.nowMs >= ticket.expiresAtMs
      const isRight = isOver
        ? result === 'replayed'
        : result === 'fresh' || (result === 'full' && slack !== undefined)
      if (!isRight) broken.push(`step ${step}: ${result}, spent ${ticket.spent}`)
      if (result === 'fresh') ticket.spent = true
    }
    const allowed = falseReplays === 0 ? 0 : 1
    t.ok(broken.length <= allowed, broken.slice(0, 5).join('; ') || JSON.stringify(seen))
    t.ok((seen.fresh ?? 0) > 200 && (seen.replayed ?? 0) > 200, 'both answers occurred')
    if (slack !== undefined) t.ok((seen.full ?? 0) > 0, 'the cache was full at times')
  })
}
