import { expectAnswers, type Outcome, requestHex, withOpener } from '../drivers/opener.js'
import { measure } from '../figures/cpu.js'
import type { Row, Sample } from '../figures/sample.js'
import type { Target } from '../targets/target.js'
import type { Scenario, Step } from './scenario.js'

const seconds = 3

const rows: readonly Row[] = [
  { name: 'ticket at 2,000/s', unit: 'p99, ms' },
  { name: 'handshake at 1,000/s', unit: 'p99, ms' },
  { name: 'handshake at 1,000/s, of the same run', unit: 'p99.9, ms' },
]

/** A request for a ticket, in hex. */
export const ticketHex = (target: Target): string =>
  requestHex(target, 'GET', '/ws_ticket', { authorization: `Bearer ${target.tokens(1)[0]}` })

/** Drives a target by a schedule. The value is the 99th percentile. */
export const timedSample = async (target: Target, drive: () => Promise<Outcome>): Promise<Sample> => {
  let latency: Outcome['latency'] | undefined
  const load = await measure(target.pids, async () => {
    const outcome = await drive()
    latency = outcome.latency
    return outcome.run
  })
  if (latency === undefined) throw new Error('nothing was measured')
  return { value: latency.p99, load, latency }
}

/**
 * Response times at a rate that every target can sustain. Requests start by a schedule, whatever
 * the server does, and their time counts from when they were due, so a stall shows in all requests
 * that it delays (no coordinated omission).
 */
export const latencyScenario: Scenario = {
  name: 'latency',
  rows,
  maxRounds: 15,
  prepare: async (target, count) => {
    const timed = (perSecond: number): number => Math.max(50, count((perSecond * seconds) / target.share))
    const tickets = timed(2_000)
    const takeTickets: Step = () =>
      withOpener(target, opener =>
        timedSample(target, async () => {
          const outcome = await opener.run(`http ${tickets} 64 2000 ${ticketHex(target)}`)
          expectAnswers(outcome, '200', tickets)
          return outcome
        }),
      )
    const handshakes = timed(1_000)
    const lines = await target.wire.lines(target, handshakes)
    let shaken: Sample | undefined
    const shake: Step = async () => {
      shaken = await withOpener(target, opener =>
        timedSample(target, async () => {
          const command = `shake ${handshakes} 4096 1000 ${target.wire.greetingFrames}`
          const outcome = await opener.run(command, lines)
          expectAnswers(outcome, '101', handshakes)
          return outcome
        }),
      )
      return shaken
    }
    return new Map([
      ['ticket at 2,000/s', takeTickets],
      ['handshake at 1,000/s', shake],
      ['handshake at 1,000/s, of the same run', async () => ({ value: shaken?.latency?.p999 ?? Number.NaN })],
    ])
  },
}
