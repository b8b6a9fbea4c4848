import { expectAnswers, frameHex, withOpener } from '../drivers/opener.js'
import { measure } from '../figures/cpu.js'
import { cpuSample, type Row } from '../figures/sample.js'
import { payload } from '../targets/wires.js'
import type { Scenario } from './scenario.js'

const connections = 32
const inFlight = 16
const exchanges = 60

const rows: readonly Row[] = [{ name: 'inbound publish', unit: 'server CPU, µs' }]

/**
 * 32 clients publish 64 bytes each to a channel without other subscribers, and wait for
 * acknowledgements, 16 at a time.
 */
export const inboundScenario: Scenario = {
  name: 'inbound',
  rows,
  prepare: async (target, count) => {
    const { wire } = target
    const lines = await Promise.all(
      Array.from({ length: connections }, (_, i) => wire.lines(target, 1, `own-${i}`)),
    )
    const publication = frameHex(wire.publication(payload, 1)).repeat(inFlight)
    const step = () =>
      withOpener(target, async opener => {
        const opened = await opener.run(`open ${connections} 32 0 ${wire.greetingFrames}`, lines.flat())
        expectAnswers(opened, '101', connections)
        const command = `exchange ${Math.max(2, count(exchanges))} ${inFlight} ${publication}`
        return cpuSample(await measure(target.pids, async () => (await opener.run(command)).run))
      })
    return new Map([['inbound publish', step]])
  },
}
