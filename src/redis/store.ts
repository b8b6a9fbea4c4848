import { Command, type Redis } from 'ioredis'
import type { RedisScript } from './replay-scripts.js'

/** The part of a Redis or Valkey client that the replay cache needs. */
export interface RedisStore {
  /**
   * Runs a script at most once, or rejects. It MUST reject at once while there is no connection,
   * and MUST NOT resend a script that may have run.
   */
  run(script: RedisScript, keys: readonly string[], args: readonly (string | Buffer)[]): Promise<unknown>
  /** Drops the connection and opens a new one. */
  reconnect(): void
}

const isUnknownScript = (error: unknown): boolean =>
  error instanceof Error && error.message.startsWith('NOSCRIPT')

/** Wraps a client as a store. */
export function redisStore(client: Redis): RedisStore {
  let failure = new Error('there is no connection')
  client.on('error', error => {
    // Leaves out what it quotes of our commands, one of which has the password.
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
        // What `client.evalsha` does, without the work that it repeats at each call.
        return await client.sendCommand(
          new Command('evalsha', [sha, keys.length, ...keys, ...args], { replyEncoding: 'utf8' }),
        )
      } catch (error) {
        // The script has not run, so it may be sent in full.
        if (isUnknownScript(error)) return client.eval(text, keys.length, ...keys, ...args)
        throw error
      }
    },
    reconnect: () => client.disconnect(true),
  }
}
