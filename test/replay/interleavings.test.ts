import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { openSharedReplayCache, type SharedAtomics } from '../../src/replay/shared.js'
import { createSharedReplayMemory } from '../../src/replay/shared-memory.js'
import { type Call, explore, type Scenario, type Spend, type Subject } from './interleavings.js'

const maxTtlMs = 10_000
const baseMs = 1_764_000_000_123

/**
 * Nonces that all start at the first cell, whatever the number of cells, and so compete for it.
 */
const named = (letter: string): string => `\0\0\0\0${letter}${'\0'.repeat(11)}`
/** Another nonce with the same fingerprint as `named(letter)`. */
const twinOf = (letter: string): string => `\0\0\0\0\0\0\0\0\0\0\0\0${letter}\0\0\0`

/** A call by a thread whose clock is in `period`, for a ticket that expires in the next. */
const inPeriod = (period: number, nonce: string): Spend => ({
  nonce,
  expiresAtMs: baseMs + (period + 1.5) * maxTtlMs,
  nowMs: baseMs + (period + 0.5) * maxTtlMs,
})
const spend = (period: number, letter: string): Spend => inPeriod(period, named(letter))
const turnOver = (period: number): Call => ({ turnOverAtMs: baseMs + (period + 0.5) * maxTtlMs })

const scenario = (
  capacity: number,
  threads: readonly (readonly Call[])[],
  rest: Partial<Scenario> = {},
): Scenario => ({ capacity, maxTtlMs, baseMs, threads, ...rest })

// Periods 0, 2 and 4 share a table. A thread in an earlier period than the others has slept, or its
// clock is slow.
const late = { oneFreshEach: false }
const scenarios: Readonly<Record<string, Scenario>> = {
  'two threads, one nonce': scenario(2, [[spend(0, 'a')], [spend(0, 'a')]]),
  'three threads, one nonce': scenario(2, [[spend(0, 'a')], [spend(0, 'a')], [spend(0, 'a')]]),
  'three threads, one nonce, and another that wants its cell': scenario(2, [
    [spend(0, 'a')],
    [spend(0, 'b')],
    [spend(0, 'a')],
  ]),
  'two threads, two nonces, in opposite order': scenario(3, [
    [spend(0, 'a'), spend(0, 'b')],
    [spend(0, 'b'), spend(0, 'a')],
  ]),
  'turnover: the cells hold what has expired': scenario(
    2,
    [[spend(2, 'a')], [spend(2, 'b')], [spend(2, 'a')]],
    { before: [spend(0, 'x'), spend(0, 'y')] },
  ),
  'turnover while a thread of the earlier period still spends': scenario(
    2,
    [[spend(2, 'a')], [spend(2, 'a')], [spend(0, 'x')]],
    { ...late, before: [spend(0, 'y')] },
  ),
  'turnover with two threads of the earlier period': scenario(
    2,
    [[spend(2, 'a')], [spend(0, 'x')], [spend(0, 'x')]],
    late,
  ),
  'a thread of the earlier period, after a nonce of that period was spent': scenario(
    2,
    [[spend(2, 'a'), spend(2, 'b')], [spend(0, 'x')], [spend(0, 'x')]],
    { ...late, before: [spend(0, 'y')] },
  ),
  'three periods at once': scenario(2, [[spend(4, 'a')], [spend(2, 'b')], [spend(0, 'x')]], late),
  'three periods, and two threads with the nonce of the middle one': scenario(
    2,
    [[spend(4, 'a')], [spend(2, 'b')], [spend(2, 'b')]],
    { ...late, before: [spend(0, 'x')] },
  ),
  'one thread goes on to the next period': scenario(
    2,
    [
      [spend(0, 'a'), spend(1, 'b'), spend(2, 'c')],
      [spend(0, 'a'), spend(2, 'c')],
    ],
    late,
  ),
  'a clock that jumps ahead and is set back': scenario(
    2,
    [
      [spend(0, 'a'), spend(4, 'b'), spend(0, 'a')],
      [spend(0, 'a'), spend(2, 'c')],
    ],
    late,
  ),
  'turning over while others spend': scenario(2, [[spend(2, 'a')], [turnOver(2)], [spend(2, 'a')]], {
    before: [spend(0, 'x'), spend(0, 'y')],
  }),
  'turning over beside a thread of the earlier period': scenario(
    2,
    [[spend(2, 'a')], [turnOver(2), turnOver(3)], [spend(0, 'x')]],
    late,
  ),
  'the last free cell: three threads, three nonces': scenario(
    1,
    [[spend(0, 'a')], [spend(0, 'b')], [spend(0, 'c')]],
    late,
  ),
  'the last of two cells, and a replay': scenario(2, [[spend(0, 'a')], [spend(0, 'b')], [spend(0, 'a')]], {
    ...late,
    before: [spend(0, 'x')],
  }),
  'no free cell': scenario(1, [[spend(0, 'a')], [spend(0, 'b')]], {
    ...late,
    before: [spend(0, 'x')],
    most: 1,
  }),
  'a full table, and one that has expired': scenario(1, [[spend(2, 'a')], [spend(2, 'b')], [spend(0, 'x')]], {
    ...late,
    before: [spend(0, 'y')],
  }),
  'two nonces of one fingerprint': scenario(
    2,
    [[inPeriod(0, named('a'))], [inPeriod(0, twinOf('a'))], [inPeriod(0, named('a'))]],
    late,
  ),
  'three threads, two nonces each': scenario(3, [
    [spend(0, 'a'), spend(0, 'b')],
    [spend(0, 'b'), spend(0, 'a')],
    [spend(0, 'a')],
  ]),
}

