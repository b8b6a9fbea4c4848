import type { SpendOutcome } from '../../src/replay/contract.js'
import type { openSharedReplayCache, SharedAtomics, SharedReplayMemory } from '../../src/replay/shared.js'
import {
  cellsOf,
  countAt,
  createSharedReplayMemory,
  firstCellAt,
  lowerHalf,
  tables,
  upperHalf,
} from '../../src/replay/shared-memory.js'

/**
 * Explores every interleaving of some threads on one `shared` replay cache: the real code, one
 * atomic operation at a time. The code of a thread is a function of the results of its operations,
 * so an exception can stop it between two of them; to resume, it is run again from the start with
 * the same results.
 */

export interface Spend {
  readonly nonce: string
  readonly expiresAtMs: number
  /** The clock of the thread. */
  readonly nowMs: number
}

/** A call of a thread: to spend a nonce, or to turn the tables over. */
export type Call = Spend | { readonly turnOverAtMs: number }

export interface Scenario {
  readonly capacity: number
  readonly maxTtlMs: number
  readonly baseMs: number
  /** Calls made beforehand. */
  readonly before?: readonly Call[]
  /** What each thread calls, one after another. */
  readonly threads: readonly (readonly Call[])[]
  /**
   * Whether each nonce presented must have been fresh once in the end. Default: true.
   */
  readonly oneFreshEach?: boolean
  /**
   * The most tickets that one period may hold. Default: the capacity, plus one for each thread but
   * the first.
   */
  readonly most?: number
}

/** The code to explore: the real one, or a mutant. */
export interface Subject {
  readonly open: typeof openSharedReplayCache
  /** Wraps the atomic operations, to break them. */
  readonly wrap?: (atomics: SharedAtomics) => SharedAtomics
}

export interface Exploration {
  /** How many distinct states of memory and threads were reached. */
  readonly states: number
  /** The results of each distinct final state. */
  readonly outcomes: ReadonlySet<string>
  /** The most operations that one thread needed. */
  readonly longest: number
  /** The first fault, and the steps that led to it; undefined if there is none. */
  readonly broken: string | undefined
}

interface ThreadState {
  /** The results of the operations so far. */
  readonly answers: readonly bigint[]
  /** The results of the calls that have returned. */
  readonly results: readonly (SpendOutcome | undefined)[]
  readonly hasEnded: boolean
}

interface State {
  readonly words: readonly bigint[]
  readonly threads: readonly ThreadState[]
  /** The thread that took each step, to report how a state was reached. */
  readonly path: string
}

class Pause extends Error {}
const pause = new Pause()

const isSpend = (call: Call): call is Spend => 'nonce' in call

type Run = (calls: readonly Call[], known: readonly bigint[], words: bigint[], steps: number) => ThreadState

/**
 * Returns a function that runs a thread from its start: it replays the results of the operations
 * already done (`known`), then performs up to `steps` more on `words`.
 */
function runnerOf({ open, wrap = one => one }: Subject, memory: SharedReplayMemory): Run {
  return (calls, known, words, steps) => {
    const answers = [...known]
    let at = 0
    const operate = (perform: () => bigint): bigint => {
      if (at === answers.length) {
        if (answers.length - known.length === steps) throw pause
        answers.push(perform())
      }
      return answers[at++] ?? 0n
    }
    const cache = open(
      memory,
      wrap({
        load: (_, index) => operate(() => words[index] ?? 0n),
        compareExchange: (_, index, expected, replacement) =>
          operate(() => {
            const found = words[index] ?? 0n
            if (found === expected) words[index] = replacement
            return found
          }),
      }),
    )
    const results: (SpendOutcome | undefined)[] = []
    try {
      for (const call of calls)
        if (isSpend(call)) results.push(cache.spend(call.nonce, call.expiresAtMs, call.nowMs))
        else results.push(cache.turnOver(call.turnOverAtMs) ?? undefined)
      return { answers, results, hasEnded: true }
    } catch (error) {
      if (error !== pause) throw error
      return { answers, results, hasEnded: false }
    }
  }
}

