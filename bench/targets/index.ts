import type { Missing } from '../figures/summary.js'
import { startTicketgateOnRedis } from './fleets.js'
import { startBareFloor, startFloor } from './floor.js'
import { startExpress, startFastify, startGo, startRedis, startSocketIo } from './peers.js'
import { recordReplies } from './replies.js'
import type { Stage } from './stage.js'
import type { Target, TargetName } from './target.js'
import { startTicketgate } from './ticketgate.js'
import type { Users } from './users.js'

const starters: Readonly<Record<Exclude<TargetName, 'ticketgate'>, (stage: Stage) => Promise<Target>>> = {
  floor: startFloor,
  'bare floor': startBareFloor,
  express: startExpress,
  fastify: startFastify,
  go: startGo,
  redis: startRedis,
  'ticketgate on redis': startTicketgateOnRedis,
  socketio: startSocketIo,
}

/**
 * Starts the targets. A peer that lacks something is left out; ticketgate and the floor are
 * required.
 */
export const startTargets = async (
  names: readonly TargetName[],
  directory: string,
  users: Users,
): Promise<{ targets: Target[]; missing: Missing[] }> => {
  // Always started, because the floor copies its replies.
  const ticketgate = await startTicketgate(directory, users)
  const stage = { directory, users, replies: await recordReplies(ticketgate) }
  const targets: Target[] = []
  const missing: Missing[] = []
  for (const name of names) {
    if (name === 'ticketgate') {
      targets.push(ticketgate)
      continue
    }
    try {
      targets.push(await starters[name](stage))
    } catch (error) {
      if (name.endsWith('floor')) throw error
      missing.push({ name, reason: (error as Error).message })
    }
  }
  if (!names.includes('ticketgate')) await ticketgate.stop()
  return { targets, missing }
}
