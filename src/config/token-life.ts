import type { Config } from './schema.js'

/**
 * The most that the clock of an issuer may be off, because `skewSeconds` can change while the gate
 * runs.
 */
const maxSkewSeconds = 300

/**
 * How many seconds after its issue any token may be accepted. Revocations are kept for that long.
 */
export function longestTokenSeconds({
  tokenMaxTtlSeconds,
  clockSkewSeconds,
  issuers,
}: Pick<Config, 'tokenMaxTtlSeconds' | 'clockSkewSeconds' | 'issuers'>): number {
  const longestSeconds = Math.max(tokenMaxTtlSeconds, ...issuers.map(({ maxTtlSeconds }) => maxTtlSeconds))
  return longestSeconds + 2 * (issuers.length === 0 ? clockSkewSeconds : maxSkewSeconds)
}
