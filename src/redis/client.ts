// redis/: everything that talks to Redis: replay cache, bus, revocations. It knows no HTTP and no WebSockets.

import { Redis } from 'ioredis'

/** How long to wait before the next attempt to connect: soon, then less often, and not all gates at once. */
const retryDelayMs = (attempt: number): number =>
  Math.min(1000, 50 * 2 ** Math.min(attempt, 5)) * (0.5 + Math.random() / 2)

export interface ConnectOptions {
  /** After how long without an answer the connection is given up. */
  readonly socketTimeoutMs?: number
}

/**
 * A client that rejects at once while there is no connection: nothing waits in memory, and nothing is ever sent twice. It
 * connects by itself, and goes on trying.
 */
export function connectRedis(url: string, name: string, { socketTimeoutMs }: ConnectOptions = {}): Redis {
  const client = new Redis(url, {
    connectionName: name,
    connectTimeout: 1000,
    retryStrategy: retryDelayMs,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    // What was sent on a connection that breaks fails with it: it would never be settled otherwise.
    maxRetriesPerRequest: 0,
    // Its own check waits without limit for a server that hangs. Ours does not.
    enableReadyCheck: false,
    autoResubscribe: false,
    disableClientInfo: true,
    ...(socketTimeoutMs === undefined ? {} : { socketTimeout: socketTimeoutMs }),
  })
  // Without a listener it would be written to the console.
  client.on('error', () => {})
  return client
}
