import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import type { Worker } from 'node:worker_threads'
import { createSharedReplayMemory } from '../../src/replay/shared.js'
import { startThread } from '../support/thread.js'
import {
  type Arena,
  baseMs,
  capacity,
  createArena,
  createRandom,
  type HammerStart,
  type Life,
  maxTtlMs,
  outcomes,
  recordBirth,
  word,
} from './arena.js'

const help = `npm run torture -- [options]

  --presentations N   how many presentations, about ten of each ticket (default: 1000000)
  --threads N         how many threads present them (default: one more than there are cores)
  --seed N            the seed of all choices; the threads still interleave at random
  --sabotage          restarts forget which tickets were spent but keep the key, to prove that this is detected
  --help              print this text

Presents tickets to the real check and the real replay caches from several threads at once, while threads are killed and
replaced, gates restarted, clocks stepped and caches full. Exits with 1 if a ticket was accepted twice.
`

const { values } = parseArgs({
  options: {
    presentations: { type: 'string', default: '1000000' },
    threads: { type: 'string', default: String(Math.max(2, availableParallelism()) + 1) },
    seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
    sabotage: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

const whole = (name: 'presentations' | 'threads' | 'seed', least: number, most: number): number => {
  const value = Number(values[name])
  if (!Number.isInteger(value) || value < least || value > most)
    throw new TypeError(`--${name} takes a whole number from ${least} to ${most}`)
  return value
}

/** The threads and the gate of a run, and what was done to them. */
class TortureRun {
  readonly arena: Arena
  readonly #threads: number
  readonly #below: (limit: number) => number
  readonly #outsideSecret = randomBytes(32)
  readonly #workers: Worker[] = []
  #life: Life
  kills = 0
  restarts = 0

  constructor(presentations: number, threads: number, seed: number) {
    this.arena = createArena(presentations, threads)
    this.#threads = threads
    this.#below = createRandom(seed)
    this.#life = this.#newLife()
    this.#startAll()
  }

  /**
   * Another life of the gate: as if its process had been restarted, perhaps with its system clock set
   * back.
   */
  #newLife(last?: Life): Life {
    const clockOffsetMs = this.#below(3) === 0 ? -this.#below(3000) : 0
    const nowMs = baseMs + Atomics.load(this.arena.words, word.nextTicket) + clockOffsetMs
    return {
      bootSecret: values.sabotage && last !== undefined ? last.bootSecret : randomBytes(32),
      replay: createSharedReplayMemory({ capacity, maxTtlMs, nowMs }),
      bornAtMs: recordBirth(this.arena.marks, 0, nowMs),
      clockOffsetMs,
    }
  }

  #startAll(): void {
    for (let thread = 0; thread < this.#threads; thread++) this.#startHammer(thread)
  }

  #startHammer(thread: number): void {
    const worker = startThread(new URL('hammer.ts', import.meta.url), {
      arena: this.arena,
      life: this.#life,
      thread,
      threads: this.#threads,
      seed: this.#below(2 ** 31),
      outsideSecret: this.#outsideSecret,
    } satisfies HammerStart)
    worker.on('error', error => {
      process.stderr.write(`torture: thread ${thread}: ${error.stack}\n`)
      process.exit(2)
    })
    this.#workers[thread] = worker
  }

  /** Kills a thread wherever it is, and starts another on the same memory. */
  async replaceThread(): Promise<void> {
    const thread = this.#below(this.#threads)
    await this.#workers[thread]?.terminate()
    this.#startHammer(thread)
    this.kills++
  }

  /** Kills all threads, and starts them again on a new life of the gate. */
  async restartGate(): Promise<void> {
    await Promise.all(this.#workers.map(worker => worker.terminate()))
    this.#life = this.#newLife(this.#life)
    this.#startAll()
    this.restarts++
  }

  async stop(): Promise<void> {
    Atomics.store(this.arena.words, word.stop, 1)
    await Promise.all(this.#workers.map(worker => once(worker, 'exit')))
  }
}

const presentedTo = ({ counts }: Arena): number =>
  counts.reduce((sum, _, at) => sum + Number(Atomics.load(counts, at)), 0)
const doublesOf = ({ words }: Arena): number => Atomics.load(words, word.doubles)

async function torture(): Promise<number> {
  const presentations = whole('presentations', 1, 1e10)
  const threads = whole('threads', 1, 64)
  const seed = whole('seed', 0, 2 ** 31)
  const run = new TortureRun(presentations, threads, seed)
  const { arena } = run

  const startedMs = performance.now()
  const seconds = (): number => (performance.now() - startedMs) / 1000
  let printedMs = startedMs
  function printProgress(): void {
    if (performance.now() - printedMs < 5000) return
    printedMs = performance.now()
    const share = ((100 * presentedTo(arena)) / presentations).toFixed(1)
    process.stderr.write(
      `${share} %: ${presentedTo(arena)} presentations, ${doublesOf(arena)} double accepts, ${run.kills} threads killed, ${run.restarts} restarts, ${seconds().toFixed(0)} s\n`,
    )
  }

  const eventEvery = Math.max(80_000, presentations / 250)
  for (let next = eventEvery, events = 1; presentedTo(arena) < presentations; ) {
    await new Promise(resolve => setTimeout(resolve, 20))
    printProgress()
    if (presentedTo(arena) < next) continue
    next = presentedTo(arena) + eventEvery
    if (events++ % 3 === 1) await run.restartGate()
    else await run.replaceThread()
  }
  await run.stop()
  return report(run, { threads, seed, seconds: Number(seconds().toFixed(1)) })
}

/** Prints what happened. Returns the exit code. */
function report({ arena, kills, restarts }: TortureRun, rest: Readonly<Record<string, number>>): number {
  const doubles = doublesOf(arena)
  const different = arena.accepted.reduce((sum, bits) => sum + bitsIn(bits), 0)
  const lines = {
    presentations: presentedTo(arena),
    tickets: Math.min(arena.tickets, Atomics.load(arena.words, word.nextTicket)),
    accepts: different + doubles,
    'double accepts': doubles,
    ...Object.fromEntries(
      outcomes.slice(1).map((outcome, index) => [`refused, ${outcome}`, Number(arena.counts[1 + index])]),
    ),
    'threads killed': kills,
    restarts,
    ...rest,
  }
  for (const [name, value] of Object.entries(lines)) process.stdout.write(`${name}: ${value}\n`)
  if (doubles === 0) return 0
  process.stdout.write(`FAILED: ticket ${Atomics.load(arena.words, word.firstDouble)} was accepted twice\n`)
  return 1
}

function bitsIn(word: number): number {
  let count = 0
  for (let rest = word; rest !== 0; rest &= rest - 1) count++
  return count
}

if (values.help) process.stdout.write(help)
else process.exitCode = await torture()