/** The first scenario that fails, and how; undefined if all pass. */
function firstBroken(subject: Subject): string | undefined {
  for (const [name, each] of Object.entries(scenarios)) {
    const { broken } = explore(each, subject)
    if (broken !== undefined) return `${name}: ${broken}`
  }
  return undefined
}

t.test('the nonces of these tests collide as intended', async t => {
  for (const capacity of [1, 2, 3]) {
    const at = (nonce: string): number => {
      let first = -1
      const memory = createSharedReplayMemory({ capacity, maxTtlMs, nowMs: baseMs })
      openSharedReplayCache(memory, {
        load(words, index) {
          if (first < 0) first = index
          return Atomics.load(words, index)
        },
        compareExchange: (words, index, expected, replacement) =>
          Atomics.compareExchange(words, index, expected, replacement),
      }).spend(nonce, baseMs + 1000, baseMs)
      return first
    }
    t.equal(new Set([...'abcxy'].map(named).map(at)).size, 1, `capacity ${capacity}: all start at one cell`)
  }
  const cache = openSharedReplayCache(createSharedReplayMemory({ capacity: 9, maxTtlMs, nowMs: baseMs }))
  const results = [named('a'), twinOf('a'), named('b')].map(nonce => cache.spend(nonce, baseMs + 1, baseMs))
  t.strictSame(results, ['fresh', 'replayed', 'fresh'], 'the cache cannot tell twins apart')
})

t.test('in any order of steps, at most one is fresh, nothing is lost and counts are bounded', async t => {
  const answers = new Set<string>()
  let all = 0
  for (const [name, each] of Object.entries(scenarios)) {
    const { states, outcomes, longest, broken } = explore(each, { open: openSharedReplayCache })
    t.equal(broken, undefined, `${name}: ${states} states, ${outcomes.size} outcomes`)
    t.ok(longest < 40, 'every thread finishes, whatever the others do')
    for (const outcome of outcomes) for (const answer of outcome.split(/,? /)) answers.add(answer)
    all += states
  }
  t.ok(all > 40_000, `${all} states`)
  for (const answer of ['fresh', 'replayed', 'full']) t.ok(answers.has(answer), `some answers are ${answer}`)
})

const brokenAtomics: Readonly<Record<string, (atomics: SharedAtomics) => SharedAtomics>> = {
  'a load and a store in place of the exchange': atomics => ({
    load: atomics.load,
    compareExchange(words, at, expected, replacement) {
      const found = atomics.load(words, at)
      if (found === expected)
        for (let seen = found; ; ) {
          // Written, whatever is there now.
          const before = atomics.compareExchange(words, at, seen, replacement)
          if (before === seen) break
          seen = before
        }
      return found
    },
  }),
  'an exchange that always says it took place': atomics => ({
    load: atomics.load,
    compareExchange(words, at, expected, replacement) {
      atomics.compareExchange(words, at, expected, replacement)
      return expected
    },
  }),
  'an exchange that never takes place': atomics => ({
    load: atomics.load,
    compareExchange: (words, at, expected) => {
      atomics.load(words, at)
      return expected
    },
  }),
}

for (const [name, wrap] of Object.entries(brokenAtomics))
  t.test(`the search detects ${name}`, async t => {
    const broken = firstBroken({ open: openSharedReplayCache, wrap })
    t.ok(broken, broken ?? 'a fault is found')
  })

/** Changes of the source that the search must find: [name, from, to]. */
const mutations = [
  ['a cell lost to another thread is not read again', 'while (upper < floor) {', 'if (upper < floor) {'],
  ['the exchange is taken to have succeeded', 'if (before === seen) {', 'if (true) {'],
  ['a word of a later period counts as another nonce', 'upper >= floor + stride || ', ''],
  [
    'a word of a later period counts as empty',
    'while (upper < floor) {',
    'while (upper < floor || upper >= floor + stride) {',
  ],
  ['the count of a later period is reset', 'upperHalf(word) <= floor; ) {', ';) {'],
  [
    'the count of an earlier period is continued',
    '(upperHalf(word) < floor ? 0 : lowerHalf(word))',
    '(lowerHalf(word))',
  ],
  ['nothing is counted', 'this.#count(countAt(table), floor, counted, 1)', ''],
  ['a full table takes more', 'numberIn(counted, floor) >= this.capacity', 'false'],
  ['only the first cell is probed', 'probed < cells', 'probed < 1'],
  ['the same nonce counts as another', ' || (upper === mineUpper && seen === mine)', ''],
  [
    'every search starts where the last one ended',
    'let cell = this.#firstCellOf(mixed)',
    'let cell = (latestCell = (latestCell + 1) % cells)',
  ],
] as const

t.test('the search finds the faults of mutated sources', async t => {
  const source = readFileSync(new URL('../../src/replay/shared.ts', import.meta.url), 'utf8')
  const directory = mkdtempSync(join(tmpdir(), 'ticketgate-mutants-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  for (const [index, [name, from, to]] of mutations.entries()) {
    t.equal(source.split(from).length, 2, `${name}: the text to change occurs once`)
    const mutant = `let latestCell = 0\n${source.replace(from, to)}`.replaceAll(
      /'\.\/([\w-]+)\.js'/g,
      (_, file) => `'${new URL(`../../src/replay/${file}.js`, import.meta.url)}'`,
    )
    const path = join(directory, `${index}.mts`)
    writeFileSync(path, mutant)
    const { openSharedReplayCache: open }: { openSharedReplayCache: Subject['open'] } = await import(path)
    const broken = firstBroken({ open })
    t.ok(broken, `${name}: ${broken}`)
  }
})
