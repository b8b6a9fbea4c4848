import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import type { Worker } from 'node:worker_threads'
import { createSharedReplayMemory } from '../../src/replay/shared.js'
import { startThread } from '../support/thread.js'
import {
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

  --presentations N   how many tickets to present, each some ten times (default: 1000000)
  --threads N         how many threads present them (default: one more than there are cores)
  --seed N            of all choices; the order of threads is chance all the same
  --sabotage          restarts forget what was spent and keep the key, to see that this is noticed
  --help              this text

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

async function torture(): Promise<number> {
  const presentations = whole('presentations', 1, 1e10)
  const threads = whole('threads', 1, 64)
  const seed = whole('seed', 0, 2 ** 31)
  const below = createRandom(seed)
  const arena = createArena(presentations, threads)
  const outsideSecret = randomBytes(32)
  const workers: Worker[] = []
  let kills = 0
  let restarts = 0

  const virtualMs = (): number => baseMs + Atomics.load(arena.words, word.nextTicket)

  /**
   * Another life of the gate: as if the process had been started anew, its system clock perhaps set
   * back meanwhile.
   */
  function liveAgain(last?: Life): Life {
    const clockOffsetMs = below(3) === 0 ? -below(3000) : 0
    const nowMs = virtualMs() + clockOffsetMs
    return {
      bootSecret: values.sabotage && last !== undefined ? last.bootSecret : randomBytes(32),
      replay: createSharedReplayMemory({ capacity, maxTtlMs, nowMs }),
      bornAtMs: recordBirth(arena.marks, 0, nowMs),
      clockOffsetMs,
    }
  }

  function startHammer(thread: number, life: Life): void {
    const worker = startThread(new URL('hammer.ts', import.meta.url), {
      arena,
      life,
      thread,
      threads,
      seed: below(2 ** 31),
      outsideSecret,
    } satisfies HammerStart)
    worker.on('error', error => {
      process.stderr.write(`torture: thread ${thread}: ${error.stack}\n`)
      process.exit(2)
    })
    workers[thread] = worker
  }

  /** Kills a thread wherever it is, and starts another on the memory that it leaves. */
  async function replaceOne(life: Life): Promise<void> {
    const thread = below(threads)
    await workers[thread]?.terminate()
    startHammer(thread, life)
    kills++
  }

  async function restart(last: Life): Promise<Life> {
    await Promise.all(workers.map(worker => worker.terminate()))
    const life = liveAgain(last)
    for (let thread = 0; thread < threads; thread++) startHammer(thread, life)
    restarts++
    return life
  }

  const presented = (): number =>
    arena.counts.reduce((sum, _, at) => sum + Number(Atomics.load(arena.counts, at)), 0)
  const doubles = (): number => Atomics.load(arena.words, word.doubles)

  const startedMs = performance.now()
  const seconds = (): number => (performance.now() - startedMs) / 1000
  let saidMs = startedMs
  function say(): void {
    if (performance.now() - saidMs < 5000) return
    saidMs = performance.now()
    const share = ((100 * presented()) / presentations).toFixed(1)
    process.stderr.write(
      `${share} %: ${presented()} presentations, ${doubles()} double accepts, ${kills} threads killed, ${restarts} restarts, ${seconds().toFixed(0)} s\n`,
    )
  }

  const eventEvery = Math.max(80_000, presentations / 250)
  let life = liveAgain()
  for (let thread = 0; thread < threads; thread++) startHammer(thread, life)
  for (let next = eventEvery, events = 1; presented() < presentations; ) {
    await new Promise(resolve => setTimeout(resolve, 20))
    say()
    if (presented() < next) continue
    next = presented() + eventEvery
    if (events++ % 3 === 1) life = await restart(life)
    else await replaceOne(life)
  }
  Atomics.store(arena.words, word.stop, 1)
  await Promise.all(workers.map(worker => once(worker, 'exit')))

  const different = arena.accepted.reduce((sum, bits) => sum + bitsIn(bits), 0)
  const report = {
    presentations: presented(),
    tickets: Math.min(arena.tickets, Atomics.load(arena.words, word.nextTicket)),
    accepts: different + doubles(),
    'double accepts': doubles(),
    ...Object.fromEntries(
      outcomes.slice(1).map((outcome, index) => [`refused, ${outcome}`, Number(arena.counts[1 + index])]),
    ),
    'threads killed': kills,
    restarts,
    threads,
    seed,
    seconds: Number(seconds().toFixed(1)),
  }
  for (const [name, value] of Object.entries(report)) process.stdout.write(`${name}: ${value}\n`)
  if (doubles() > 0)
    process.stdout.write(`FAILED: ticket ${Atomics.load(arena.words, word.firstDouble)} was accepted twice\n`)
  return doubles() > 0 ? 1 : 0
}

function bitsIn(word: number): number {
  let count = 0
  for (let rest = word; rest !== 0; rest &= rest - 1) count++
  return count
}

if (values.help) process.stdout.write(help)
else process.exitCode = await torture()