/** Explores a whole scenario, and stops at the first fault. */
export function explore(scenario: Scenario, subject: Subject): Exploration {
  const { capacity, maxTtlMs, baseMs } = scenario
  const memory = createSharedReplayMemory({ capacity, maxTtlMs, nowMs: baseMs })
  const size = memory.buffer.byteLength / 8

  const run = runnerOf(subject, memory)

  const first: bigint[] = Array(size).fill(0n)
  for (const call of scenario.before ?? []) run([call], [], first, Number.POSITIVE_INFINITY)
  const start: State = {
    words: first,
    threads: scenario.threads.map(calls => run(calls, [], [...first], 0)),
    path: '',
  }

  const seen = new Set<string>()
  const outcomes = new Set<string>()
  const stack = [start]
  let longest = 0
  const result = (broken?: string): Exploration => ({ states: seen.size, outcomes, longest, broken })
  for (let state = stack.pop(); state !== undefined; state = stack.pop()) {
    const key = keyOf(state)
    if (seen.has(key)) continue
    seen.add(key)
    const wrong = wrongIn(state, scenario, memory, (call, words) =>
      run([call], [], words, Number.POSITIVE_INFINITY),
    )
    if (wrong !== undefined) return result(`${wrong}, after steps of threads ${state.path}`)
    if (state.threads.every(thread => thread.hasEnded))
      outcomes.add(state.threads.map(thread => thread.results.join(' ')).join(', '))
    for (const [index, thread] of state.threads.entries()) {
      longest = Math.max(longest, thread.answers.length)
      if (thread.hasEnded) continue
      const words = [...state.words]
      const next = run(scenario.threads[index] ?? [], thread.answers, words, 1)
      stack.push({ words, threads: state.threads.with(index, next), path: state.path + index })
    }
  }
  return result()
}

const keyOf = ({ words, threads }: State): string =>
  `${words.join()}|${threads.map(({ answers }) => answers.join()).join('|')}`

/** A nonce without its zero bytes, to read. */
const shown = (nonce: string): string => nonce.replaceAll('\0', '')

/**
 * The fault of a state; undefined if there is none. A thread may die at any step, so everything
 * must hold in every state.
 */
function wrongIn(
  { words, threads }: State,
  scenario: Scenario,
  memory: SharedReplayMemory,
  runAlone: (call: Call, words: bigint[]) => ThreadState,
): string | undefined {
  const spends = threads.flatMap((thread, index) =>
    (scenario.threads[index] ?? []).flatMap((call, at) =>
      isSpend(call) && at < thread.results.length ? [{ ...call, result: thread.results[at] }] : [],
    ),
  )
  const fresh = spends.filter(({ result }) => result === 'fresh')
  const spentBefore = (scenario.before ?? []).filter(isSpend)
  const isOver = threads.every(thread => thread.hasEnded)

  for (const spend of new Map([...spentBefore, ...fresh].map(each => [each.nonce, each])).values()) {
    const times = [...spentBefore, ...fresh].filter(({ nonce }) => nonce === spend.nonce).length
    if (times > 1) return `${shown(spend.nonce)} was fresh twice`
    // Whatever the clock of the caller: at the earliest issue of the ticket, and just before it
    // expires.
    for (const nowMs of [spend.expiresAtMs - scenario.maxTtlMs, spend.expiresAtMs - 1]) {
      const [answer] = runAlone({ ...spend, nowMs }, [...words]).results
      if (answer !== 'replayed') return `${shown(spend.nonce)} was fresh, and then ${answer}`
    }
  }

  for (let table = 0; table < tables; table++) {
    const count = words[countAt(table)] ?? 0n
    const period = Math.floor(upperHalf(count) / 32)
    const most = scenario.most ?? scenario.capacity + scenario.threads.length - 1
    const taken = new Map<number, number>()
    for (let cell = 0; cell < cellsOf(scenario.capacity); cell++) {
      const word = words[firstCellAt(table, memory.capacity) + cell] ?? 0n
      const of = Math.floor(upperHalf(word) / 32)
      if (of > 0) taken.set(of, (taken.get(of) ?? 0) + 1)
    }
    if (lowerHalf(count) > most) return `table ${table} counts ${lowerHalf(count)}`
    for (const [of, cells] of taken) if (cells > most) return `${cells} cells are of period ${of}`
    const own = taken.get(period) ?? 0
    if (isOver && period > 0 && lowerHalf(count) !== own)
      return `table ${table} counts ${lowerHalf(count)} in period ${period}, and has ${own}`
  }

  if (!isOver) return undefined
  for (const { result } of spends) if (result === undefined) return 'a call has no result'
  if (scenario.oneFreshEach ?? true)
    for (const { nonce } of spends)
      if (![...spentBefore, ...fresh].some(each => each.nonce === nonce))
        return `${shown(nonce)} was never fresh`
  return undefined
}
