import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { clock, toSeconds } from './clock.js'
import { type Bus, openRedisBus } from './cluster/redis-bus.js'
import { type OpenReplay, openRedisReplay } from './cluster/redis-replay.js'
import type { Config } from './config.js'
import type { ServerApi } from './operator.js'
import type { Log } from './ops/log.js'
import { longestOutsideMs } from './ops/outside-keys.js'
import { openRevocationFile, type RevocationFile } from './ops/revocation-file.js'
import { splitByKey } from './replay/by-key.js'
import { createSharedReplayMemory, openSharedReplayCache, type SharedReplayMemory } from './replay/shared.js'

/** What a gate is built of, in one thread or over several. */

// Logins wait for a hash in this queue; a longer one only makes them time out.
export const maxWaitingLogins = 64

/** How many passwords are hashed at a time: libuv has four threads, and the user file wants one now and then. */
export const hashConcurrency = Math.max(1, Math.min(3, availableParallelism()))

/** A running gate. */
export interface Gate extends ServerApi {
  /**
   * Opens the public and the admin listener.
   * @throws StartupError `port_unavailable`
   */
  listen(): Promise<{ readonly url: string; readonly adminUrl: string }>
  /**
   * Takes no new tickets or sockets, closes what is open in paced batches, then the listeners. Resolves when all is
   * closed, at the latest `drainSeconds` later.
   */
  drain(): Promise<void>
}

/** Opens the revocations of this gate. */
export const openRevocations = (config: Config): Promise<RevocationFile> =>
  openRevocationFile(join(config.stateDir, 'revocations.json'), () => toSeconds(clock()))

/** The way to the other nodes, where there is one. */
export const openBus = (config: Config, log: Log, file: RevocationFile): Bus | undefined =>
  config.redisUrl === undefined
    ? undefined
    : openRedisBus({
        url: config.redisUrl,
        revocations: () => file.revocations.list(toSeconds(clock())),
        log,
        clock,
      })

/** Writes down what was revoked elsewhere; it counts already. */
export const saveRevocations = (file: RevocationFile, log: Log): void =>
  void file
    .save()
    .catch(error => log.error({ err: error }, 'a revocation of another node could not be written down'))

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

/** Where browsers reach a gate that listens on `port`. */
export const urlOf = (config: Pick<Config, 'host' | 'tlsCertFile'>, port: number): string => {
  const host = config.host.includes(':') ? `[${config.host}]` : config.host
  return `${config.tlsCertFile === undefined ? 'http' : 'https'}://${host}:${port}`
}
