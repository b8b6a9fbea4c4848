import type { ClaimOutcome } from '../replay/contract.js'
import { claimScript, recordKey, setOf } from './replay-scripts.js'
import type { RedisStore } from './store.js'
import { withTimeout } from './with-timeout.js'

/** How long a handshake waits for the store. */
export const claimTimeoutMs = 500

// Keeps each script run to about a millisecond of the store.
const maxBatch = 200

/** A claim that waits for its reply. */
interface Claim {
  readonly nonce: string
  /** The ticket's epoch, in hexadecimal. */
  readonly epoch: string
  readonly period: number
  readonly settle: (outcome: ClaimOutcome) => void
}

export interface ClaimQueueOptions {
  readonly store: RedisStore
  /** Whether claims may be sent now. A ticket whose claim is not sent is not spent. */
  readonly isReady: () => boolean
  /** Called when the store has failed to reply. */
  readonly onFailure: (error: unknown) => void
  /**
   * Called with the epochs that the store has refused, or with all of a batch if its reply was
   * malformed.
   */
  readonly onStrange: (refusedEpochs: ReadonlySet<string>) => void
}

const outcomes: Readonly<Record<string, ClaimOutcome>> = { f: 'fresh', r: 'replayed', p: 'predates' }

/**
 * Batches claims to the store: one round trip carries all claims that arrived during the previous
 * one. The more there are, the less each costs.
 */
export class ClaimQueue {
  readonly #options: ClaimQueueOptions
  /** The claims since the last call, which were all made in one turn of the event loop. */
  #batch: Claim[] = []
  #batchSinceMs = 0
  #calls = 0
  #pending = 0

  constructor(options: ClaimQueueOptions) {
    this.#options = options
  }

  /** How many claims wait for their replies. */
  get pending(): number {
    return this.#pending
  }

  claim(nonce: string, epoch: string, period: number): Promise<ClaimOutcome> {
    this.#pending++
    if (this.#batch.length === 0) {
      this.#batchSinceMs = performance.now()
      if (this.#calls === 0) this.#flushSoon()
    }
    return new Promise(settle => {
      this.#batch.push({ nonce, epoch, period, settle })
      if (this.#batch.length === maxBatch) void this.#flush()
    })
  }

  async #flush(): Promise<void> {
    const claims = this.#batch.sort(bySet)
    this.#batch = []
    this.#calls++
    const timeoutMs = Math.max(1, claimTimeoutMs - (performance.now() - this.#batchSinceMs))
    let letters = ''
    try {
      letters = this.#lettersOf(await withTimeout(runClaims(this.#options.store, claims), timeoutMs), claims)
    } catch (error) {
      this.#options.onFailure(error)
    }
    this.#calls--
    this.#settle(claims, letters)
    if (this.#batch.length > 0) this.#flushSoon()
  }

  /**
   * Flushes after the next turn of the event loop, so that claims which arrive in this one are
   * included. A call costs as much as ten claims, and an idle turn takes a few microseconds.
   */
  #flushSoon(): void {
    setImmediate(() =>
      setImmediate(() => {
        if (this.#calls > 0 || this.#batch.length === 0) return
        if (this.#options.isReady()) void this.#flush()
        else this.#settle(this.#batch.splice(0), '')
      }),
    )
  }

  /** @param letters one per claim; empty if the store has not replied */
  #settle(claims: readonly Claim[], letters: string): void {
    this.#pending -= claims.length
    claims.forEach(({ settle }, n) => {
      settle(outcomes[letters.charAt(n)] ?? 'unavailable')
    })
  }

  #lettersOf(answer: unknown, claims: readonly Claim[]): string {
    const isWhole = typeof answer === 'string' && answer.length === claims.length
    if (!isWhole) {
      this.#options.onStrange(new Set(claims.map(({ epoch }) => epoch)))
      return ''
    }
    if (answer.includes('p'))
      this.#options.onStrange(new Set(claims.filter((_, n) => answer[n] === 'p').map(({ epoch }) => epoch)))
    return answer
  }
}

/** Sorts claims by set. */
const bySet = (a: Claim, b: Claim): number =>
  a.period - b.period || (a.epoch === b.epoch ? 0 : a.epoch < b.epoch ? -1 : 1)

/** Sends sorted claims in one call. */
function runClaims(store: RedisStore, claims: readonly Claim[]): Promise<unknown> {
  const keys = [recordKey]
  const args: (string | Buffer)[] = []
  for (let at = 0; at < claims.length; ) {
    const { period, epoch } = claims[at] as Claim
    let nonces = ''
    do nonces += claims[at++]?.nonce
    while (claims[at]?.period === period && claims[at]?.epoch === epoch)
    keys.push(setOf(period))
    args.push(epoch, String(period), Buffer.from(nonces, 'latin1'))
  }
  return store.run(claimScript, keys, args)
}
