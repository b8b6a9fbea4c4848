import { pack } from 'msgpackr'
import { subprotocol } from '../../src/protocol.js'
import { expectAnswers, frameHex, type Opener, requestHex, startOpener } from '../drivers/opener.js'
import { measure } from '../figures/cpu.js'
import { cpuSample, type Row } from '../figures/sample.js'
import type { Target } from '../targets/target.js'
import { payload } from '../targets/wires.js'
import type { Scenario, Step } from './scenario.js'

const subscribers = 1_000
const burst = 32
// A delivery in a burst takes a thirtieth of the time of another.
const bursts = 40

const rows: readonly Row[] = [
  { name: 'fan-out, one in flight', unit: 'server CPU, µs' },
  { name: 'fan-out, bursts', unit: 'server CPU, µs' },
  { name: 'fan-out, by the admin API', unit: 'server CPU, µs', comparedWith: 'fan-out, one in flight' },
  { name: 'fan-out, MessagePack', unit: 'server CPU, µs', comparedWith: 'fan-out, one in flight' },
  { name: 'fan-out, MessagePack, bursts', unit: 'server CPU, µs', comparedWith: 'fan-out, bursts' },
]

/** A message to the channel of the subscribers, for `POST /publish`. */
const adminPublishHex = (target: Target, port: number, key: string): string =>
  requestHex(
    { host: target.host, port },
    'POST',
    '/publish',
    { 'content-type': 'application/json', authorization: `Bearer ${key}` },
    JSON.stringify({ channel: '', data: payload }),
  )

const openers = new Map<Target, Opener>()

/**
 * One client publishes 64 bytes to a channel with 1,000 subscribers. An operation is one delivery.
 */
export const fanOutScenario: Scenario = {
  name: 'fan-out',
  rows,
  prepare: async (target, count) => {
    const { wire, admin } = target
    // Fewer in a minimal run only: each message is read once for all of them, so with fewer of them
    // reading would be a greater part of a delivery.
    const hearing = Math.max(8, Math.min(subscribers, count((10 * subscribers) / target.share)))
    const opener = startOpener(target)
    openers.set(target, opener)
    const openAll = async (protocol = ''): Promise<void> => {
      const lines = (await wire.lines(target, hearing + 1)).map(line => line + protocol)
      expectAnswers(
        await opener.run(`open ${lines.length} 32 0 ${wire.greetingFrames}`, lines),
        '101',
        lines.length,
      )
    }
    await openAll()

    const publication = frameHex(wire.publication(payload))
    const step =
      (rounds: number, frames: number, port: number, hex: string): Step =>
      async () => {
        const command = `fanout ${Math.max(2, count(rounds))} ${frames} ${port} ${hex}`
        return cpuSample(await measure(target.pids, async () => (await opener.run(command)).run))
      }
    const steps = new Map<string, Step | string>([
      ['fan-out, one in flight', step(100, hearing, 0, publication)],
      ['fan-out, bursts', step(bursts, hearing * burst, 0, publication.repeat(burst))],
    ])
    if (admin !== undefined)
      steps.set(
        'fan-out, by the admin API',
        // There, the publisher is not a subscriber, so the publisher above receives it too.
        step(100, hearing + 1, admin.port, adminPublishHex(target, admin.port, admin.key)),
      )
    if (target.name === 'ticketgate') {
      const packed = frameHex(pack({ type: 'publish', data: payload }))
      const one = step(100, hearing, 0, packed)
      steps.set('fan-out, MessagePack', async () => {
        await opener.run('close')
        await openAll(` ${subprotocol.msgpack}`)
        return one()
      })
      steps.set('fan-out, MessagePack, bursts', step(bursts, hearing * burst, 0, packed.repeat(burst)))
    }
    return steps
  },
  release: async target => {
    await openers.get(target)?.stop()
    openers.delete(target)
  },
}
