import type { Config } from './schema.js'

// NTP keeps clocks closer by far; more would keep a user waiting who logs in again after a revocation.
const apartSeconds = 1

/**
 * How far the clocks of other nodes, whose tokens count here as our own do, may be ahead of ours: 0 where there can be none.
 */
export const nodesAheadSeconds = ({ redisUrl, node }: Config): number =>
  redisUrl === undefined && node === undefined ? 0 : apartSeconds
