import { clock } from '../clock.js'
import type { Config } from '../config/schema.js'
import { longestOutsideMs } from '../disk/gate-keys.js'
import { type OpenReplay, openRedisReplay } from '../redis/open-replay.js'
import { splitByKey } from '../replay/by-key.js'
import { createSharedReplayMemory, openSharedReplayCache, type SharedReplayMemory } from '../replay/shared.js'
import type { Log } from '../telemetry/log.js'

/** The memory in which threads share what was spent: of their own tickets, and of those of outside minters. */
export interface SpentMemory {
  readonly own: SharedReplayMemory
  readonly outside: SharedReplayMemory | undefined
}

/** The memory in which threads share what was spent; undefined where that is in Redis. */
export function shareReplayMemory(config: Config): SpentMemory | undefined {
  if (config.replay === 'redis') return undefined
  const create = (maxTtlMs: number): SharedReplayMemory =>
    createSharedReplayMemory({ capacity: config.replayCapacity, maxTtlMs, nowMs: clock() })
  const outsideMs = longestOutsideMs(config)
  return {
    own: create(config.ticketTtlSeconds * 1000),
    outside: outsideMs === undefined ? undefined : create(outsideMs),
  }
}

/** The replay cache in such memory. */
export function openSpentMemory({ own, outside }: SpentMemory) {
  const cache = openSharedReplayCache(own)
  return outside === undefined ? cache : splitByKey(cache, openSharedReplayCache(outside))
}

/**
 * The replay cache of a thread beside others, and what keeps it going for all of them: once a process is enough.
 * @throws StartupError `redis_evicts`
 */
export async function openSharedReplay(
  config: Config,
  log: Log,
  memory: SpentMemory | undefined,
): Promise<OpenReplay> {
  if (memory === undefined) return openRedisReplay(config, log)
  const replay = openSpentMemory(memory)
  return { replay, store: undefined, close: keepTurning(replay) }
}

/** Lets a replay cache forget in quiet times, too. Answers what ends that. */
export function keepTurning(replay: { turnOver(nowMs: number): void }): () => void {
  const timer = setInterval(() => replay.turnOver(clock()), 250)
  timer.unref()
  return () => clearInterval(timer)
}
