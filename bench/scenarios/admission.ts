import { takeTickets } from '../drivers/tickets.js'
import { measure, startRun } from '../figures/cpu.js'
import { cpuSample, type Row } from '../figures/sample.js'
import type { Target } from '../targets/target.js'
import { handshakeAll } from './handshake.js'
import type { Scenario } from './scenario.js'

const admissions = 6_000
const atOnce = 64

const row: Row = { name: 'ticket and handshake', unit: 'server CPU, µs' }

/** Both halves as one load: store requests count for the ticket as well as for the handshake. */
const admit = async (target: Target, count: number) => {
  const finish = startRun()
  const tickets = await takeTickets(target, count, 1, atOnce)
  const taken = finish(count)
  const outcome = await handshakeAll(
    target,
    tickets.map(ticket => `/channel/?ticket=${ticket}`),
    '101',
    atOnce,
  )
  return {
    operations: count,
    driverCpuNs: taken.driverCpuNs + outcome.driverCpuNs,
    wallNs: taken.wallNs + outcome.wallNs,
  }
}

/**
 * A ticket over one of 64 keep-alive connections, then the handshake with it, over a new
 * connection, 64 at a time.
 */
export const admissionScenario: Scenario = {
  name: 'admission',
  rows: [row],
  warmUp: 5,
  prepare: async (target, count) => {
    const why = target.cannot.ticket
    const size = Math.max(atOnce, count(admissions))
    const step = async () => cpuSample(await measure(target.pids, () => admit(target, size)))
    return new Map([[row.name, why ?? step]])
  },
}
