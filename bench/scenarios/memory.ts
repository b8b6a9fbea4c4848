import { readlinkSync, realpathSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { residentBytes } from '../cpu.js'
import { demand, withOpener } from '../driver/opener.js'
import type { Row, Scenario } from '../scenario.js'
import type { Target } from '../target.js'

const idle = 10_000
const warmUp = 1_000
const settleMs = 600

const collector = fileURLToPath(new URL('../driver/collect.mjs', import.meta.url))

const rows: readonly Row[] = [{ name: 'idle connection', unit: 'RSS, bytes' }]

const runsNode = (pid: number): boolean => readlinkSync(`/proc/${pid}/exe`) === realpathSync(process.execPath)

/** What is in memory when the garbage is gone. Go keeps its own, as it does in production. */
const settledBytes = async (pid: number): Promise<number> => {
  if (runsNode(pid)) process.kill(pid, 'SIGUSR2')
  await sleep(settleMs)
  return residentBytes(pid)
}

/**
 * What a server's memory grows by for each connection that is held and silent. Each time on a fresh process that has
 * done some handshakes before, and from the first fifth held on, so that what is there once is not counted.
 */
const measureMemory = (target: Target, count: (operations: number) => number): Promise<number> =>
  withOpener(target, async opener => {
    const { wire, child } = target
    const run = async (command: string, operations: number): Promise<number> => {
      const size = Math.max(50, count(operations / target.share))
      const lines = await wire.lines(target, size)
      demand(await opener.run(`${command} ${size} 32 0 ${wire.greetingFrames}`, lines), '101', size)
      return size
    }
    await run('shake', warmUp)
    await run('open', idle / 5)
    const before = await settledBytes(child.pid)
    const opened = await run('open', idle - idle / 5)
    return ((await settledBytes(child.pid)) - before) / opened
  })

export const memoryScenario: Scenario = {
  name: 'memory',
  rows,
  maxRounds: 2,
  prepare: async (target, count) =>
    new Map([
      [
        'idle connection',
        async () => {
          const fresh = await target.another({ NODE_OPTIONS: `--import=${collector}` })
          try {
            return { value: await measureMemory(fresh, count) }
          } finally {
            await fresh.stop()
          }
        },
      ],
    ]),
}
