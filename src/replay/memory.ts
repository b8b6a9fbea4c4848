import { LRUCache } from 'lru-cache'
import type { ReplayCache, SpendOutcome } from './contract.js'
import { spreadOf } from './nonce-bits.js'

// A map grows, and forgets what was deleted, by copying all that it holds: with a million entries
// that took up to 390 ms. So there are many small ones, each of which is copied within a few.
const entriesPerPart = 4096

// How full the fullest part gets when the others are full on average: nonces spread over them like
// balls thrown into boxes, so eight standard deviations above the average are never reached.
const deviations = 8

// Tickets expire roughly in the order in which they are spent, so only the oldest are checked, a
// few at a time. In quiet times a turn of 2,048 entries takes about a millisecond.
const callsPerSweep = 64
const entriesPerSweep = 128
const entriesPerTurn = 2048

// Only in a full cache whole parts are swept, which visits every entry. At about 50 ns each, one
// entry per 250 ns keeps a flood from costing more than a fifth of a core.
const entriesPerMs = 4000

type Part = LRUCache<string, number>

export interface MemoryReplayCache extends ReplayCache {
  /**
   * Forgets some expired nonces. `spend` does so too: this is for quiet times, when the entries of a
   * rush would otherwise stay, at about 100 bytes each. Nothing else depends on whether or when it
   * is called.
   */
  turnOver(nowMs: number): void
}

/**
 * The replay cache of one thread, on lru-cache. Eviction at `max` would break single use, so a
 * nonce is refused before `max` is reached. lru-cache's own `ttl` option uses another clock and
 * doubles the cost of an entry, so the value of an entry is its expiry, and expired entries are
 * removed here.
 */
class LruReplayCache implements MemoryReplayCache {
  readonly capacity: number
  readonly #parts: readonly Part[]
  /** The most that a part may hold. */
  readonly #partCapacity: number
  readonly #sweepIntervalMs: number
  #size = 0
  #nowMs = 0
  /** The expiry that was overwritten last. */
  #replacedMs = 0
  #sweptAtMs = Number.NEGATIVE_INFINITY
  #untilSweep = callsPerSweep
  /** Which part is swept next. */
  #next = 0
  #highWater = 0

  constructor(capacity: number) {
    this.capacity = capacity
    const parts = Math.ceil(capacity / entriesPerPart)
    const average = capacity / parts
    this.#partCapacity = Math.min(capacity, Math.ceil(average + deviations * Math.sqrt(average)))
    this.#sweepIntervalMs = average / entriesPerMs
    const max = this.#partCapacity + 1
    const dispose = (expiresAtMs: number, _: string, reason: LRUCache.DisposeReason): void => {
      if (reason === 'set') this.#replacedMs = expiresAtMs
    }
    this.#parts = Array.from({ length: parts }, () => new LRUCache({ max, dispose }))
  }

  get size(): number {
    return this.#size
  }

  get highWater(): number {
    return this.#highWater
  }

  spend(nonce: string, expiresAtMs: number, nowMs: number): SpendOutcome {
    if (nowMs > this.#nowMs) this.#nowMs = nowMs
    if (this.#nowMs >= expiresAtMs) return 'replayed'
    if (--this.#untilSweep === 0) {
      this.#untilSweep = callsPerSweep
      this.#sweepOldest(entriesPerSweep)
    }
    const part = this.#partOf(nonce)
    if (this.#isFull(part)) return part.has(nonce) ? 'replayed' : 'full'
    // There is room, so nothing is evicted, and the size shows whether the nonce is new. A lookup
    // first would take half as long again.
    const { size } = part
    this.#replacedMs = 0
    part.set(nonce, expiresAtMs)
    if (part.size === size) {
      // A minter may repeat a nonce. It is kept until the last of its tickets expires.
      if (this.#replacedMs > expiresAtMs) part.set(nonce, this.#replacedMs)
      return 'replayed'
    }
    if (++this.#size > this.#highWater) this.#highWater = this.#size
    return 'fresh'
  }

  has(nonce: string): boolean {
    return this.#partOf(nonce).has(nonce)
  }

  turnOver(nowMs: number): void {
    if (nowMs > this.#nowMs) this.#nowMs = nowMs
    let most = entriesPerTurn
    for (let visited = 0; visited < this.#parts.length && most > 0; visited++) most -= this.#sweepOldest(most)
  }

  roomInMs(nowMs: number): number {
    if (this.size < this.capacity) return 0
    // The oldest entry of a part is the first to expire, unless lifetimes differ.
    const oldest = this.#parts.map(part => part.rvalues().next().value ?? Number.POSITIVE_INFINITY)
    return Math.max(0, Math.min(...oldest) - Math.max(nowMs, this.#nowMs))
  }

  #partOf(nonce: string): Part {
    return this.#parts[Math.floor((spreadOf(nonce) / 2 ** 32) * this.#parts.length)] as Part
  }

  #isFull(part: Part): boolean {
    if (this.#hasRoom(part)) return false
    if (this.#nowMs - this.#sweptAtMs < this.#sweepIntervalMs) return true
    this.#sweptAtMs = this.#nowMs
    this.#sweepWhole()
    return !this.#hasRoom(part)
  }

  #hasRoom(part: Part): boolean {
    return this.#size < this.capacity && part.size < this.#partCapacity
  }

  /** Forgets the oldest of the next part, up to `most` of them. Returns how many. */
  #sweepOldest(most: number): number {
    const part = this.#nextPart()
    const expired: string[] = []
    for (const nonce of part.rkeys()) {
      if (!this.#hasExpired(part, nonce) || expired.length === most) break
      expired.push(nonce)
    }
    return this.#forget(part, expired)
  }

  #sweepWhole(): void {
    const part = this.#nextPart()
    const expired: string[] = []
    for (const nonce of part.rkeys()) if (this.#hasExpired(part, nonce)) expired.push(nonce)
    this.#forget(part, expired)
  }

  #nextPart(): Part {
    this.#next = (this.#next + 1) % this.#parts.length
    return this.#parts[this.#next] as Part
  }

  #hasExpired(part: Part, nonce: string): boolean {
    return this.#nowMs >= (part.peek(nonce) ?? 0)
  }

  #forget(part: Part, nonces: readonly string[]): number {
    for (const nonce of nonces) part.delete(nonce)
    this.#size -= nonces.length
    return nonces.length
  }
}

/** Creates the replay cache of one thread. It holds `capacity` tickets. */
export const createMemoryReplayCache = (capacity: number): MemoryReplayCache => new LruReplayCache(capacity)
