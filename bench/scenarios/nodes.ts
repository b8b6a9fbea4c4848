import { measure } from '../figures/cpu.js'
import type { Curve } from '../figures/summary.js'
import { spread } from '../figures/summary.js'
import { say } from '../figures/text.js'
import type { Fleet } from '../targets/fleets.js'
import type { Target } from '../targets/target.js'
import { handshakeAll } from './handshake.js'

const counts = [1, 2, 4]
const handshakes = 8_000

/** Handshakes on all nodes at once, each with its own driver: CPU time of all, per handshake. */
const shakeOn = async (nodes: readonly Target[], size: number): Promise<number> => {
  const each = Math.max(50, Math.round(size / nodes.length))
  const lines = await Promise.all(nodes.map(node => node.wire.lines(node, each)))
  const pids = [...new Set(nodes.flatMap(node => node.pids))]
  const load = await measure(pids, async () => {
    const runs = await Promise.all(nodes.map((node, n) => handshakeAll(node, lines[n] ?? [], '101')))
    return {
      operations: runs.reduce((sum, run) => sum + run.operations, 0),
      driverCpuNs: runs.reduce((sum, run) => sum + run.driverCpuNs, 0),
      wallNs: Math.max(...runs.map(run => run.wallNs)),
    }
  })
  return load.serverCpuNs / 1000 / load.operations
}

/**
 * The cost of a handshake as more nodes share the load. All fleets run at once, and are measured in
 * turn.
 */
export const measureNodes = async (
  fleets: readonly Fleet[],
  rounds: number,
  scale: number,
): Promise<Curve> => {
  const running = await Promise.all(
    fleets.flatMap(fleet =>
      counts.map(async count => ({ label: fleet.label, count, ...(await fleet.start(count)) })),
    ),
  )
  const measured = new Map<string, number[]>()
  try {
    for (let round = 0; round <= rounds; round++)
      for (const { label, count, nodes } of round % 2 === 0 ? running : running.toReversed()) {
        const micros = await shakeOn(nodes, handshakes * scale)
        if (round === 0) continue
        const key = `${label} ${count}`
        measured.set(key, [...(measured.get(key) ?? []), micros])
        say(`round ${round}  ${label}, ${count} nodes: ${micros.toFixed(1)} µs a handshake`)
      }
  } finally {
    await Promise.all(running.map(fleet => fleet.stop()))
  }
  const medianOf = (label: string, count: number): number =>
    spread(measured.get(`${label} ${count}`) ?? []).median
  return {
    name: 'Handshake, by the number of nodes',
    unit: 'server CPU, µs',
    over: 'nodes',
    axis: 'value',
    sizes: counts,
    series: Object.fromEntries(
      fleets.map(({ label }) => [label, counts.map(count => medianOf(label, count))]),
    ),
  }
}
