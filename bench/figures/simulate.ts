/**
 * Computes, from measured costs, how many nodes carry how many sockets, what saturates first, and
 * how long a reconnect storm lasts: `npx tsx bench/figures/simulate.ts --nodes 100 --sockets 1e7`. `--help`
 * lists all flags with their defaults.
 *
 * It is a model, not a measurement: nodes and Redis are servers with one queue each, simulated step
 * by step.
 */
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

export interface Costs {
  /** CPU of a gate for one mint and one handshake. */
  readonly handshakeUs: number
  /** Additional CPU of a gate if the claim is in Redis. */
  readonly redisClientUs: number
  /** CPU of Redis for one claim. It has one thread. */
  readonly redisClaimUs: number
  /** CPU of Redis for one look. Each gate looks once a second. */
  readonly redisLookUs: number
  /** CPU of Redis for one message on the bus, and for each receiving node. */
  readonly redisPublishUs: number
  readonly redisDeliveryUs: number
  /** Memory of one idle socket, including the kernel's share. */
  readonly socketBytes: number
  /** Memory of one spent ticket, in a gate and in Redis. */
  readonly spentBytes: number
  readonly redisSpentBytes: number
  /**
   * How long Redis keeps a spent ticket after its expiry: twice the clock skew, plus up to six
   * seconds.
   */
  readonly redisKeptSeconds: number
}

export interface Fleet {
  readonly nodes: number
  readonly sockets: number
  /** Cores of a node that serve sockets. */
  readonly cores: number
  /** How long a socket lives, on average. */
  readonly lifeSeconds: number
  readonly ticketSeconds: number
  /** Messages a second that cross the bus, of all nodes. */
  readonly busMessages: number
  /** Whether claims are in Redis. Otherwise tickets are routed to the node that minted them. */
  readonly unrouted: boolean
}

export interface Steady {
  readonly handshakesPerSecond: number
  /** Load of each resource: above 1 is too much. */
  readonly load: Readonly<Record<'nodeCpu' | 'redisClaims' | 'redisBus', number>>
  readonly first: string
  readonly nodeMemoryBytes: number
  readonly redisMemoryBytes: number
  readonly spentPerNode: number
  readonly descriptorsPerNode: number
}

const gateUs = (costs: Costs, { unrouted }: Fleet): number =>
  costs.handshakeUs + (unrouted ? costs.redisClientUs : 0)

/** Sockets come and go at an even rate. */
export function steady(costs: Costs, fleet: Fleet): Steady {
  const { nodes, sockets, cores, lifeSeconds, ticketSeconds, busMessages, unrouted } = fleet
  const rate = sockets / lifeSeconds
  const spent = rate * ticketSeconds
  const load = {
    nodeCpu: ((rate / nodes) * gateUs(costs, fleet)) / 1e6 / cores,
    redisClaims: unrouted ? (rate * costs.redisClaimUs + nodes * costs.redisLookUs) / 1e6 : 0,
    redisBus: (busMessages * (costs.redisPublishUs + nodes * costs.redisDeliveryUs)) / 1e6,
  }
  const [first = ''] = Object.entries(load).sort(([, a], [, b]) => b - a)[0] ?? []
  return {
    handshakesPerSecond: rate,
    load,
    first,
    nodeMemoryBytes:
      (sockets / nodes) * costs.socketBytes + (unrouted ? 0 : (spent / nodes) * costs.spentBytes),
    redisMemoryBytes: unrouted ? rate * (ticketSeconds + costs.redisKeptSeconds) * costs.redisSpentBytes : 0,
    spentPerNode: spent / nodes,
    descriptorsPerNode: sockets / nodes,
  }
}

export interface Pacing {
  /** Clients come back evenly spread over this time; 0 = all at once. */
  readonly spreadSeconds: number
  /** When a client abandons an attempt. The work for it is done nevertheless. */
  readonly patienceSeconds: number
  /**
   * The first wait after a failure. It doubles up to a minute, and each wait is a random part of
   * it.
   */
  readonly backoffSeconds: number
}

export interface Storm {
  /** Until all are connected, in seconds. Infinity if that takes longer than the simulated time. */
  readonly seconds: number
  /** Attempts that were abandoned before they were served. */
  readonly wasted: number
  readonly attempts: number
}

