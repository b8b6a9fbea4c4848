import { setTimeout as sleep } from 'node:timers/promises'
import { residentBytes } from '../cpu.js'
import { demand, withOpener } from '../driver/opener.js'
import type { Row, Scenario } from '../scenario.js'
import type { Target } from '../target.js'

const idle = 10_000
const warmUp = 8_000
const settleMs = 400

const rows: readonly Row[] = [{ name: 'idle connection', unit: 'RSS, bytes' }]

/**
 * What a server's memory grows by for each connection that is held and silent. Each time on a fresh process, whose heap
 * has first grown to its working size by 8,000 handshakes, and from the first 2,000 held on.
 */
const measureMemory = (target: Target, count: (operations: number) => number): Promise<number> =>
  withOpener(target, async opener => {
    const { wire, child } = target
    const run = async (command: string, size: number): Promise<void> => {
      const lines = await wire.lines(target, size)
      demand(await opener.run(`${command} ${size} 32 0 ${wire.greetingFrames}`, lines), '101', size)
      await sleep(settleMs)
    }
    const scaled = (size: number): number => Math.max(50, count(size))
    await run('shake', scaled(warmUp))
    await run('open', scaled(idle / 5))
    const before = residentBytes(child.pid)
    const rest = scaled(idle) - scaled(idle / 5) + 1
    await run('open', rest)
    return (residentBytes(child.pid) - before) / rest
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
          const fresh = await target.another()
          try {
            return { value: await measureMemory(fresh, count) }
          } finally {
            await fresh.stop()
          }
        },
      ],
    ]),
}
