import { readlinkSync, realpathSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { residentBytes } from '../cpu.js'
import { expectAnswers, withOpener } from '../driver/opener.js'
import type { Row, Scenario } from '../scenario.js'
import type { Target } from '../target.js'

const held = 18_000
const heldBefore = 6_000
const warmUp = 8_000
// So that a batch of tickets is used before it has expired, on a slow target, too.
const batch = 2_000
const collectMs = 600
const steadyBytes = 2 ** 18
// Short, for what is spent has to be forgotten first: who does not wait for that measures what was spent, not what is idle.
const ticketSeconds = 3
// Peers sweep every second, ticketgate 2,048 tickets every quarter of one.
const sweepSeconds = 3

const collector = fileURLToPath(new URL('../driver/collect.mjs', import.meta.url))

const rows: readonly Row[] = [{ name: 'idle connection', unit: 'RSS, bytes' }]

const runsNode = (pid: number): boolean => readlinkSync(`/proc/${pid}/exe`) === realpathSync(process.execPath)

interface Idleness {
  readonly target: Target
  readonly seconds: number
  readonly count: (operations: number) => number
}

/**
 * What is in memory when all have been silent for as long as a ticket lives: what was spent is forgotten, V8 has given
 * back what it took for the rush, and the garbage is gone. Go keeps its own, as it does in production.
 */
const settledBytes = async ({ child }: Target, seconds: number): Promise<number> => {
  await sleep((seconds + sweepSeconds) * 1000)
  let bytes = residentBytes(child.pid)
  for (let before = Number.POSITIVE_INFINITY; bytes < before - steadyBytes; ) {
    before = bytes
    // V8 gives memory back behind a collection, and some of it only behind the next.
    for (let collections = 0; collections < 3 && runsNode(child.pid); collections++) {
      process.kill(child.pid, 'SIGUSR2')
      await sleep(collectMs)
    }
    bytes = residentBytes(child.pid)
  }
  return bytes
}

/**
 * What a server's memory grows by for each connection that is held and silent. Each time on a fresh process that has
 * done some handshakes before, and from the first third held on, so that what is there once is not counted.
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
    await run('shake', warmUp)
    await run('open', heldBefore)
    const before = await settledBytes(target, seconds)
    const opened = await run('open', held - heldBefore)
    return ((await settledBytes(target, seconds)) - before) / opened
  })

export const memoryScenario: Scenario = {
  name: 'memory',
  rows,
  maxRounds: 1,
  prepare: async (target, count) =>
    new Map([
      [
        'idle connection',
        async () => {
          const seconds = Math.max(1, count(ticketSeconds / target.share))
          const fresh = await target.another({
            NODE_OPTIONS: `--import=${collector}`,
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
