import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { createAdmin } from './admin.js'
import { clock, toSeconds } from './clock.js'
import { type Bus, openRedisBus } from './cluster/redis-bus.js'
import { type OpenReplay, openRedisReplay } from './cluster/redis-replay.js'
import type { Relay } from './cluster/relay.js'
import { buildThreads } from './cluster/threads.js'
import type { Config } from './config.js'
import { createFront } from './front.js'
import { createOperator, type ServerApi, serverApi } from './operator.js'
import { createConnectionCaps } from './ops/caps.js'
import type { Log } from './ops/log.js'
import { keepHighWater, longestTicketMs, openKeys } from './ops/outside-keys.js'
import { createRateLimiter } from './ops/rate.js'
import { openRevocationFile, type RevocationFile } from './ops/revocation-file.js'
import { createMemoryReplayCache } from './replay/memory.js'
import { createSharedReplayMemory, openSharedReplayCache, type SharedReplayMemory } from './replay/shared.js'
import type { GateHandlers } from './socket/connection.js'
import { createBootKey } from './ticket/key-ring.js'
import { createPasswordHasher } from './users/password.js'

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

/**
 * Builds a gate: in this thread, or over several.
 * @throws StartupError `users_file_invalid`, `high_water_invalid`, `revocations_invalid`, `redis_evicts`
 * @throws TypeError for handlers over several threads, which share no functions
 */
export async function buildGate(
  config: Config,
  log: Log,
  handlers?: GateHandlers<unknown> | undefined,
): Promise<Gate> {
  if (config.threads === 1) return buildOne(config, log, handlers)
  if (handlers !== undefined) throw new TypeError('threads must be 1 where there are handlers')
  return buildThreads(config, log)
}

/** Opens the revocations of this gate. */
export const openRevocations = (config: Config): Promise<RevocationFile> =>
  openRevocationFile(join(config.stateDir, 'revocations.json'), () => toSeconds(clock()))

async function buildOne(
  config: Config,
  log: Log,
  handlers: GateHandlers<unknown> | undefined,
): Promise<Gate> {
  const revocationFile = await openRevocations(config)
  const bootKey = createBootKey(config.node)
  const highWater = await keepHighWater(config, log)
  const keys = openKeys(config, bootKey, log, highWater?.view)
  const { replay, store, close: closeReplay } = await openReplayCache(config, log)
  const bus = openBus(config, log, revocationFile)
  const front = await createFront(config, log, {
    keys,
    replay,
    store,
    caps: createConnectionCaps({
      total: config.maxConnections,
      perUser: config.maxConnectionsPerUser,
      perAddress: config.maxConnectionsPerAddress,
    }),
    logins: createRateLimiter(config.loginRate),
    tickets: createRateLimiter(config.ticketRate),
    hasher: createPasswordHasher({ concurrency: hashConcurrency, queueLimit: maxWaitingLogins }),
    revocations: revocationFile.revocations,
    handlers,
    relay: bus && keepingRevocations(bus, revocationFile, log),
    isBusUp: bus && (() => bus.isUp),
  })
  const operator = createOperator({
    config,
    file: revocationFile,
    async deliver(messages) {
      for (const message of messages) bus?.send(message)
      return messages.reduce((sum, message) => sum + front.deliver(message), 0)
    },
    clock,
  })
  const admin = createAdmin(config, log, { replay, bus, operator, snapshot: async () => front.snapshot() })

  function close(): void {
    closeReplay()
    bus?.close()
    keys.close()
    highWater?.close()
    admin.close()
  }

  let drained: Promise<void> | undefined
  async function drain(): Promise<void> {
    await front.drain()
    close()
    log.info('stopped')
  }

  return {
    ...serverApi(operator),
    async listen() {
      try {
        const port = await front.listen(config.port, 'exclusive')
        return { url: urlOf(config, port), adminUrl: await admin.listen() }
      } catch (error) {
        front.close()
        close()
        throw error
      }
    },
    drain() {
      // Whoever asks again, waits for the same end.
      drained ??= drain()
      return drained
    },
  }
}

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

/** A relay that also writes down what was revoked elsewhere. */
function keepingRevocations(bus: Bus, file: RevocationFile, log: Log): Relay {
  return {
    send: bus.send,
    onMessage(receive) {
      bus.onMessage(message => {
        receive(message)
        if (message.type === 'revoke') saveRevocations(file, log)
      })
    },
    close() {},
  }
}

export const saveRevocations = (file: RevocationFile, log: Log): void =>
  void file
    .save()
    .catch(error => log.error({ err: error }, 'a revocation of another node could not be written down'))

async function openReplayCache(config: Config, log: Log): Promise<OpenReplay> {
  if (config.replay === 'memory') {
    const replay = createMemoryReplayCache(config.replayCapacity)
    return { replay, store: undefined, close: keepTurning(replay) }
  }
  return openSharedReplay(config, log, shareReplayMemory(config))
}

/** The memory in which threads share what was spent; undefined where that is in Redis. */
export const shareReplayMemory = (config: Config): SharedReplayMemory | undefined =>
  config.replay === 'redis'
    ? undefined
    : createSharedReplayMemory({
        capacity: config.replayCapacity,
        maxTtlMs: longestTicketMs(config),
        nowMs: clock(),
      })

/**
 * The replay cache of a thread beside others, and what keeps it going for all of them: once a process is enough.
 * @throws StartupError `redis_evicts`
 */
export async function openSharedReplay(
  config: Config,
  log: Log,
  memory: SharedReplayMemory | undefined,
): Promise<OpenReplay> {
  if (memory === undefined) return openRedisReplay(config, log)
  const replay = openSharedReplayCache(memory)
  return { replay, store: undefined, close: keepTurning(replay) }
}

/** Lets a replay cache forget in quiet times, too. Answers what ends that. */
function keepTurning(replay: { turnOver(nowMs: number): void }): () => void {
  const timer = setInterval(() => replay.turnOver(clock()), 250)
  timer.unref()
  return () => clearInterval(timer)
}

/** Where browsers reach a gate that listens on `port`. */
export const urlOf = (config: Pick<Config, 'host' | 'tlsCertFile'>, port: number): string => {
  const host = config.host.includes(':') ? `[${config.host}]` : config.host
  return `${config.tlsCertFile === undefined ? 'http' : 'https'}://${host}:${port}`
}
