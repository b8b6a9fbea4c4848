import { expectAnswers, frameHex, type Opener, withOpener } from '../../drivers/opener.js'
import { measure } from '../../figures/cpu.js'
import { say } from '../../figures/text.js'
import type { Target } from '../../targets/target.js'
import { startTicketgate } from '../../targets/ticketgate.js'
import { payload } from '../../targets/wires.js'
import { handshakeAll } from '../handshake.js'
import { collecting, settledBytes } from '../memory.js'
import { type Case, type CaseStage, playRounds } from './case.js'

const each = 24
const subscribers = 1_000
const deliveries = 100_000
const batch = 500
const shaken = 4_000

interface Plan {
  readonly sockets: number
  /** The channels that a socket subscribes to, beside the one that it opens. */
  readonly channelsOf: (socket: number) => readonly string[]
  /** The channels on which the first socket publishes, and how many receive each message. */
  readonly published: readonly string[]
  readonly receivers: number
  /** Whether its sockets are many enough to show in the memory of the process. */
  readonly hasMemory: boolean
}

const subscribeHex = (channels: readonly string[]): string =>
  channels.map((channel, id) => frameHex(JSON.stringify({ type: 'subscribe', channel, id }))).join('')

/**
 * Opens some of the sockets, each with its subscriptions, which are acknowledged. Returns the CPU
 * time of the server for each, in microseconds.
 */
const open = async (
  target: Target,
  opener: Opener,
  { channelsOf }: Plan,
  from: number,
  until: number,
): Promise<number> => {
  let spentNs = 0
  for (let opened = from; opened < until; opened += batch) {
    const lines = await target.wire.lines(target, Math.min(batch, until - opened))
    const told = lines.map((line, n) => `${line}\t${subscribeHex(channelsOf(opened + n))}`)
    const frames = 1 + channelsOf(opened).length
    const load = await measure(target.pids, async () => {
      const outcome = await opener.run(`open ${told.length} 32 0 ${frames}`, told)
      expectAnswers(outcome, '101', told.length)
      return outcome.run
    })
    spentNs += load.serverCpuNs
  }
  return spentNs / 1000 / (until - from)
}

/** A fresh gate, the sockets, and messages to them. */
const measurePlan = async (stage: CaseStage, plan: Plan) => {
  const target = await startTicketgate(stage.directory, stage.users, {
    settings: { NODE_OPTIONS: collecting },
  })
  try {
    return await withOpener(target, async opener => {
      await handshakeAll(target, await target.wire.lines(target, Math.max(50, stage.count(shaken))), '101')
      const first = Math.ceil(plan.sockets / 3)
      await open(target, opener, plan, 0, first)
      const memory = async () => (plan.hasMemory ? settledBytes(target.child.pid, 0) : 0)
      const before = await memory()
      const micros = await open(target, opener, plan, first, plan.sockets)
      const bytes = ((await memory()) - before) / (plan.sockets - first)
      const messages = plan.published
        .map(channel => frameHex(JSON.stringify({ type: 'publish', channel, data: payload })))
        .join('')
      const frames = plan.published.length * plan.receivers
      const times = Math.max(2, Math.ceil(stage.count(deliveries) / frames))
      await opener.run(`fanout ${Math.ceil(times / 10)} ${frames} 0 ${messages}`)
      const load = await measure(
        target.pids,
        async () => (await opener.run(`fanout ${times} ${frames} 0 ${messages}`)).run,
      )
      return { opening: micros, bytes, delivery: load.serverCpuNs / 1000 / load.operations }
    })
  } finally {
    await target.stop()
  }
}

/** A plan beside another, round by round. */
const compare = async (stage: CaseStage, name: string, plan: Plan, other: Plan) => {
  const played = await playRounds(stage.rounds, async round => {
    const figures = await measurePlan(stage, plan)
    const beside = await measurePlan(stage, other)
    say(`${name}  round ${round}: a delivery ${figures.delivery.toFixed(1)} µs`)
    return { ...figures, opening1: beside.opening, bytes1: beside.bytes, delivery1: beside.delivery }
  })
  return [
    {
      what: 'handshake and subscriptions of a socket',
      unit: 'server CPU, µs',
      values: played.opening,
      beside: played.opening1,
    },
    ...(plan.hasMemory
      ? [{ what: 'a socket, idle', unit: 'RSS, bytes', values: played.bytes, beside: played.bytes1 }]
      : []),
    { what: 'a delivery', unit: 'server CPU, µs', values: played.delivery, beside: played.delivery1 },
  ]
}

/** Sockets that hear several channels each. */
export const subscriptionsCase: Case = {
  name: 'subscriptions',
  async measure(stage) {
    const sockets = Math.max(10, stage.count(subscribers))
    const shared = Array.from({ length: each - 1 }, (_, n) => `room-${n}`)
    const plan = { sockets, published: ['room-7'], receivers: sockets - 1, hasMemory: false }
    const one = { ...plan, channelsOf: () => [], published: [''] }
    return {
      condition: `${subscribers.toLocaleString('en')} sockets with ${each} subscriptions each: the channel that a socket opens, and ${each - 1} more, all the same for all, each asked for with a message and acknowledged. One of them publishes 64 bytes on one of the channels, which all the others receive. Compared with the same sockets on one channel only. Each time a fresh process, measured from the first third of the sockets on.`,
      beside: '1 subscription',
      figures: await compare(stage, 'subscriptions', { ...plan, channelsOf: () => shared }, one),
    }
  },
}

/** Sockets on channels of their own. */
export const channelsCase: Case = {
  name: 'channels',
  async measure(stage) {
    const channels = 100_000
    const sockets = Math.max(10, Math.ceil(stage.count(channels) / each))
    const own = (socket: number): string[] => Array.from({ length: each }, (_, n) => `own-${socket}-${n}`)
    const plan = { sockets, channelsOf: own, published: own(1), receivers: 1, hasMemory: true }
    const few = { ...plan, channelsOf: (socket: number) => (socket === 1 ? own(1) : own(0)) }
    return {
      condition: `${channels.toLocaleString('en')} channels, ${each} to a socket, no two of which share one. The first socket publishes 64 bytes on each of the ${each} channels of another, ${each} messages at once; one operation is a publication and its one delivery. Compared with as many sockets and subscriptions on ${2 * each} channels. Each time a fresh process, measured from the first third of the sockets on.`,
      beside: `${2 * each} channels`,
      figures: await compare(stage, 'channels', plan, few),
    }
  },
}
