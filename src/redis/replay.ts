import { randomBytes } from 'node:crypto'
import type { Clock } from '../clock.js'
import type { StoreOutcome, StoreReplayCache } from '../replay/contract.js'
import { explain } from './reasons.js'
import { hasScript, lookScript, periodMs, probeKey, recordKey, setOf, setPrefix } from './replay-scripts.js'
import { SpendQueue, spendTimeoutMs } from './spend-queue.js'
import type { RedisStore } from './store.js'
import { withTimeout } from './with-timeout.js'

export interface RedisReplayOptions {
  /**
   * Added to the lifetime of tickets, to allow for the clocks of their minters. If this gate's own
   * clock is further behind the store's, the store treats its tickets as expired. Whatever the
   * clocks say, no ticket is accepted twice.
   */
  readonly skewMs: number
  /**
   * The lifetime of this gate's own tickets. Longer-lived tickets are kept too, but not counted.
   */
  readonly ttlMs: number
  /** The clock that dates its own tickets. */
  readonly clock: Clock
  /**
   * Whether the operator guarantees that the store evicts nothing, if the store itself does not
   * report it.
   */
  readonly trustsEviction?: boolean
  /** Called with the state of the store after every look that changes it, and after the first. */
  readonly onState?: (state: StoreState) => void
  /** Called at every look with how far the store's clock is ahead of ours. */
  readonly onClock?: (aheadMs: number) => void
}

/**
 * `ready`, or why tickets are refused:
 * - `unreachable`: no reply, which may pass by itself
 * - `unusable`: the reply is an error, such as a missing permission
 * - `evicts`: the store may forget spent tickets
 * - `behind`: our clock is so far behind the store's that tickets would be forgotten before they
 *   are issued
 */
export type StoreState =
  | { readonly is: 'ready' }
  | { readonly is: 'unreachable' | 'unusable'; readonly reason: string; readonly hint?: string }
  | { readonly is: 'evicts'; readonly policy: string }
  | { readonly is: 'behind'; readonly seconds: number }

// Limit on waiting tickets: a slow store must not fill our memory.
const maxPending = 10_000

const lookEveryMs = 1000
const retryLookMs = 250

/** How many periods a look counts, on average. */
const periodsCounted = 16

/** Why a store cannot be used, by its reply to a look. */
const unusableReasons: Readonly<Record<string, string>> = {
  replica: 'this is a replica',
  unknown: 'the server does not say what it is: INFO replication lacks master_replid',
  policy:
    'the server does not say whether it evicts (INFO memory and stats). If you know that it is noeviction, set TICKETGATE_REDIS_EVICTION=trusted',
}

/** Whether an error is a reply of the store. */
const isReplyError = (error: unknown): boolean => error instanceof Error && error.name === 'ReplyError'

class UnusableError extends Error {}

/**
 * The replay cache of many nodes, in Redis or Valkey: one script, and one round trip per batch of
 * tickets.
 *
 * A record of spent nonces is complete only within the life of the store that holds it. So tickets
 * carry the *epoch*, a random value beside the nonces that is bound to that life, and the script
 * compares it in the step that spends.
 *
 * A call that is not answered in time counts as `unavailable`, but may have been executed: its
 * tickets are lost. After that nothing is sent until the store has replied to a look, so a store that
 * hangs costs one wait.
 */
export class RedisReplayCache implements StoreReplayCache {
  readonly capacity = Number.POSITIVE_INFINITY
  readonly #store: RedisStore
  readonly #options: RedisReplayOptions
  readonly #queue: SpendQueue
  /**
   * How long after its end a ticket is kept: as long as a gate may still accept it, as much again
   * for a gate whose clock is behind, and the time of a call.
   */
  readonly #graceMs: number
  readonly #ownPeriods: number
  #state: StoreState = { is: 'unreachable', reason: 'not connected yet' }
  #epoch: Uint8Array | undefined
  #epochText = ''
  #latestMs = 0
  /** How many questions wait for their replies. */
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
    this.#queue = new SpendQueue({
      store,
      isReady: () => this.#state.is === 'ready',
      onFailure: error => this.#lose(error),
      // The epoch has changed, or this is another server: look again, in the background. Tickets of
      // other epochs than ours prove neither, and a look costs as much as a dozen tickets.
      onStrange: epochs => void (epochs.has(this.#epochText) && this.look()),
    })
  }

  /** The epoch to issue tickets with. Undefined while the store cannot be relied on. */
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

  spend(
    nonce: string,
    expiresAtMs: number,
    nowMs: number,
    epoch: Uint8Array | undefined,
  ): StoreOutcome | Promise<StoreOutcome> {
    if (nowMs > this.#latestMs) this.#latestMs = nowMs
    if (this.#latestMs >= expiresAtMs) return 'replayed'
    if (epoch === undefined) return 'predates'
    if (!this.#isOpen()) return 'unavailable'
    return this.#queue.spend(nonce, this.#textOf(epoch), this.#periodOf(expiresAtMs))
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
        spendTimeoutMs,
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

  /**
   * The period in which the ticket itself ends, without any allowance for clocks, which differs
   * between gates.
   */
  #periodOf(expiresAtMs: number): number {
    return Math.floor((expiresAtMs - this.#options.skewMs) / periodMs)
  }

  /** Nearly all tickets have the epoch that we know. */
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
    const isAnswered = error instanceof UnusableError || isReplyError(error)
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
    // Counting costs the store a microsecond per period, so many periods are not counted at every
    // look.
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
        spendTimeoutMs,
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
    if (is === 'refused') throw new UnusableError(`${value}`)
    if (is !== 'ready') throw new UnusableError(unusableReasons[String(is)] ?? 'unexpected reply to a script')
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
