import { Command, type Redis } from 'ioredis'
import type { RedisScript } from './replay-scripts.js'

/** As much of a Redis or Valkey client as the replay cache needs. */
export interface RedisStore {
  /**
   * Runs a script at most once, or rejects. It MUST reject at once while there is no connection, and MUST NOT send a
   * script again after it may have run.
   */
  run(script: RedisScript, keys: readonly string[], args: readonly (string | Buffer)[]): Promise<unknown>
  /** Gives the connection up for a new one. */
  reconnect(): void
}

const isUnknownScript = (error: unknown): boolean =>
  error instanceof Error && error.message.startsWith('NOSCRIPT')

/** The store behind a client. */
export function redisStore(client: Redis): RedisStore {
  let failure = new Error('there is no connection')
  client.on('error', error => {
    // Without what it says of our commands, one of which has the password.
    failure = new Error(error.message)
    failure.name = error.name
  })
  client.on('ready', () => {
    failure = new Error('the connection was lost')
  })
  return {
    async run({ sha, text }, keys, args) {
      if (client.status !== 'ready') throw failure
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
