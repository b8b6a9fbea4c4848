import { clock } from '../clock.js'
import type { Config } from '../config/schema.js'
import { longestOutsideMs } from '../disk/gate-keys.js'
import type { OpenReplay } from '../redis/open-replay.js'
import { splitByKey } from '../replay/by-key.js'
import { createMemoryReplayCache } from '../replay/memory.js'
import { createSharedReplayMemory, openSharedReplayCache, type SharedReplayMemory } from '../replay/shared.js'
import type { Log } from '../telemetry/log.js'

/**
 * The memory of spent tickets that threads share: their own tickets, and those of outside minters.
 */
export interface SpentMemory {
  readonly own: SharedReplayMemory
  readonly outside: SharedReplayMemory | undefined
}

/** Allocates the memory of a `shared` replay cache. Returns undefined for the others. */
export function createSpentMemory(config: Config): SpentMemory | undefined {
  if (config.replay !== 'shared') return undefined
  const create = (maxTtlMs: number): SharedReplayMemory =>
    createSharedReplayMemory({ capacity: config.replayCapacity, maxTtlMs, nowMs: clock() })
  const outsideMs = longestOutsideMs(config)
  return {
    own: create(config.ticketTtlSeconds * 1000),
    outside: outsideMs === undefined ? undefined : create(outsideMs),
  }
}

/**
 * Opens the configured replay cache and sweeps it. Once per process.
 * @throws StartupError `redis_evicts`
 */
export async function openReplay(
  config: Config,
  log: Log,
  memory: SpentMemory | undefined,
): Promise<OpenReplay> {
  if (config.replay === 'redis') return openInRedis(config, log)
  const replay =
    memory === undefined ? createMemoryReplayCache(config.replayCapacity) : openSpentMemory(memory)
  return { replay, store: undefined, close: sweep(replay) }
}

/**
 * Opens the replay cache of a worker thread. The main thread does the sweeping.
 * @throws StartupError `redis_evicts`
 */
export async function openThreadReplay(
  config: Config,
  log: Log,
  memory: SpentMemory | undefined,
): Promise<OpenReplay> {
  if (memory === undefined) return openInRedis(config, log)
  return { replay: openSpentMemory(memory), store: undefined, close() {} }
}

/** Loads the Redis client, which other gates do not need. */
async function openInRedis(config: Config, log: Log): Promise<OpenReplay> {
  const { openRedisReplay } = await import('../redis/open-replay.js')
  return openRedisReplay(config, log)
}

function openSpentMemory({ own, outside }: SpentMemory) {
  const cache = openSharedReplayCache(own)
  return outside === undefined ? cache : splitByKey(cache, openSharedReplayCache(outside))
}

/**
 * Removes expired nonces from a replay cache in quiet times too. Returns a function that stops it.
 */
function sweep(replay: { turnOver(nowMs: number): void }): () => void {
  const timer = setInterval(() => replay.turnOver(clock()), 250)
  timer.unref()
  return () => clearInterval(timer)
}
