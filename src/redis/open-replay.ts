import type { Redis } from 'ioredis'
import { clock } from '../clock.js'
import type { Config } from '../config/schema.js'
import { StartupError } from '../errors.js'
import type { StoreReplayCache } from '../replay/contract.js'
import type { Log } from '../telemetry/log.js'
import { connectRedis } from './client.js'
import { Reasons } from './reasons.js'
import { RedisReplayCache, type StoreState } from './replay.js'
import { redisStore } from './store.js'

/** The replay cache of a gate, and what closes it. */
export interface OpenReplay {
  readonly replay: StoreReplayCache
  /** The same cache, if it is in Redis. */
  readonly store: RedisReplayCache | undefined
  close(): void
}

// How long the start waits for a connection.
const connectWithinMs = 1500

// Beyond what a look waits for a reply. A new connection sends its first commands without one.
const socketTimeoutMs = 3000

const evicts = (policy: string): string =>
  `the Redis at TICKETGATE_REDIS_URL may forget spent tickets: its maxmemory-policy is ${policy}. Set it to noeviction: redis-cli config set maxmemory-policy noeviction`

/**
 * Connects to the store of this gate. An unreachable store does not stop the start, as it may
 * become reachable later; one that would forget spent tickets does.
 * @throws StartupError `redis_evicts`
 */
export async function openRedisReplay(config: Config, log: Log): Promise<OpenReplay> {
  const skewMs = config.clockSkewSeconds * 1000
  const reasons = new Reasons()
  let isOff = false
  const client = connectRedis(config, 'ticketgate-replay', { socketTimeoutMs })
  const cache = new RedisReplayCache(redisStore(client), {
    skewMs,
    ttlMs: config.ticketTtlSeconds * 1000,
    clock,
    trustsEviction: config.redisEviction === 'trusted',
    onState: state => tell(state, reasons, log),
    onClock(aheadMs) {
      const wasOff = isOff
      isOff = Math.abs(aheadMs) > 1000
      if (isOff && !wasOff)
        log.warn(
          { offMs: -aheadMs },
          'the clocks of this gate and of Redis differ by more than a second: fresh tokens of other gates may be refused, and beyond TICKETGATE_CLOCK_SKEW_SECONDS their tickets too',
        )
    },
  })
  const close = (): void => {
    cache.close()
    client.disconnect()
  }
  await firstAttempt(client)
  await cache.look()
  if (cache.state.is === 'evicts') {
    close()
    throw new StartupError('redis_evicts', evicts(cache.state.policy))
  }
  return { replay: cache, store: cache, close }
}

/** Resolves when the client is connected, or has failed to connect, and after 1.5 s at most. */
function firstAttempt(client: Redis): Promise<void> {
  return new Promise(resolve => {
    const settle = (): void => {
      clearTimeout(timer)
      resolve()
    }
    const timer = setTimeout(settle, connectWithinMs)
    // If no sentinel knows the primary, there is an error, but no connection to close.
    for (const event of ['ready', 'close', 'error'] as const) client.once(event, settle)
  })
}

/** Logs the state of the store: each reason once, until it is ready again. */
function tell(state: StoreState, reasons: Reasons, log: Log): void {
  if (state.is === 'ready') {
    reasons.clear()
    return log.info('Redis is ready: tickets are accepted')
  }
  if (!reasons.isNew('reason' in state ? state.reason : state.is)) return
  if (state.is === 'evicts') log.error(`no ticket is accepted: ${evicts(state.policy)}`)
  else if (state.is === 'behind')
    log.error(
      `no ticket is accepted: the clock of this gate is ${state.seconds} s behind that of Redis. Correct the system clock of its machine, which the gate follows ahead, or that of Redis`,
    )
  else {
    const { is, ...why } = state
    log.error(why, `Redis is ${is}: no ticket is accepted`)
  }
}
