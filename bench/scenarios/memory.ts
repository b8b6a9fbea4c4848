import { readlinkSync, realpathSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { expectAnswers, withOpener } from '../drivers/opener.js'
import { residentBytes } from '../figures/cpu.js'
import type { Row } from '../figures/sample.js'
import type { Target } from '../targets/target.js'
import type { Scenario } from './scenario.js'

const held = 18_000
const heldBefore = 6_000
// Spent tickets of one period are kept in one place, those of the next in another, and both take
// memory when they are first used. So the warm-up lasts for several lifetimes of a ticket.
const warmUps = 4
const warmUp = 8_000
// Small enough that a batch of tickets is used before it expires, even with a slow target.
const batch = 2_000
const collectMs = 600
const steadyBytes = 2 ** 18
// Short, because spent tickets must be forgotten first. Otherwise they would be measured too.
const ticketSeconds = 3
// Peers sweep every second, ticketgate 2,048 tickets every quarter of one.
const sweepSeconds = 3

const collector = fileURLToPath(new URL('../drivers/collect.mjs', import.meta.url))

/** `NODE_OPTIONS` of a process whose garbage `settledBytes` collects. */
export const collecting = `--import=${collector}`

const rows: readonly Row[] = [{ name: 'idle connection', unit: 'RSS, bytes' }]

const runsNode = (pid: number): boolean => readlinkSync(`/proc/${pid}/exe`) === realpathSync(process.execPath)

interface Idleness {
  readonly target: Target
  readonly seconds: number
  readonly count: (operations: number) => number
}

/**
 * Resident memory after a silence as long as a ticket lives: spent tickets are forgotten, V8 has
 * returned what the rush took, and garbage is collected. Go keeps its garbage, as in production.
 */
export const settledBytes = async (pid: number, seconds: number): Promise<number> => {
  await sleep((seconds + sweepSeconds) * 1000)
  let bytes = residentBytes(pid)
  for (let before = Number.POSITIVE_INFINITY; bytes < before - steadyBytes; ) {
    before = bytes
    // V8 returns memory after a collection, and some only after the next.
    for (let collections = 0; collections < 3 && runsNode(pid); collections++) {
      process.kill(pid, 'SIGUSR2')
      await sleep(collectMs)
    }
    bytes = residentBytes(pid)
  }
  return bytes
}

/**
 * The growth of a server's memory per idle connection. Each time a fresh process that has done some
 * handshakes, measured from the first third of the connections on, so that one-time costs do not
 * count.
 */
const measureMemory = ({ target, seconds, count }: Idleness): Promise<number> =>
  withOpener(target, async opener => {
    const { wire } = target
    const run = async (command: string, operations: number): Promise<number> => {
      const size = Math.max(50, count(operations / target.share))
      for (let left = size; left > 0; left -= batch) {
        const lines = await wire.lines(target, Math.min(left, batch))
        const outcome = await opener.run(`${command} ${lines.length} 32 0 ${wire.greetingFrames}`, lines)
        expectAnswers(outcome, '101', lines.length)
      }
      return size
    }
    for (let times = 0; times < warmUps; times++) {
      await run('shake', warmUp)
      await sleep(seconds * 500)
    }
    await run('open', heldBefore)
    const before = await settledBytes(target.child.pid, seconds)
    const opened = await run('open', held - heldBefore)
    return ((await settledBytes(target.child.pid, seconds)) - before) / opened
  })

export const memoryScenario: Scenario = {
  name: 'memory',
  rows,
  maxRounds: 5,
  prepare: async (target, count) =>
    new Map([
      [
        'idle connection',
        async () => {
          const seconds = Math.max(ticketSeconds, count(ticketSeconds / target.share))
          const fresh = await target.another({
            NODE_OPTIONS: collecting,
            TICKETGATE_TICKET_TTL_SECONDS: String(seconds),
            PEER_TICKET_SECONDS: String(seconds),
          })
          try {
            return { value: await measureMemory({ target: fresh, seconds, count }) }
          } finally {
            await fresh.stop()
          }
        },
      ],
    ]),
}
