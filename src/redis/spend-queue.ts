import type { StoreOutcome } from '../replay/contract.js'
import { recordKey, setOf, spendScript } from './replay-scripts.js'
import type { RedisStore } from './store.js'
import { withTimeout } from './with-timeout.js'

/**
 * How long a call waits for the store. A ticket may wait as long again for the calls before its
 * own.
 */
export const spendTimeoutMs = 500

// Keeps each script run to about a millisecond of the store.
const maxBatch = 200

/** A nonce to spend, and where its outcome goes. */
interface PendingSpend {
  readonly nonce: string
  /** The ticket's epoch, in hexadecimal. */
  readonly epoch: string
  readonly period: number
  readonly settle: (outcome: StoreOutcome) => void
}

export interface SpendQueueOptions {
  readonly store: RedisStore
  /** Whether nonces may be sent now. A nonce that is not sent is not spent. */
  readonly isReady: () => boolean
  /** Called when the store has failed to reply. */
  readonly onFailure: (error: unknown) => void
  /**
   * Called with the epochs that the store has refused, or with all of a batch if its reply was
   * malformed.
   */
  readonly onStrange: (refusedEpochs: ReadonlySet<string>) => void
}

const outcomes: Readonly<Record<string, StoreOutcome>> = { f: 'fresh', r: 'replayed', p: 'predates' }

/**
 * Batches nonces to the store: one round trip carries all that arrived during the previous one. The
 * more there are, the less each costs.
 */
export class SpendQueue {
  readonly #options: SpendQueueOptions
  /** The nonces since the last call, which all arrived in one turn of the event loop. */
  #batch: PendingSpend[] = []
  #calls = 0
  #pending = 0

  constructor(options: SpendQueueOptions) {
    this.#options = options
  }

  /** How many nonces wait for their outcomes. */
  get pending(): number {
    return this.#pending
  }

  spend(nonce: string, epoch: string, period: number): Promise<StoreOutcome> {
    this.#pending++
    if (this.#batch.length === 0 && this.#calls === 0) this.#flushSoon()
    return new Promise(settle => {
      this.#batch.push({ nonce, epoch, period, settle })
      if (this.#batch.length === maxBatch) void this.#flush()
    })
  }

  async #flush(): Promise<void> {
    const spends = this.#batch.sort(bySet)
    this.#batch = []
    this.#calls++
    let letters = ''
    try {
      // Not less for nonces that have waited: they are spent if the store replies too late.
      const answer = await withTimeout(runSpends(this.#options.store, spends), spendTimeoutMs)
      letters = this.#lettersOf(answer, spends)
    } catch (error) {
      this.#options.onFailure(error)
    }
    this.#calls--
    this.#settle(spends, letters)
    if (this.#batch.length > 0) this.#flushSoon()
  }

  /**
   * Flushes after the next turn of the event loop, so that nonces which arrive in this one are
   * included. A call costs as much as ten nonces, and an idle turn takes a few microseconds.
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

  /** @param letters one per nonce; empty if the store has not replied */
  #settle(spends: readonly PendingSpend[], letters: string): void {
    this.#pending -= spends.length
    spends.forEach(({ settle }, n) => {
      settle(outcomes[letters.charAt(n)] ?? 'unavailable')
    })
  }

  #lettersOf(answer: unknown, spends: readonly PendingSpend[]): string {
    const isWhole = typeof answer === 'string' && answer.length === spends.length
    if (!isWhole) {
      this.#options.onStrange(new Set(spends.map(({ epoch }) => epoch)))
      return ''
    }
    if (answer.includes('p'))
      this.#options.onStrange(new Set(spends.filter((_, n) => answer[n] === 'p').map(({ epoch }) => epoch)))
    return answer
  }
}

/** Sorts nonces by set. */
const bySet = (a: PendingSpend, b: PendingSpend): number =>
  a.period - b.period || (a.epoch === b.epoch ? 0 : a.epoch < b.epoch ? -1 : 1)

/** Sends sorted nonces in one call. */
function runSpends(store: RedisStore, spends: readonly PendingSpend[]): Promise<unknown> {
  const keys = [recordKey]
  const args: (string | Buffer)[] = []
  for (let at = 0; at < spends.length; ) {
    const { period, epoch } = spends[at] as PendingSpend
    let nonces = ''
    do nonces += spends[at++]?.nonce
    while (spends[at]?.period === period && spends[at]?.epoch === epoch)
    keys.push(setOf(period))
    args.push(epoch, String(period), Buffer.from(nonces, 'latin1'))
  }
  return store.run(spendScript, keys, args)
}
