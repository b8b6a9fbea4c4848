import { expectAnswers, frameHex, type Opener, withOpener } from '../drivers/opener.js'
import { measure, residentBytes } from '../figures/cpu.js'
import type { Curve } from '../figures/summary.js'
import { say } from '../figures/text.js'
import type { Target } from '../targets/target.js'
import { payload } from '../targets/wires.js'
import { handshakeAll } from './handshake.js'

const heldSizes = [1, 10, 100, 1_000, 2_000, 5_000, 10_000, 18_000]
const spentSizes = [4_000, 8_000, 16_000, 32_000, 64_000]
const handshakes = 1_000
const deliveries = 50_000

/** Handshakes before measuring starts, for the compiler in V8. */
const warmUp = (scale: number): number => Math.max(50, Math.round(6_000 * scale))

/** The measurements with a number of open connections. */
interface Held {
  readonly handshakeMicros: number
  readonly residentMiB: number
  readonly deliveryMicros: number
}

/** A fresh target and its name in the curves. */
export interface Contender {
  readonly label: string
  start(): Promise<Target>
}

const perOperation = async (
  target: Target,
  drive: () => ReturnType<Opener['run']>,
): Promise<{ micros: number; answers: Readonly<Record<string, number>> }> => {
  let answers = {}
  const load = await measure(target.pids, async () => {
    const outcome = await drive()
    answers = outcome.answers
    return outcome.run
  })
  return { micros: load.serverCpuNs / 1000 / load.operations, answers }
}

const climb = (target: Target, sizes: readonly number[], scale: number): Promise<Held[]> =>
  withOpener(target, async opener => {
    const { wire, child } = target
    const points: Held[] = []
    const publication = frameHex(wire.publication(payload))
    let held = 0
    const hold = async (count: number): Promise<void> => {
      const lines = await wire.lines(target, count)
      expectAnswers(await opener.run(`open ${count} 32 0 ${wire.greetingFrames}`, lines), '101', count)
      held += count
    }
    await handshakeAll(target, await wire.lines(target, warmUp(scale)), '101')
    await hold(1) // the publisher
    for (const size of sizes) {
      if (size + 1 > held) await hold(size + 1 - held)
      const rounds = Math.max(3, Math.ceil((deliveries * scale) / size))
      const fanOut = await perOperation(target, () => opener.run(`fanout ${rounds} ${size} 0 ${publication}`))
      const residentMiB = residentBytes(child.pid) / 2 ** 20
      // On the empty channel the others would not receive them either, but uWS would walk through
      // its topics.
      const lines = await wire.lines(target, Math.max(50, Math.round(handshakes * scale)), 'others')
      const load = await measure(target.pids, () => handshakeAll(target, lines, '101'))
      points.push({
        handshakeMicros: load.serverCpuNs / 1000 / load.operations,
        residentMiB,
        deliveryMicros: fanOut.micros,
      })
    }
    return points
  })

/** Server CPU per handshake as more and more spent tickets are remembered. */
const spend = async (target: Target, sizes: readonly number[], scale: number): Promise<number[]> => {
  const points: number[] = []
  let spent = 0
  const shakeNext = async (count: number): Promise<number> => {
    const lines = await target.wire.lines(target, count)
    const load = await measure(target.pids, () => handshakeAll(target, lines, '101'))
    spent += count
    return load.serverCpuNs / 1000 / load.operations
  }
  await shakeNext(warmUp(scale))
  const last = Math.max(50, Math.round(handshakes * scale))
  for (const size of sizes) {
    if (size - last > spent) await shakeNext(size - last - spent)
    points.push(await shakeNext(last))
  }
  return points
}

/** How costs grow with open connections, remembered tickets and subscribers. */
export const measureScaling = async (contenders: readonly Contender[], scale: number): Promise<Curve[]> => {
  const scaled = (sizes: readonly number[]): number[] => [
    ...new Set(sizes.map(size => Math.max(1, Math.round(size * scale)))),
  ]
  const [held, spent] = [scaled(heldSizes), scaled(spentSizes)]
  const heldPoints = new Map<string, Held[]>()
  const spentPoints = new Map<string, number[]>()
  for (const { label, start } of contenders) {
    say(`scaling  ${label}: up to ${held.at(-1)?.toLocaleString('en')} connections held`)
    const target = await start()
    try {
      heldPoints.set(label, await climb(target, held, scale))
    } finally {
      await target.stop()
    }
    if (target.refusals === undefined) continue
    say(`scaling  ${label}: up to ${spent.at(-1)?.toLocaleString('en')} tickets spent`)
    const fresh = await start()
    try {
      spentPoints.set(label, await spend(fresh, spent, scale))
    } finally {
      await fresh.stop()
    }
  }
  const series = (of: keyof Held): Curve['series'] =>
    Object.fromEntries([...heldPoints].map(([label, points]) => [label, points.map(point => point[of])]))
  return [
    {
      name: 'Handshake while connections are held',
      unit: 'server CPU, µs',
      over: 'held',
      axis: 'log',
      sizes: held,
      series: series('handshakeMicros'),
    },
    {
      name: 'Memory while connections are held',
      unit: 'RSS, MiB',
      over: 'held',
      axis: 'value',
      sizes: held,
      series: series('residentMiB'),
    },
    {
      name: 'Delivery to subscribers, one message in flight',
      unit: 'server CPU, µs',
      over: 'subscribers',
      axis: 'log',
      sizes: held,
      series: series('deliveryMicros'),
    },
    {
      name: 'Handshake while spent tickets are remembered',
      unit: 'server CPU, µs',
      over: 'spent',
      axis: 'log',
      sizes: spent,
      series: Object.fromEntries(spentPoints),
    },
  ]
}
