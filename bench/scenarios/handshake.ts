import { handshakeByNode } from '../drivers/node-handshake.js'
import { expectAnswers, hasOpener, withOpener } from '../drivers/opener.js'
import { type DriverRun, measure } from '../figures/cpu.js'
import { cpuSample, type Row } from '../figures/sample.js'
import type { Target } from '../targets/target.js'
import type { Scenario, Step } from './scenario.js'

const handshakes = 4_000
const atOnce = 32

/**
 * Connects, presents a ticket, reads the response and closes, for each line. Throws unless all
 * responses are `expected`.
 * @param perSecond at most so many; 0 is as many as possible
 */
export const handshakeAll = async (
  target: Target,
  lines: readonly string[],
  expected: string,
  together = atOnce,
  perSecond = 0,
): Promise<DriverRun> => {
  const outcome = hasOpener()
    ? await withOpener(target, opener =>
        opener.run(`shake ${lines.length} ${together} ${perSecond} ${target.wire.greetingFrames}`, lines),
      )
    : await handshakeByNode(target, lines)
  expectAnswers(outcome, expected, lines.length)
  return outcome.run
}

/** Changes one character of a ticket's MAC. Not the last, whose low bits must be zero. */
export const forge = (line: string): string => {
  const at = line.length - 12
  return line.slice(0, at) + (line[at] === 'A' ? 'B' : 'A') + line.slice(at + 1)
}

const rows: readonly Row[] = [
  { name: 'handshake', unit: 'server CPU, µs' },
  { name: 'refused replay', unit: 'server CPU, µs', comparedWith: 'handshake' },
  { name: 'refused forgery', unit: 'server CPU, µs', comparedWith: 'handshake' },
]

/** Connect, upgrade, close, each over a new TCP connection, 32 at a time. */
export const handshakeScenario: Scenario = {
  name: 'handshake',
  rows,
  warmUp: 4,
  prepare: async (target, count) => {
    const { wire, refusals } = target
    if (!hasOpener() && wire.greetingFrames > 1)
      return new Map(rows.map(({ name }) => [name, 'the driver in Node does not speak its protocol']))
    const size = Math.max(atOnce, count(handshakes))
    const lines = await wire.lines(target, size)
    const step =
      (shown: readonly string[], expected: string): Step =>
      async () =>
        cpuSample(await measure(target.pids, () => handshakeAll(target, shown, expected)))
    const steps = new Map<string, Step | string>([['handshake', step(lines, '101')]])
    if (refusals !== undefined) {
      // Forgeries of unspent tickets, so that only the MAC is wrong.
      const forgeries = (await wire.lines(target, size)).map(forge)
      steps.set('refused replay', step(lines, `401 ${refusals.replay}`))
      steps.set('refused forgery', step(forgeries, `401 ${refusals.forgery}`))
    }
    return steps
  },
}
