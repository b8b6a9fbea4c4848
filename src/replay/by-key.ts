import { bootKeyId } from '../ticket/key-ring.js'
import type { StoreReplayCache } from './contract.js'
import type { SharedReplayCache } from './shared.js'

/**
 * Two `shared` replay caches as one. In such a cache every spent ticket takes room as long as the
 * longest lifetime: a gate's own tickets live for seconds, those of outside minters for up to an
 * hour. The key id, which is under the MAC, selects one, so a ticket always meets the same
 * cache.
 */
export function splitByKey(
  own: SharedReplayCache,
  outside: SharedReplayCache,
): StoreReplayCache & Pick<SharedReplayCache, 'turnOver'> {
  const cacheOf = (keyId: number): SharedReplayCache => (keyId === bootKeyId ? own : outside)
  /** The cache that refused last: the refused caller asks it for the wait, in the same turn. */
  let full = own
  return {
    spend(nonce, expiresAtMs, nowMs, _epoch, keyId) {
      const cache = cacheOf(keyId)
      const result = cache.spend(nonce, expiresAtMs, nowMs)
      if (result === 'full') full = cache
      return result
    },
    has: (nonce, expiresAtMs, nowMs, _epoch, keyId) => cacheOf(keyId).has(nonce, expiresAtMs, nowMs),
    turnOver(nowMs) {
      own.turnOver(nowMs)
      outside.turnOver(nowMs)
    },
    roomInMs: nowMs => full.roomInMs(nowMs),
    // Each has the whole capacity, so the fuller one shows how much is left.
    get size() {
      return Math.max(own.size, outside.size)
    },
    get highWater() {
      return Math.max(own.highWater, outside.highWater)
    },
    capacity: own.capacity,
  }
}
