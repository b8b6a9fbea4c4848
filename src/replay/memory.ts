import { LRUCache } from 'lru-cache'
import type { ClaimResult, ReplayCache } from './contract.js'

// Tickets expire roughly in the order in which they are spent, so only the oldest are checked, a
// few at a time. In quiet times a turn of 2,048 entries takes about a millisecond.
const claimsPerSweep = 64
const entriesPerSweep = 128
const entriesPerTurn = 2048

// Only a full cache is swept whole, which visits every entry. At about 50 ns each, one sweep per
// `capacity / entriesPerMs` milliseconds keeps a flood from costing more than a fifth of a core.
const entriesPerMs = 4000

export interface MemoryReplayCache extends ReplayCache {
  /**
   * Forgets some expired nonces. Claims do so too: this is for quiet times, when the entries of a
   * rush would otherwise stay, at about 100 bytes each. Nothing else depends on whether or when it
   * is called.
   */
  turnOver(nowMs: number): void
}

/**
 * The replay cache of one thread, on lru-cache. Eviction at `max` would break single use, so a
 * claim is refused before `max` is reached. lru-cache's own `ttl` option uses another clock and
 * doubles the cost of an entry, so the value of an entry is its expiry, and expired entries are
 * removed here.
 */
class LruReplayCache implements MemoryReplayCache {
  readonly capacity: number
  readonly #spent: LRUCache<string, number>
  readonly #sweepIntervalMs: number
  #nowMs = 0
  /** The expiry that was overwritten last. */
  #replacedMs = 0
  #sweptAtMs = Number.NEGATIVE_INFINITY
  #untilSweep = claimsPerSweep
  #highWater = 0

  constructor(capacity: number) {
    this.capacity = capacity
    this.#sweepIntervalMs = capacity / entriesPerMs
    this.#spent = new LRUCache({
      max: capacity + 1,
      dispose: (expiresAtMs, _, reason) => {
        if (reason === 'set') this.#replacedMs = expiresAtMs
      },
    })
  }

  get size(): number {
    return this.#spent.size
  }

  get highWater(): number {
    return this.#highWater
  }

  claim(nonce: string, expiresAtMs: number, nowMs: number): ClaimResult {
    if (nowMs > this.#nowMs) this.#nowMs = nowMs
    if (this.#nowMs >= expiresAtMs) return 'replayed'
    if (--this.#untilSweep === 0) this.#sweepOldest(entriesPerSweep)
    const spent = this.#spent
    if (this.#isFull()) return spent.has(nonce) ? 'replayed' : 'full'
    // There is room, so nothing is evicted, and the size shows whether the nonce is new. A lookup
    // first would take half as long again.
    const { size } = spent
    this.#replacedMs = 0
    spent.set(nonce, expiresAtMs)
    if (spent.size === size) {
      // A minter may repeat a nonce. It is kept until the last of its tickets expires.
      if (this.#replacedMs > expiresAtMs) spent.set(nonce, this.#replacedMs)
      return 'replayed'
    }
    if (size >= this.#highWater) this.#highWater = size + 1
    return 'fresh'
  }

  has(nonce: string): boolean {
    return this.#spent.has(nonce)
  }

  turnOver(nowMs: number): void {
    if (nowMs > this.#nowMs) this.#nowMs = nowMs
    this.#sweepOldest(entriesPerTurn)
  }

  roomInMs(nowMs: number): number {
    if (this.size < this.capacity) return 0
    // The oldest entry is the first to expire, unless lifetimes differ.
    const [oldest = nowMs] = this.#spent.rvalues()
    return Math.max(0, oldest - Math.max(nowMs, this.#nowMs))
  }

  #isFull(): boolean {
    if (this.size < this.capacity) return false
    if (this.#nowMs - this.#sweptAtMs >= this.#sweepIntervalMs) this.#sweepAll()
    return this.size >= this.capacity
  }

  #sweepOldest(most: number): void {
    this.#untilSweep = claimsPerSweep
    const expired: string[] = []
    for (const nonce of this.#spent.rkeys()) {
      if (!this.#hasExpired(nonce) || expired.length === most) break
      expired.push(nonce)
    }
    this.#forget(expired)
  }

  #sweepAll(): void {
    this.#sweptAtMs = this.#nowMs
    const expired: string[] = []
    for (const nonce of this.#spent.rkeys()) if (this.#hasExpired(nonce)) expired.push(nonce)
    this.#forget(expired)
  }

  #hasExpired(nonce: string): boolean {
    return this.#nowMs >= (this.#spent.peek(nonce) ?? 0)
  }

  #forget(nonces: readonly string[]): void {
    for (const nonce of nonces) this.#spent.delete(nonce)
  }
}

/** Creates the replay cache of one thread. It holds `capacity` tickets. */
export const createMemoryReplayCache = (capacity: number): MemoryReplayCache => new LruReplayCache(capacity)
