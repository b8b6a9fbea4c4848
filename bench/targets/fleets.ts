import { secret } from './secret.js'
import type { Stage } from './stage.js'
import { startStore } from './store.js'
import type { Target } from './target.js'
import { startTicketgate } from './ticketgate.js'
import type { Users } from './users.js'

/** A way to run several nodes. */
export interface Fleet {
  readonly label: string
  /** Starts `count` nodes and everything that they share. */
  start(count: number): Promise<{ nodes: readonly Target[]; stop(): Promise<void> }>
}

const noStore = 'no store takes part in it: as ticketgate'
const sameAsTicketgate = { auth: noStore, memory: noStore, storm: noStore }

/** Starts gates that share a Redis, whose CPU time counts as that of the first gate. */
const startGatesOnRedis = async (
  stage: Pick<Stage, 'directory' | 'users'>,
  count: number,
): Promise<{ nodes: readonly Target[]; stop(): Promise<void> }> => {
  const store = await startStore(stage)
  const settings = {
    TICKETGATE_REPLAY: 'redis',
    TICKETGATE_REDIS_URL: store.url,
    TICKETGATE_TICKET_KEYS: `1:${secret()}`,
  }
  const nodes = await Promise.all(
    Array.from({ length: count }, async (): Promise<Target> => {
      const target = await startTicketgate(stage.directory, stage.users, { settings })
      const pids = [...target.pids, store.pid]
      return { ...target, name: 'ticketgate on redis', pids, cannot: sameAsTicketgate }
    }),
  )
  return {
    nodes,
    async stop() {
      await Promise.all(nodes.map(node => node.stop()))
      await store.stop()
    },
  }
}

/** A single gate with its Redis. */
export const startTicketgateOnRedis = async (stage: Stage): Promise<Target> => {
  const { nodes, stop } = await startGatesOnRedis(stage, 1)
  return { ...(nodes[0] as Target), stop }
}

/** The two ways to run several gates. */
export const fleetsOf = (directory: string, users: Users): Fleet[] => [
  {
    label: 'ticketgate, routed',
    async start(count) {
      const jwtSecret = secret()
      const nodes = await Promise.all(
        Array.from({ length: count }, (_, n) =>
          startTicketgate(directory, users, {
            settings: { TICKETGATE_NODE: `node-${n}`, TICKETGATE_JWT_SECRET: jwtSecret },
          }),
        ),
      )
      return { nodes, stop: async () => void (await Promise.all(nodes.map(node => node.stop()))) }
    },
  },
  { label: 'ticketgate on redis', start: count => startGatesOnRedis({ directory, users }, count) },
]
