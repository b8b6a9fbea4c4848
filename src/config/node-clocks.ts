import type { Config } from './schema.js'

// NTP keeps clocks much closer. A larger value would delay users who log in again after a
// revocation.
const maxDifferenceSeconds = 1

/**
 * How far the clocks of other nodes, whose tokens are accepted like our own, may be ahead of ours.
 * 0 if there are no other nodes.
 */
export const nodesAheadSeconds = ({ redisUrl, node }: Config): number =>
  redisUrl === undefined && node === undefined ? 0 : maxDifferenceSeconds
