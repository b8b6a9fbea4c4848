import type { Config } from '../config/schema.js'
import { longestTokenSeconds } from '../config/token-life.js'
import { longestOutsideMs } from './gate-keys.js'

/**
 * How long a revocation is kept after its date, in seconds: a token may have the maximum age, and a
 * ticket without a token date the age of a ticket. The clock of an identity provider may be ahead
 * when it issues a token, and behind when the token expires. A node whose clock is ahead removes
 * expired revocations from Redis, and a new one that is behind must not miss them.
 */
export function keepSeconds(config: Config): number {
  const { clockSkewSeconds, redisUrl, ticketTtlSeconds } = config
  const longestSeconds = Math.max(
    longestTokenSeconds(config),
    Math.ceil((longestOutsideMs(config) ?? 0) / 1000),
    ticketTtlSeconds,
  )
  return longestSeconds + (redisUrl !== undefined ? clockSkewSeconds : 0)
}
