import { randomBytes } from 'node:crypto'
import type { Clock } from '../clock.js'
import type { ClaimOutcome, StoreReplayCache } from '../replay/contract.js'
import { claimScript, hasScript, lookScript, periodMs, type RedisScript } from './replay-scripts.js'

/** As much of a Redis or Valkey client as this needs. */
export interface RedisStore {
  /**
   * Runs a script at most once, or rejects. It MUST reject at once while there is no connection, and MUST NOT send a
   * script again after it may have run.
   */
  run(script: RedisScript, keys: readonly string[], args: readonly (string | Buffer)[]): Promise<unknown>
  /** Gives the connection up for a new one. */
  reconnect(): void
}

export interface RedisReplayOptions {
  /**
   * What this gate adds to the life of tickets for the clocks of those who mint them. As far may its own clock be behind
   * the store's before tickets look too old to that. Whatever the clocks say, no ticket is accepted twice.
   */
  readonly skewMs: number
  /** How long its own tickets live. Those that live longer are kept as well, and not counted. */
  readonly ttlMs: number
  /** The time that its own tickets are minted at. */
  readonly clock: Clock
  /** Told when the store can, or can no longer, be relied on, and why. */
  readonly onState?: (state: StoreState) => void
  /** Told how far the store's clock is ahead of ours, at every look. */
  readonly onClock?: (aheadMs: number) => void
}

/**
 * `ready`, or why tickets are refused. `evicts` is for the operator to mend, and `behind`: our clock is so far behind the
 * store's that a ticket would be forgotten before it is minted. That the store is unreachable may pass by itself.
 */
export type StoreState =
  | { readonly is: 'ready' }
  | { readonly is: 'unreachable'; readonly reason: string }
  | { readonly is: 'evicts'; readonly policy: string }
  | { readonly is: 'behind'; readonly seconds: number }

/** How long a handshake waits for the store. */
const claimTimeoutMs = 500

// What waits at most: a store that has slowed down shall not fill our memory.
const maxPending = 10_000

// One script keeps the store busy for a millisecond or so at most.
const maxBatch = 200

const lookEveryMs = 1000
const retryLookMs = 250

/** How many periods are counted for a look, on average. */
const periodsCounted = 16

const recordKey = 'ticketgate:epoch'
const probeKey = 'ticketgate:probe'
const setPrefix = 'ticketgate:spent:'

/** A claim that waits for its answer. */
interface Claim {
  readonly nonce: string
  readonly epoch: string
  readonly period: number
  readonly settle: (outcome: ClaimOutcome) => void
}

export interface RedisReplayCache extends StoreReplayCache {
  /** What tickets are minted with; undefined while the store can not be relied on. */
  readonly epoch: Uint8Array | undefined
  readonly state: StoreState
  /** Looks at the store now. Never rejects. */
  look(): Promise<void>
  close(): void
}

/**
 * The replay cache of many nodes, in Redis or Valkey: one script, one round trip, for a claim.
 *
 * What was spent is only worth something in the life of the store in which it was. So tickets carry the *epoch*, a
 * random value beside the nonces that is bound to that life, and the script compares it in the step that claims.
 *
 * A claim that is not answered in time counts as `unavailable`, and may have been done: such a ticket is lost.
 * After that nothing is sent until the store has answered a look, so a store that hangs costs one wait.
 */
