import { LRUCache } from 'lru-cache'
import type { ClaimResult, ReplayCache } from './contract.js'

// Tickets expire roughly in the order in which they are spent, so only the oldest are checked, a few at a
// time. In quiet times a turn of 2,048 entries takes about a millisecond.
const claimsPerSweep = 64
const entriesPerSweep = 128
const entriesPerTurn = 2048

// Only a full cache is swept whole, which visits every entry. At about 50 ns each, one sweep per
// `capacity / entriesPerMs` milliseconds keeps a flood from costing more than a fifth of a core.
const entriesPerMs = 4000

export interface MemoryReplayCache extends ReplayCache {
  /**
   * Forgets some expired nonces. Claims do so too: this is for quiet times, in which the entries of a rush
   * would stay, at about 100 bytes each. Nothing else depends on whether or when it is called.
   */
  turnOver(nowMs: number): void
}

/**
 * The replay cache of one thread, on lru-cache. What would break single use is eviction at `max`, so a
 * claim is refused before `max` is reached. Its `ttl` option uses a clock of its own and doubles the cost
 * of an entry, so the value of an entry is its expiry, and expired entries are removed here.
 */
export function createMemoryReplayCache(capacity: number): MemoryReplayCache {
  let nowMs = 0
  /** The expiry that was overwritten last. */
  let replacedMs = 0
  const spent = new LRUCache<string, number>({
    max: capacity + 1,
    dispose(expiresAtMs, _, reason) {
      if (reason === 'set') replacedMs = expiresAtMs
    },
  })
  const sweepIntervalMs = capacity / entriesPerMs
  let sweptAtMs = Number.NEGATIVE_INFINITY
  let untilSweep = claimsPerSweep
  let highWater = 0

  const hasExpired = (nonce: string): boolean => nowMs >= (spent.peek(nonce) ?? 0)

  function forget(nonces: readonly string[]): void {
    for (const nonce of nonces) spent.delete(nonce)
  }

  function sweepOldest(most: number): void {
    untilSweep = claimsPerSweep
    const expired: string[] = []
    for (const nonce of spent.rkeys()) {
      if (!hasExpired(nonce) || expired.length === most) break
      expired.push(nonce)
    }
    forget(expired)
  }

  function sweepAll(): void {
    sweptAtMs = nowMs
    const expired: string[] = []
    for (const nonce of spent.rkeys()) if (hasExpired(nonce)) expired.push(nonce)
    forget(expired)
  }

  function isFull(): boolean {
    if (spent.size < capacity) return false
    if (nowMs - sweptAtMs >= sweepIntervalMs) sweepAll()
    return spent.size >= capacity
  }

  return {
    claim(nonce: string, expiresAtMs: number, at: number): ClaimResult {
      if (at > nowMs) nowMs = at
      if (nowMs >= expiresAtMs) return 'replayed'
      if (--untilSweep === 0) sweepOldest(entriesPerSweep)
      if (isFull()) return spent.has(nonce) ? 'replayed' : 'full'
      // There is room, so nothing is evicted, and the size tells whether the nonce is new: looking first
      // would cost half as much again.
      const { size } = spent
      replacedMs = 0
      spent.set(nonce, expiresAtMs)
      if (spent.size === size) {
        // A minter may repeat a nonce: it is kept until the last of its tickets expires.
        if (replacedMs > expiresAtMs) spent.set(nonce, replacedMs)
        return 'replayed'
      }
      if (size >= highWater) highWater = size + 1
      return 'fresh'
    },
    has: nonce => spent.has(nonce),
    turnOver(at) {
      if (at > nowMs) nowMs = at
      sweepOldest(entriesPerTurn)
    },
    roomInMs(at) {
      if (spent.size < capacity) return 0
      // The oldest entry is the first to expire, unless lifetimes differ.
      const [oldest = at] = spent.rvalues()
      return Math.max(0, oldest - Math.max(at, nowMs))
    },
    get size() {
      return spent.size
    },
    get highWater() {
      return highWater
    },
    capacity,
  }
}
