import { Command, Redis } from 'ioredis'
import type { RedisStore } from './replay.js'

/** How long to wait before the next attempt to connect: soon, then less often, and not all gates at once. */
const retryDelayMs = (attempt: number): number =>
  Math.min(1000, 50 * 2 ** Math.min(attempt, 5)) * (0.5 + Math.random() / 2)

/**
 * A client that says no at once while there is no connection: nothing waits in memory for a better time, and nothing is
 * ever sent twice. It connects by itself, and goes on trying.
 * @param socketTimeoutMs after how long without an answer the connection is given up
 */
export function connectRedis(url: string, name: string, socketTimeoutMs?: number): Redis {
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
  // Whoever asks, learns of it; without a listener it would be written to the console.
  client.on('error', () => {})
  return client
}

const isUnknownScript = (error: unknown): boolean =>
  error instanceof Error && error.message.startsWith('NOSCRIPT')

/** What the replay cache needs of a client. */
export function redisStore(client: Redis): RedisStore {
  let reason = 'there is no connection'
  client.on('error', error => {
    reason = error.message
  })
  client.on('ready', () => {
    reason = 'the connection was lost'
  })
  return {
    async run({ sha, text }, keys, args) {
      if (client.status !== 'ready') throw new Error(reason)
      try {
        // As `client.evalsha` does it, without what that finds out anew at each call.
        return await client.sendCommand(
          new Command('evalsha', [sha, keys.length, ...keys, ...args], { replyEncoding: 'utf8' }),
        )
      } catch (error) {
        // It has not run, so it may be sent in full.
        if (isUnknownScript(error)) return client.eval(text, keys.length, ...keys, ...args)
        throw error
      }
    },
    reconnect: () => client.disconnect(true),
  }
}
