import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { createAdmin } from './admin.js'
import { clock, toSeconds } from './clock.js'
import { buildThreads } from './cluster/threads.js'
import type { Config } from './config.js'
import { createFront } from './front.js'
import { createOperator, type ServerApi, serverApi } from './operator.js'
import { createConnectionCaps } from './ops/caps.js'
import type { Log } from './ops/log.js'
import { keepHighWater, longestTicketMs, openKeys } from './ops/outside-keys.js'
import { createRateLimiter } from './ops/rate.js'
import { openRevocationFile, type RevocationFile } from './ops/revocation-file.js'
import type { ReplayCache } from './replay/contract.js'
import { createMemoryReplayCache } from './replay/memory.js'
import { createSharedReplayMemory, openSharedReplayCache } from './replay/shared.js'
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
 * @throws StartupError `users_file_invalid`, `high_water_invalid`, `revocations_invalid`
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
  const { replay, stopTurning } = createReplayCache(config)
  const front = await createFront(config, log, {
    bootKey,
    keys,
    replay,
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
    relay: undefined,
  })
  const operator = createOperator({
    config,
    file: revocationFile,
    deliver: async messages => messages.reduce((sum, message) => sum + front.deliver(message), 0),
    clock,
  })
  const admin = createAdmin(config, log, { replay, operator, snapshot: async () => front.snapshot() })

  function close(): void {
    stopTurning()
    keys.close()
    highWater?.close()
    admin.close()
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
    async drain() {
      await front.drain()
      close()
      log.info('stopped')
    },
  }
}

function createReplayCache(config: Config): { replay: ReplayCache; stopTurning: () => void } {
  if (config.replay === 'memory')
    return { replay: createMemoryReplayCache(config.replayCapacity), stopTurning() {} }
  const memory = createSharedReplayMemory({
    capacity: config.replayCapacity,
    maxTtlMs: longestTicketMs(config),
    nowMs: clock(),
  })
  const replay = openSharedReplayCache(memory)
  return { replay, stopTurning: keepTurning(replay) }
}

/** Turns the tables of a shared replay cache over in time. Answers what ends that. */
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