const stepSeconds = 0.05
const horizonSeconds = 3600

/** Loses a share of all nodes at once. Their clients reconnect to the remaining nodes. */
export function storm(costs: Costs, fleet: Fleet, lostNodes: number, pacing: Pacing): Storm {
  const { nodes, sockets, cores, unrouted } = fleet
  const left = nodes - lostNodes
  const clients = (sockets * lostNodes) / nodes
  const byNodes = (left * cores * 1e6) / gateUs(costs, fleet)
  const byRedis = unrouted
    ? Math.max(0, 1e6 - left * costs.redisLookUs) / costs.redisClaimUs
    : Number.POSITIVE_INFINITY
  // The usual traffic of the other clients.
  const usual = (sockets - clients) / fleet.lifeSeconds
  const perStep = (Math.min(byNodes, byRedis) - usual) * stepSeconds

  // For each step, how many clients will try, by their number of failures.
  const due: Map<number, number>[] = []
  const plan = (step: number, failures: number, count: number): void => {
    due[step] ??= new Map()
    const group = due[step]
    group.set(failures, (group.get(failures) ?? 0) + count)
  }
  const spreadSteps = Math.max(1, Math.round(pacing.spreadSeconds / stepSeconds))
  for (let step = 0; step < spreadSteps; step++) plan(step, 0, clients / spreadSteps)

  const queue: { count: number; failures: number; since: number }[] = []
  let inside = 0
  let wasted = 0
  let attempts = 0
  for (let step = 0; step * stepSeconds < horizonSeconds; step++) {
    for (const [failures, count] of due[step] ?? []) {
      attempts += count
      queue.push({ count, failures, since: step })
    }
    delete due[step]
    for (let capacity = perStep; capacity > 0 && queue.length > 0; ) {
      const [head] = queue
      if (head === undefined) break
      const served = Math.min(capacity, head.count)
      capacity -= served
      head.count -= served
      if ((step - head.since) * stepSeconds <= pacing.patienceSeconds) inside += served
      else {
        wasted += served
        retry(step, head, served)
      }
      if (head.count <= 1e-9) queue.shift()
    }
    if (inside >= clients * (1 - 1e-9)) return { seconds: (step + 1) * stepSeconds, wasted, attempts }
  }
  return { seconds: Number.POSITIVE_INFINITY, wasted, attempts }

  /** Clients that gave up try again, spread over their backoff. */
  function retry(
    step: number,
    { failures, since }: { failures: number; since: number },
    count: number,
  ): void {
    const gaveUp = since + Math.ceil(pacing.patienceSeconds / stepSeconds)
    const backoff = Math.min(60, pacing.backoffSeconds * 2 ** failures)
    const slots = Math.max(1, Math.round(backoff / stepSeconds))
    const parts = Math.min(slots, 20)
    for (let part = 0; part < parts; part++) {
      const at = gaveUp + Math.ceil((slots * (part + 1)) / parts)
      plan(Math.max(step + 1, at), failures + 1, count / parts)
    }
  }
}

/** The default, unit and description of each flag. */
const flags = {
  nodes: ['100', '', 'nodes of the fleet'],
  sockets: ['1e7', '', 'sockets in all'],
  cores: ['2', '', 'cores of a node that serve sockets'],
  'life-seconds': ['600', 's', 'how long a socket lives, on average'],
  'ticket-seconds': ['10', 's', 'how long a ticket lives'],
  'bus-messages': ['1000', 'a second', 'messages that cross the bus'],
  'lost-nodes': ['1', '', 'nodes that are lost at once'],
  'patience-seconds': ['10', 's', 'when a client gives an attempt up'],
  'backoff-seconds': ['1', 's', 'its first wait after a failure; it doubles, up to a minute'],
  'handshake-us': ['60', 'µs', 'CPU of a gate for one mint and one handshake'],
  'redis-client-us': ['10', 'µs', 'what a claim in Redis adds to that'],
  'redis-claim-us': ['5', 'µs', 'CPU of Redis for one claim'],
  'redis-look-us': ['62', 'µs', 'CPU of Redis for one look, of which each gate makes one a second'],
  'redis-publish-us': ['5', 'µs', 'CPU of Redis for one message on the bus'],
  'redis-delivery-us': ['0.35', 'µs', 'the same, for each node that hears it'],
  'socket-bytes': ['6000', 'bytes', "memory of an idle socket, with the kernel's share"],
  'spent-bytes': ['90', 'bytes', 'memory of a spent ticket in a gate'],
  'redis-spent-bytes': ['85', 'bytes', 'memory of a spent ticket in Redis'],
  'redis-kept-seconds': ['16', 's', 'how long Redis keeps it after its expiry'],
} as const

