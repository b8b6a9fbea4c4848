// redis/: everything that talks to Redis: replay cache, bus, revocations. It knows no HTTP and no
// WebSockets.

import { readFileSync } from 'node:fs'
import { Redis, type RedisOptions } from 'ioredis'
import type { RedisAddress } from '../config/redis-url.js'
import type { Config } from '../config/schema.js'

/** The options that say how to connect. */
export type RedisConfig = Pick<Config, 'redisUrl' | 'redisCaFile' | 'redisCertFile' | 'redisKeyFile'>

/** The wait before the next attempt to connect: short at first, then longer, with jitter. */
const retryDelayMs = (attempt: number): number =>
  Math.min(1000, 50 * 2 ** Math.min(attempt, 5)) * (0.5 + Math.random() / 2)

export interface ConnectOptions {
  /** Closes the connection after this long without a reply. */
  readonly socketTimeoutMs?: number
}

/**
 * Returns a client that rejects at once while it is disconnected: nothing waits in memory, and
 * nothing is sent twice. It reconnects by itself, without limit.
 */
export function connectRedis(
  config: RedisConfig,
  name: string,
  { socketTimeoutMs }: ConnectOptions = {},
): Redis {
  const { redisUrl } = config
  if (redisUrl === undefined) throw new TypeError('config.redisUrl is required')
  const options: Options = {
    ...placeOptions(redisUrl, redisUrl.isTls ? tlsOptions(config) : undefined),
    ...loginOptions(redisUrl),
    connectionName: name,
    connectTimeout: 1000,
    retryStrategy: retryDelayMs,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    // Fails commands along with the connection they were sent on. They would never settle
    // otherwise.
    maxRetriesPerRequest: 0,
    // ioredis waits without limit for a server that hangs. Our own check does not.
    enableReadyCheck: false,
    autoResubscribe: false,
    disableClientInfo: true,
    ...(socketTimeoutMs === undefined ? {} : { socketTimeout: socketTimeoutMs }),
  }
  const client = new Redis(options)
  // Without a listener, ioredis writes errors to the console.
  client.on('error', () => {})
  return client
}

const loginOptions = ({ username, password, database }: RedisAddress): Options => ({
  db: database,
  ...(username === '' ? {} : { username }),
  ...(password === '' ? {} : { password }),
})

// The constructor's own type has a narrower `replyMapping`.
type Options = Omit<RedisOptions, 'replyMapping'>

type TlsOptions = NonNullable<RedisOptions['tls']>

function tlsOptions({ redisCaFile, redisCertFile, redisKeyFile }: RedisConfig): TlsOptions {
  return {
    ...(redisCaFile === undefined ? {} : { ca: readFileSync(redisCaFile) }),
    ...(redisCertFile === undefined ? {} : { cert: readFileSync(redisCertFile) }),
    ...(redisKeyFile === undefined ? {} : { key: readFileSync(redisKeyFile) }),
  }
}

function placeOptions({ at }: RedisAddress, tls: TlsOptions | undefined): Options {
  if ('path' in at) return { path: at.path }
  if ('host' in at) return { ...at, ...(tls === undefined ? {} : { tls }) }
  return {
    sentinels: [...at.sentinels],
    name: at.name,
    role: 'master',
    sentinelRetryStrategy: retryDelayMs,
    // Otherwise a sentinel that hangs keeps the others from being asked.
    sentinelCommandTimeout: 1000,
    // A primary that became a replica while the connection lasted: the sentinels know the new one.
    reconnectOnError: error => error.message.startsWith('READONLY'),
    ...(tls === undefined ? {} : { tls, sentinelTLS: tls, enableTLSForSentinelMode: true }),
  }
}
