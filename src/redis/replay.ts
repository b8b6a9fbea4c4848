import { randomBytes } from 'node:crypto'
import type { Clock } from '../clock.js'
import type { ClaimOutcome, StoreReplayCache } from '../replay/contract.js'
import { ClaimQueue, claimTimeoutMs } from './claim-queue.js'
import { explain } from './reasons.js'
import { hasScript, lookScript, periodMs, probeKey, recordKey, setOf, setPrefix } from './replay-scripts.js'
import type { RedisStore } from './store.js'
import { withTimeout } from './with-timeout.js'

export interface RedisReplayOptions {
  /**
   * What this gate adds to the life of tickets for the clocks of those who mint them. As far may its own clock be behind
   * the store's before tickets look too old to that. Whatever the clocks say, no ticket is accepted twice.
   */
  readonly skewMs: number
  /** How long its own tickets live. Those that live longer are kept as well, and not counted. */
  readonly ttlMs: number
  /** The time that its own tickets are issued at. */
  readonly clock: Clock
  /** Whether an operator vouches that the store evicts nothing, where it does not say. */
  readonly trustsEviction?: boolean
  /** Told the state of the store after every look that changes it, the first one included. */
  readonly onState?: (state: StoreState) => void
  /** Told how far the store's clock is ahead of ours, at every look. */
  readonly onClock?: (aheadMs: number) => void
}

/**
 * `ready`, or why tickets are refused. `unreachable`: there is no answer, which may pass by itself. `unusable`: the answer
 * is an error, such as a missing permission. `evicts`: it may forget what was spent. `behind`: our clock is so far behind
 * the store's that a ticket would be forgotten before it is issued.
 */
export type StoreState =
  | { readonly is: 'ready' }
  | { readonly is: 'unreachable' | 'unusable'; readonly reason: string; readonly hint?: string }
  | { readonly is: 'evicts'; readonly policy: string }
  | { readonly is: 'behind'; readonly seconds: number }

// What waits at most: a store that has slowed down must not fill our memory.
const maxPending = 10_000

const lookEveryMs = 1000
const retryLookMs = 250

/** How many periods are counted for a look, on average. */
const periodsCounted = 16

/** What a store says of itself that cannot be used. */
const unfit: Readonly<Record<string, string>> = {
  replica: 'this is a replica',
  unknown: 'the server does not say what it is: INFO replication lacks master_replid',
  policy:
    'the server does not say whether it evicts (INFO memory and stats). If you know that it is noeviction, set TICKETGATE_REDIS_EVICTION=trusted',
}

/** An answer of the store that is an error. */
const isReplyError = (error: unknown): boolean => error instanceof Error && error.name === 'ReplyError'

class UnfitError extends Error {}

/**
 * The replay cache of many nodes, in Redis or Valkey: one script, one round trip, for a claim.
 *
 * What was spent is only worth something in the life of the store in which it was. So tickets carry the *epoch*, a
 * random value beside the nonces that is bound to that life, and the script compares it in the step that claims.
 *
 * A claim that is not answered in time counts as `unavailable`, and may have been done: such a ticket is lost.
 * After that nothing is sent until the store has answered a look, so a store that hangs costs one wait.
 */
export class RedisReplayCache implements StoreReplayCache {
  readonly capacity = Number.POSITIVE_INFINITY
  readonly #store: RedisStore
  readonly #options: RedisReplayOptions
  readonly #queue: ClaimQueue
  /** For as long a gate may accept a ticket, and as much again for a gate that is behind, with what a claim may take. */
  readonly #graceMs: number
  readonly #ownPeriods: number
  #state: StoreState = { is: 'unreachable', reason: 'not connected yet' }
  #epoch: Uint8Array | undefined
  #epochText = ''
  #latestMs = 0
  /** Questions that wait for their answers. */
  #asked = 0
  #size = 0
  #highWater = 0
  #timer: NodeJS.Timeout | undefined
  #looking: Promise<void> | undefined
  #looks = 0
  #isClosed = false

  constructor(store: RedisStore, options: RedisReplayOptions) {
    this.#store = store
    this.#options = options
    this.#graceMs = 2 * options.skewMs + 1000
    this.#ownPeriods = Math.ceil(options.ttlMs / periodMs)
    this.#queue = new ClaimQueue({
      store,
      isReady: () => this.#state.is === 'ready',
      onFailure: error => this.#lose(error),
      // The epoch has changed, or this is another server now: learn it, behind the handshake's back. Tickets of an epoch
      // that we do not take for this one say nothing of that, and a look costs as much as a dozen claims.
      onStrange: epochs => void (epochs.has(this.#epochText) && this.look()),
    })
  }

  /** What tickets are issued with; undefined while the store cannot be relied on. */
  get epoch(): Uint8Array | undefined {
    return this.#epoch
  }

  get state(): StoreState {
    return this.#state
  }

  get size(): number {
    return this.#size
  }

  get highWater(): number {
    return this.#highWater
  }