export function createRedisReplayCache(store: RedisStore, options: RedisReplayOptions): RedisReplayCache {
  // As long as a gate may accept it, and as much again for a gate that is behind, with what a claim may take.
  const graceMs = 2 * options.skewMs + 1000
  const ownPeriods = Math.ceil(options.ttlMs / periodMs)
  let state: StoreState = { is: 'unreachable', reason: 'not connected yet' }
  let epoch: Uint8Array | undefined
  let epochText = ''
  let latestMs = 0
  let pending = 0
  let size = 0
  let highWater = 0
  let timer: NodeJS.Timeout | undefined
  let looking: Promise<void> | undefined
  let looks = 0
  let closed = false

  function setState(next: StoreState): void {
    if (closed) return
    const isNew = next.is !== state.is
    state = next
    if (next.is !== 'ready') epoch = undefined
    if (isNew) options.onState?.(next)
  }

  function lost(error: unknown): void {
    setState({ is: 'unreachable', reason: error instanceof Error ? error.message : 'unknown error' })
    lookIn(retryLookMs)
  }

  function lookIn(ms: number): void {
    clearTimeout(timer)
    if (closed) return
    timer = setTimeout(look, ms)
    timer.unref()
  }

  async function lookOnce(): Promise<void> {
    const proposal = randomBytes(16).toString('hex')
    // To count costs the store a microsecond a period: where there are hundreds, not at every look.
    const counts = looks++ % Math.ceil(ownPeriods / periodsCounted) === 0
    try {
      const answer = await within(
        store.run(
          lookScript,
          [recordKey, probeKey],
          [proposal, String(graceMs), setPrefix, String(counts ? ownPeriods : 0)],
        ),
        claimTimeoutMs,
        () => store.reconnect(),
      )
      read(answer, counts)
      lookIn(state.is === 'ready' ? lookEveryMs : retryLookMs)
    } catch (error) {
      lost(error)
    }
  }

  function look(): Promise<void> {
    looking ??= lookOnce().finally(() => {
      looking = undefined
    })
    return looking
  }

  function read(answer: unknown, counts: boolean): void {
    const [is, value, spent, storeMs]: unknown[] = Array.isArray(answer) ? answer : []
    if (is === 'evicts') return setState({ is, policy: String(value) })
    if (is !== 'ready')
      throw new Error(is === 'replica' ? 'this is a replica' : 'the server does not say what it is')
    epochText = String(value)
    epoch = Buffer.from(epochText, 'hex')
    if (counts) size = Number(spent)
    if (size > highWater) highWater = size
    const aheadMs = Number(storeMs) - options.clock()
    options.onClock?.(aheadMs)
    if (aheadMs > options.ttlMs + graceMs)
      return setState({ is: 'behind', seconds: Math.round(aheadMs / 1000) })
    setState({ is })
  }

  /** What has been claimed in this turn of the event loop, or since the store was asked last. */
  let batch: Claim[] = []
  let batchSinceMs = 0
  let calls = 0

  /**
   * One round trip for all claims that came while the last one was under way: the more there are, the less each costs.
   */
  function flush(): void {
    const claims = batch.sort(bySet)
    batch = []
    calls++
    const timeoutMs = Math.max(1, claimTimeoutMs - (performance.now() - batchSinceMs))
    within(runClaims(store, claims), timeoutMs)
      .then(
        answer => lettersOf(answer, claims),
        error => {
          lost(error)
          return ''
        },
      )
      .then(letters => {
        calls--
        settleAll(claims, letters)
        if (batch.length > 0) flushSoon()
      })
  }

  /**
   * After the next turn of the event loop: whoever came while this one went on is here then as well. A call costs as
   * much as ten claims, and a turn in which nothing happens takes some microseconds.
   */
  function flushSoon(): void {
    setImmediate(() =>
      setImmediate(() => {
        if (calls > 0 || batch.length === 0) return
        // What has not been sent yet is not spent.
        if (state.is === 'ready') flush()
        else settleAll(batch.splice(0), '')
      }),
    )
  }

  /** The period in which a ticket ends by its own word: what we add to its life for clocks is not the same for all gates. */
  const periodOf = (expiresAtMs: number): number => Math.floor((expiresAtMs - options.skewMs) / periodMs)

  /** Nearly all tickets are of the epoch that we know. */
  const textOf = (ticketEpoch: Uint8Array): string =>
    epoch !== undefined && Buffer.compare(ticketEpoch, epoch) === 0 ? epochText : hex(ticketEpoch)

  function settleAll(claims: readonly Claim[], letters: string): void {
    pending -= claims.length
    claims.forEach(({ settle }, n) => {
      settle(outcomes[letters.charAt(n)] ?? 'unavailable')
    })
  }

  /** A letter a claim; none at all where the store has said something else. */
  function lettersOf(answer: unknown, claims: readonly Claim[]): string {
    const isWhole = typeof answer === 'string' && answer.length === claims.length
    // The epoch has changed, or this is another server now: learn it, behind the handshake's back. Tickets of an epoch that
    // we do not take for this one say nothing of that, and a look costs as much as a dozen claims.
    if (
      !isWhole ||
      (answer.includes('p') && claims.some(({ epoch }, n) => answer[n] === 'p' && epoch === epochText))
    )
      void look()
    return isWhole ? answer : ''
  }

  return {
    claim(nonce, expiresAtMs, nowMs, ticketEpoch) {
      if (nowMs > latestMs) latestMs = nowMs
      if (latestMs >= expiresAtMs) return 'replayed'
      if (ticketEpoch === undefined) return 'predates'
      if (state.is !== 'ready' || pending >= maxPending) return 'unavailable'
      pending++
      if (batch.length === 0) {
        batchSinceMs = performance.now()
        if (calls === 0) flushSoon()
      }
      return new Promise(settle => {
        batch.push({ nonce, epoch: textOf(ticketEpoch), period: periodOf(expiresAtMs), settle })
        if (batch.length === maxBatch) flush()
      })
    },
    async has(nonce, expiresAtMs, nowMs, ticketEpoch) {
      if (ticketEpoch === undefined || nowMs >= expiresAtMs) return true
      if (state.is !== 'ready' || pending >= maxPending) return undefined
      pending++
      try {
        const answer = await within(
          store.run(
            hasScript,
            [recordKey, setOf(periodOf(expiresAtMs))],
            [hex(ticketEpoch), String(periodOf(expiresAtMs)), bytesOf(nonce)],
          ),
          claimTimeoutMs,
        )
        return typeof answer === 'string' ? answer !== 'unspent' : undefined
      } catch (error) {
        lost(error)
        return undefined
      } finally {
        pending--
      }
    },
    roomInMs: () => 0,
    get epoch() {
      return epoch
    },
    get state() {
      return state
    },
    look,
    close() {
      closed = true
      clearTimeout(timer)
    },
    get size() {
      return size
    },
    get highWater() {
      return highWater
    },
    capacity: Number.POSITIVE_INFINITY,
  }
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

const bytesOf = (nonces: string): Buffer => Buffer.from(nonces, 'latin1')

const setOf = (period: number): string => setPrefix + period

/** Claims of one set next to one another. */
const bySet = (a: Claim, b: Claim): number =>
  a.period - b.period || (a.epoch === b.epoch ? 0 : a.epoch < b.epoch ? -1 : 1)

/** Claims that are sorted by set, in one call. */
function runClaims(store: RedisStore, claims: readonly Claim[]): Promise<unknown> {
  const keys = [recordKey]
  const args: (string | Buffer)[] = []
  for (let at = 0; at < claims.length; ) {
    const { period, epoch } = claims[at] as Claim
    let nonces = ''
    do nonces += claims[at++]?.nonce
    while (claims[at]?.period === period && claims[at]?.epoch === epoch)
    keys.push(setOf(period))
    args.push(epoch, String(period), bytesOf(nonces))
  }
  return store.run(claimScript, keys, args)
}

const outcomes: Readonly<Record<string, ClaimOutcome>> = { f: 'fresh', r: 'replayed', p: 'predates' }

/** What is awaited, or an error when it takes too long. */
function within<T>(answer: Promise<T>, timeoutMs: number, onTimeout?: () => void): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      onTimeout?.()
      reject(new Error(`no answer within ${claimTimeoutMs} ms`))
    }, timeoutMs)
    answer.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}
