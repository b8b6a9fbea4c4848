import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { expectAnswers, withOpener } from '../drivers/opener.js'
import {
  type Collection,
  causesOf,
  ownPause,
  type Pause,
  pauseTable,
  type Recorded,
} from '../figures/pauses.js'
import type { Row } from '../figures/sample.js'
import { digits, say } from '../figures/text.js'
import type { Target } from '../targets/target.js'
import type { Scenario } from './scenario.js'

const live = 1_000_000
const perSecond = 5_000
const seconds = 10
// Tickets are used within their lifetime, however slow the target is.
const batch = 20_000

const preloaded = fileURLToPath(new URL('../drivers/pauses.mjs', import.meta.url))

const row: Row = { name: 'handshake at 5,000/s', unit: 'longest pause, ms' }

/** Tells a target to start recording, or to stop: then it returns what was recorded. */
const askPauses = async (pid: number, file: string): Promise<Recorded> => {
  rmSync(file, { force: true })
  process.kill(pid, 'SIGUSR2')
  while (!existsSync(file)) await sleep(20)
  return JSON.parse(readFileSync(file, 'utf8')) as Recorded
}

/** The causes of the pauses, and the collections by kind with the longest of each. */
const described = (pauses: readonly Pause[], collections: readonly Collection[]): string => {
  const kinds = new Map<string, number[]>()
  for (const { kind, ms } of collections) kinds.set(kind, [...(kinds.get(kind) ?? []), ms])
  const collected = [...kinds].map(
    ([kind, all]) => `${all.length} × ${kind}, at most ${digits(Math.max(...all))} ms by the clock`,
  )
  return `${pauseTable(pauses)}\ngarbage: ${collected.join('; ') || 'none'}`
}

/**
 * The longest pause of the event loop that is the server's own, in handshakes by a schedule, with a
 * million tickets remembered. Neither what others take from it nor handshakes that come at once
 * count; garbage collection does.
 */
const longestPause = (target: Target, file: string, count: (operations: number) => number) =>
  withOpener(target, async opener => {
    const { wire } = target
    const run = async (size: number, schedule: string): Promise<void> => {
      for (let left = size; left > 0; left -= batch) {
        const lines = await wire.lines(target, Math.min(left, batch))
        const command = `shake ${lines.length} ${schedule} ${wire.greetingFrames}`
        expectAnswers(await opener.run(command, lines), '101', lines.length)
      }
    }
    await run(Math.max(50, count(target.refusals === undefined ? batch : live)), '64 0')
    const size = Math.max(50, count(perSecond * seconds))
    const lines = await wire.lines(target, size)
    await askPauses(target.child.pid, file)
    const command = `shake ${size} 4096 ${perSecond} ${wire.greetingFrames}`
    expectAnswers(await opener.run(command, lines), '101', size)
    const recorded = await askPauses(target.child.pid, file)
    const pauses = causesOf(recorded)
    say(`${target.name}\n${described(pauses, recorded.collections)}`)
    return { value: Math.max(...pauses.map(ownPause)) }
  })

/** A fresh process of a target that runs in Node. */
export const pausesScenario: Scenario = {
  name: 'pauses',
  rows: [row],
  isOnRequest: true,
  maxRounds: 1,
  prepare: async (target, count) => {
    if (target.name !== 'floor' && target.name !== 'ticketgate')
      return new Map([[row.name, 'only floor and ticketgate are watched from within']])
    const step = async () => {
      const directory = mkdtempSync(join(tmpdir(), 'ticketgate-pauses-'))
      const file = join(directory, 'pauses.json')
      const fresh = await target.another({
        NODE_OPTIONS: `--import=${preloaded}`,
        BENCH_PAUSES_FILE: file,
        TICKETGATE_TICKET_TTL_SECONDS: '3600',
        TICKETGATE_REPLAY_CAPACITY: '2000000',
      })
      try {
        return await longestPause(fresh, file, count)
      } finally {
        await fresh.stop()
        rmSync(directory, { recursive: true })
      }
    }
    return new Map([[row.name, step]])
  },
}
