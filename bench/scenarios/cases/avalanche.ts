import { expectAnswers, frameHex, type Opener, withOpener } from '../../drivers/opener.js'
import { closeAll, openAll, type RealClient, type Route, startClient } from '../../drivers/real-clients.js'
import type { Percentiles } from '../../figures/sample.js'
import { say } from '../../figures/text.js'
import { fleetsOf } from '../../targets/fleets.js'
import type { Target } from '../../targets/target.js'
import { payload } from '../../targets/wires.js'
import { type Case, playRounds } from './case.js'

const socketsEach = 9_000
const watched = 4
const exchanges = 500
// Until then the balancer still sends one in two clients to the dead node.
const noticedMs = 1_000

const percentile = (values: readonly number[], share: number): number =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(share * values.length))] ??
  Number.NaN

/** What the clients of the dead node go through. */
interface Return {
  /** When each was open again, in seconds after the loss of the node. */
  readonly seconds: readonly number[]
  /** Failed attempts, by code. */
  readonly refused: Readonly<Record<string, number>>
}

/** Round trips of some clients of the node that lives, until `isOver`: their times, run by run. */
const watch = async (opener: Opener, target: Target, isOver: () => boolean): Promise<Percentiles[]> => {
  const runs: Percentiles[] = []
  const message = frameHex(target.wire.publication(payload, 1))
  do runs.push((await opener.run(`exchange ${exchanges} 1 ${message}`)).latency)
  while (!isOver())
  return runs
}

/** Kills the node, and waits until all its clients are back. */
const kill = (
  node: Target,
  clients: readonly RealClient<unknown>[],
): { lostMs: number; returned: Promise<Return> } => {
  const lostMs = performance.now()
  const refused: Record<string, number> = {}
  const returned = Promise.all(
    clients.map(
      ({ connection }) =>
        new Promise<number>(resolve => {
          let isLost = false
          connection.on('retry', ({ error }) => {
            if (isLost) refused[error.code] = (refused[error.code] ?? 0) + 1
            isLost = true
          })
          connection.on('open', () => resolve((performance.now() - lostMs) / 1000))
        }),
    ),
  ).then(seconds => ({ seconds, refused }))
  process.kill(node.child.pid, 'SIGKILL')
  return { lostMs, returned }
}

const playOnce = async (nodes: readonly Target[], size: number) => {
  const [dying, living] = nodes as [Target, Target]
  let lostMs = Number.POSITIVE_INFINITY
  const route: Route = {
    forTicket() {
      if (lostMs === Number.POSITIVE_INFINITY) return dying
      return performance.now() - lostMs < noticedMs && Math.random() < 0.5 ? dying : living
    },
    ofTicket: protocols => (protocols.some(one => one.startsWith('ticket.node-0.')) ? dying : living),
  }
  const clients: RealClient<unknown>[] = []
  const [first = ''] = dying.tokens(1)
  await openAll(() => {
    const client = startClient(route, first)
    clients.push(client)
    return client
  }, size)
  return withOpener(living, held =>
    withOpener(living, async seen => {
      for (let left = size; left > 0; left -= 1_000) {
        const lines = await living.wire.lines(living, Math.min(left, 1_000), 'others')
        expectAnswers(await held.run(`open ${lines.length} 32 0 1`, lines), '101', lines.length)
      }
      const lines = await Promise.all(
        Array.from({ length: watched }, (_, n) => living.wire.lines(living, 1, `watched-${n}`)),
      )
      await seen.run(`open ${watched} 4 0 1`, lines.flat())
      await watch(seen, living, () => true)
      const quiet = await watch(seen, living, () => true)
      let isOver = false
      const cpu = process.cpuUsage()
      const avalanche = kill(dying, clients)
      lostMs = avalanche.lostMs
      const watching = watch(seen, living, () => isOver)
      const { seconds, refused } = await avalanche.returned.finally(() => {
        isOver = true
      })
      const { user, system } = process.cpuUsage(cpu)
      const busy = await watching
      await closeAll(clients)
      const failed = Object.values(refused).reduce((sum, n) => sum + n, 0)
      say(
        `avalanche: all back after ${Math.max(...seconds).toFixed(1)} s; failed: ${JSON.stringify(refused)}`,
      )
      return {
        half: percentile(seconds, 0.5),
        most: percentile(seconds, 0.99),
        all: Math.max(...seconds),
        refused: failed / size,
        driver: (user + system) / 1e6 / Math.max(...seconds),
        p99: percentile(
          busy.map(one => one.p99),
          0.5,
        ),
        worst: Math.max(...busy.map(one => one.max)),
        quietP99: quiet[0]?.p99 ?? Number.NaN,
        quietWorst: quiet[0]?.max ?? Number.NaN,
      }
    }),
  )
}

/** One of two nodes dies, and all its clients come to the other. */
export const avalancheCase: Case = {
  name: 'avalanche',
  async measure({ directory, users, rounds, count }) {
    const [routed] = fleetsOf(directory, users)
    if (routed === undefined) throw new Error('there is no way to run several nodes')
    const size = Math.max(10, count(socketsEach))
    const played = await playRounds(rounds, async () => {
      const { nodes, stop } = await routed.start(2)
      try {
        return await playOnce(nodes, size)
      } finally {
        await stop()
      }
    })
    return {
      condition: `${(2 * socketsEach).toLocaleString('en')} sockets on two routed nodes, half on each; one node is killed. Its ${socketsEach.toLocaleString('en')} clients are of \`ticketgate/client\` with its default waits, all in one Node process, which asks for tickets over 64 connections, as a balancer; for a second it sends one request in two to the dead node. ${watched} of the clients of the other node exchange messages all the while, one in flight each: they are those that are not affected, and compared with the time before. The process with the clients limits how fast they come back: it needs more CPU for each than the gate. The limits of rates are too high to be reached.`,
      beside: 'before',
      figures: [
        { what: 'half are back', unit: 's', values: played.half },
        { what: '99 % are back', unit: 's', values: played.most },
        { what: 'all are back', unit: 's', values: played.all },
        { what: 'failed attempts', unit: 'a client', values: played.refused },
        { what: 'round trip of others, p99', unit: 'ms', values: played.p99, beside: played.quietP99 },
        {
          what: 'round trip of others, longest',
          unit: 'ms',
          values: played.worst,
          beside: played.quietWorst,
        },
        { what: 'CPU of the clients, 1 = a core', unit: 'cores', values: played.driver },
      ],
    }
  },
}