const help = `npx tsx bench/figures/simulate.ts [options]

Works out what a fleet needs, what saturates first, and how long a reconnect storm lasts, routed and unrouted. The costs
are measured ones; give those of your machines.

${Object.entries(flags)
  .map(([name, [value, unit, meaning]]) => {
    const given = unit === '' ? value : `${value} ${unit}`
    return `  --${name.padEnd(19)} ${meaning} (${given})`
  })
  .join('\n')}
  --help                this text`

const short = (value: number, unit = ''): string => {
  if (!Number.isFinite(value)) return 'more than an hour'
  const names = ['', ' k', ' M', ' G', ' T']
  const power = Math.max(0, Math.min(4, Math.floor(Math.log10(Math.max(value, 1)) / 3)))
  return `${(value / 1000 ** power).toPrecision(3)}${names[power]}${unit}`
}

function main(): void {
  if (process.argv.includes('--help')) return console.log(help)
  const options = Object.fromEntries(
    Object.entries(flags).map(([name, [value]]) => [name, { type: 'string' as const, default: value }]),
  )
  const { values } = parseArgs({ options })
  const number = (name: keyof typeof flags): number => Number(values[name])
  const costs: Costs = {
    handshakeUs: number('handshake-us'),
    redisClientUs: number('redis-client-us'),
    redisClaimUs: number('redis-claim-us'),
    redisLookUs: number('redis-look-us'),
    redisPublishUs: number('redis-publish-us'),
    redisDeliveryUs: number('redis-delivery-us'),
    socketBytes: number('socket-bytes'),
    spentBytes: number('spent-bytes'),
    redisSpentBytes: number('redis-spent-bytes'),
    redisKeptSeconds: number('redis-kept-seconds'),
  }
  const pacing = { patienceSeconds: number('patience-seconds'), backoffSeconds: number('backoff-seconds') }
  for (const unrouted of [false, true]) {
    const fleet: Fleet = {
      nodes: number('nodes'),
      sockets: number('sockets'),
      cores: number('cores'),
      lifeSeconds: number('life-seconds'),
      ticketSeconds: number('ticket-seconds'),
      busMessages: number('bus-messages'),
      unrouted,
    }
    const { handshakesPerSecond, load, first, ...needs } = steady(costs, fleet)
    console.log(unrouted ? '\nunrouted: claims in Redis' : 'routed: claims in memory')
    console.log(`  handshakes a second      ${short(handshakesPerSecond)}`)
    for (const [name, share] of Object.entries(load))
      console.log(
        `  load of ${name.padEnd(16)} ${(share * 100).toFixed(1)} %${name === first ? '  saturates first' : ''}`,
      )
    console.log(`  sockets on a node        ${short(needs.descriptorsPerNode)} (file descriptors)`)
    console.log(`  memory of a node         ${short(needs.nodeMemoryBytes, 'B')}`)
    console.log(`  spent tickets of a node  ${short(needs.spentPerNode)}`)
    console.log(`  memory of Redis          ${short(needs.redisMemoryBytes, 'B')}`)
    for (const spreadSeconds of [0, 10, 30, 120]) {
      const { seconds, wasted, attempts } = storm(costs, fleet, number('lost-nodes'), {
        ...pacing,
        spreadSeconds,
      })
      const name = spreadSeconds === 0 ? 'at once' : `over ${spreadSeconds} s`
      console.log(
        `  ${number('lost-nodes')} lost, back ${name.padEnd(11)} all in after ${short(seconds, ' s')}, ${short(attempts)} attempts, ${short(wasted)} in vain`,
      )
    }
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main()
