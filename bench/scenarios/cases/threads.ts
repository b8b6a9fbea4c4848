import { frameHex, startOpener } from '../../drivers/opener.js'
import { type DriverRun, measure } from '../../figures/cpu.js'
import { say } from '../../figures/text.js'
import type { Target } from '../../targets/target.js'
import { startTicketgate } from '../../targets/ticketgate.js'
import { payload } from '../../targets/wires.js'
import { handshakeAll } from '../handshake.js'
import { ticketHex } from '../latency.js'
import { type Case, playRounds } from './case.js'

const drivers = 2
const tickets = 20_000
const handshakes = 4_000
const sockets = 32
const inFlight = 16
const exchanges = 60

/** What an operation costs, and how many there were in a second. */
interface Pace {
  readonly micros: number
  readonly perSecond: number
}

/** Several drivers at once, so that the drivers can use both cores as well. */
const pace = async (target: Target, drive: () => Promise<DriverRun>): Promise<Pace> => {
  const load = await measure(target.pids, async () => {
    const runs = await Promise.all(Array.from({ length: drivers }, drive))
    return {
      operations: runs.reduce((sum, run) => sum + run.operations, 0),
      driverCpuNs: runs.reduce((sum, run) => sum + run.driverCpuNs, 0),
      wallNs: Math.max(...runs.map(run => run.wallNs)),
    }
  })
  return {
    micros: load.serverCpuNs / 1000 / load.operations,
    perSecond: (load.operations * 1e9) / load.wallNs,
  }
}

const measureOne = async (target: Target, count: (operations: number) => number) => {
  const [asked, shaken] = [Math.max(64, count(tickets)), Math.max(64, count(handshakes))]
  const openers = Array.from({ length: drivers }, () => startOpener(target))
  try {
    const next = openers.values()
    const ticket = await pace(target, async () => {
      const opener = next.next().value ?? startOpener(target)
      return (await opener.run(`http ${asked} 32 0 ${ticketHex(target)}`)).run
    })
    const lines = await Promise.all(openers.map(() => target.wire.lines(target, shaken)))
    const handshake = await pace(target, () => handshakeAll(target, lines.pop() ?? [], '101'))
    for (const [n, opener] of openers.entries()) {
      const own = Array.from({ length: sockets }, (_, i) => target.wire.lines(target, 1, `own-${n}-${i}`))
      await opener.run(`open ${sockets} 32 0 1`, (await Promise.all(own)).flat())
    }
    const publication = frameHex(target.wire.publication(payload, 1)).repeat(inFlight)
    const idle = [...openers]
    const message = await pace(target, async () => {
      const opener = idle.pop()
      if (opener === undefined) throw new Error('no driver is left')
      return (await opener.run(`exchange ${Math.max(2, count(exchanges))} ${inFlight} ${publication}`)).run
    })
    return { ticket, handshake, message }
  } finally {
    await Promise.all(openers.map(opener => opener.stop()))
  }
}

const names = ['ticket', 'handshake', 'message'] as const
const rows = { ticket: 'ticket', handshake: 'handshake', message: 'inbound publish' } as const

/** What a second thread brings, on a machine whose drivers need a core too. */
export const threadsCase: Case = {
  name: 'threads',
  async measure({ directory, users, rounds, count }) {
    const start = (threads: number) =>
      startTicketgate(directory, users, { settings: { TICKETGATE_THREADS: String(threads) } })
    const [one, two] = [await start(1), await start(2)]
    try {
      const played = await playRounds(rounds, async round => {
        const figures: Record<string, number> = {}
        for (const target of round % 2 === 0 ? [one, two] : [two, one]) {
          const measured = await measureOne(target, count)
          for (const name of names) {
            figures[`${name} ${target === one ? 1 : 2}`] = measured[name].micros
            figures[`${name} ${target === one ? 1 : 2}/s`] = measured[name].perSecond
          }
        }
        say(`threads  round ${round}`)
        return figures
      })
      const valuesOf = (key: string): readonly number[] => played[key] ?? []
      return {
        condition: `One gate with 2 threads, and one with 1. ${drivers} drivers at once take the cores that the gate leaves, so operations per second show what this machine does, gate and drivers together. The scaling factor is what the cost of an operation allows with a core for each thread: twice the CPU time of one thread, divided by that of two.`,
        beside: '1 thread',
        figures: names.flatMap(name => {
          const [micros, before] = [valuesOf(`${name} 2`), valuesOf(`${name} 1`)]
          return [
            { what: rows[name], unit: 'server CPU, µs', values: micros, beside: before },
            {
              what: rows[name],
              unit: 'op/s, with the drivers',
              values: valuesOf(`${name} 2/s`),
              beside: valuesOf(`${name} 1/s`),
            },
            {
              what: rows[name],
              unit: 'scaling factor',
              values: micros.map((value, n) => (2 * (before[n] ?? Number.NaN)) / value),
            },
          ]
        }),
      }
    } finally {
      await Promise.all([one.stop(), two.stop()])
    }
  },
}