  roomInMs(): number {
    return 0
  }

  claim(
    nonce: string,
    expiresAtMs: number,
    nowMs: number,
    epoch: Uint8Array | undefined,
  ): ClaimOutcome | Promise<ClaimOutcome> {
    if (nowMs > this.#latestMs) this.#latestMs = nowMs
    if (this.#latestMs >= expiresAtMs) return 'replayed'
    if (epoch === undefined) return 'predates'
    if (!this.#isOpen()) return 'unavailable'
    return this.#queue.claim(nonce, this.#textOf(epoch), this.#periodOf(expiresAtMs))
  }

  async has(
    nonce: string,
    expiresAtMs: number,
    nowMs: number,
    epoch: Uint8Array | undefined,
  ): Promise<boolean | undefined> {
    if (epoch === undefined || nowMs >= expiresAtMs) return true
    if (!this.#isOpen()) return undefined
    const period = this.#periodOf(expiresAtMs)
    this.#asked++
    try {
      const answer = await withTimeout(
        this.#store.run(
          hasScript,
          [recordKey, setOf(period)],
          [hex(epoch), String(period), Buffer.from(nonce, 'latin1')],
        ),
        claimTimeoutMs,
      )
      return typeof answer === 'string' ? answer !== 'unspent' : undefined
    } catch (error) {
      this.#lose(error)
      return undefined
    } finally {
      this.#asked--
    }
  }

  /** Looks at the store now. Never rejects. */
  look(): Promise<void> {
    this.#looking ??= this.#lookOnce().finally(() => {
      this.#looking = undefined
    })
    return this.#looking
  }

  close(): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
  }

  #isOpen(): boolean {
    return this.#state.is === 'ready' && this.#queue.pending + this.#asked < maxPending
  }

  /** The period in which a ticket itself ends: what gates add to its life for clocks is not the same for all of them. */
  #periodOf(expiresAtMs: number): number {
    return Math.floor((expiresAtMs - this.#options.skewMs) / periodMs)
  }

  /** Nearly all tickets are of the epoch that we know. */
  #textOf(epoch: Uint8Array): string {
    const isOurs = this.#epoch !== undefined && Buffer.compare(epoch, this.#epoch) === 0
    return isOurs ? this.#epochText : hex(epoch)
  }

  #setState(next: StoreState): void {
    if (this.#isClosed) return
    const isNew = !isSame(next, this.#state)
    this.#state = next
    if (next.is !== 'ready') this.#epoch = undefined
    if (isNew) this.#options.onState?.(next)
  }

  #lose(error: unknown): void {
    const isAnswered = error instanceof UnfitError || isReplyError(error)
    this.#setState({ is: isAnswered ? 'unusable' : 'unreachable', ...explain(error) })
    this.#lookIn(retryLookMs)
  }

  #lookIn(ms: number): void {
    clearTimeout(this.#timer)
    if (this.#isClosed) return
    this.#timer = setTimeout(() => this.look(), ms)
    this.#timer.unref()
  }

  async #lookOnce(): Promise<void> {
    const proposal = randomBytes(16).toString('hex')
    // To count costs the store a microsecond a period: where there are hundreds, not at every look.
    const counts = this.#looks++ % Math.ceil(this.#ownPeriods / periodsCounted) === 0
    const args = [
      proposal,
      String(this.#graceMs),
      setPrefix,
      String(counts ? this.#ownPeriods : 0),
      this.#options.trustsEviction === true ? 'trusted' : '',
    ]
    try {
      const answer = await withTimeout(
        this.#store.run(lookScript, [recordKey, probeKey], args),
        claimTimeoutMs,
        () => this.#store.reconnect(),
      )
      this.#read(answer, counts)
      this.#lookIn(this.#state.is === 'ready' ? lookEveryMs : retryLookMs)
    } catch (error) {
      this.#lose(error)
    }
  }

  #read(answer: unknown, counts: boolean): void {
    const [is, value, spent, storeMs]: unknown[] = Array.isArray(answer) ? answer : []
    if (is === 'evicts') return this.#setState({ is, policy: String(value) })
    if (is === 'refused') throw new UnfitError(`${value}`)
    if (is !== 'ready') throw new UnfitError(unfit[String(is)] ?? 'the answer is not one of our script')
    this.#epochText = String(value)
    this.#epoch = Buffer.from(this.#epochText, 'hex')
    if (counts) this.#size = Number(spent)
    if (this.#size > this.#highWater) this.#highWater = this.#size
    const aheadMs = Number(storeMs) - this.#options.clock()
    this.#options.onClock?.(aheadMs)
    if (aheadMs > this.#options.ttlMs + this.#graceMs)
      this.#setState({ is: 'behind', seconds: Math.round(aheadMs / 1000) })
    else this.#setState({ is })
  }
}

const isSame = (a: StoreState, b: StoreState): boolean =>
  a.is === b.is && ('reason' in a ? a.reason : '') === ('reason' in b ? b.reason : '')

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
