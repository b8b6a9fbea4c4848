import { setImmediate as turn } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import {
  isRevocation,
  laterOf,
  type Revocation,
  type Revocations,
  revocationKey,
} from '../token/revocation.js'

const hash = 'ticketgate:revocations'

/**
 * How many to read or write at a time: about a millisecond of our event loop, and less of Redis.
 */
const atOnce = 256

/** Revocations that Redis lacks, and the fields of those that are over. */
export interface Differences {
  readonly lacking: readonly Revocation[]
  readonly over: readonly string[]
}

export interface SharedRevocationsOptions {
  readonly client: Redis
  /** The revocations of this node. */
  readonly own: Revocations
  /** Receives those that are new to this node, and adds them to `own`. */
  readonly learn: (revocations: readonly Revocation[]) => void
  /** Called with those that Redis lacked, whether or not it has taken them. */
  readonly onLacking: (revocations: readonly Revocation[]) => void
}

/**
 * The revocations that Redis keeps for all nodes, so that a new node, or one that was cut off,
 * learns what it missed. A hash of `user:NAME` or `session:ID` to the revocation as JSON.
 */
export class SharedRevocations {
  readonly #options: SharedRevocationsOptions

  constructor(options: SharedRevocationsOptions) {
    this.#options = options
  }

  /**
   * Stores a revocation for all nodes.
   * @throws Error if Redis does not take it
   */
  async write(revocation: Revocation): Promise<void> {
    const { client } = this.#options
    const field = revocationKey(revocation)
    const stored = parse((await client.hget(hash, field)) ?? '')
    const merged = stored === undefined ? revocation : laterOf(stored, revocation)
    if (merged !== stored) await client.hset(hash, field, JSON.stringify(merged))
  }

  /**
   * Learns what Redis keeps, in batches. Returns what it lacks.
   * @throws Error if Redis does not reply
   */
  async read(nowSeconds: number): Promise<Differences> {
    const { own, learn } = this.#options
    const stored = new Set<string>()
    const over: string[] = []
    for await (const page of this.#pages()) {
      const live: Revocation[] = []
      for (const [field, revocation] of page) {
        if (revocation === undefined || revocation.untilSeconds <= nowSeconds) over.push(field)
        else live.push(revocation)
      }
      const news = live.filter(one => !isKnown(own.find(one), one))
      if (news.length > 0) learn(news)
      for (const one of live) {
        const merged = own.find(one)
        if (merged === undefined || isKnown(one, merged)) stored.add(revocationKey(one))
      }
    }
    const lacking: Revocation[] = []
    for (const some of slices(own.list(nowSeconds))) {
      lacking.push(...some.filter(one => !stored.has(revocationKey(one))))
      await turn()
    }
    return { lacking, over }
  }

  /**
   * Writes what Redis lacks, and removes what is over.
   * @throws Error if Redis does not take it
   */
  async complete({ lacking, over }: Differences): Promise<void> {
    const { client, onLacking } = this.#options
    let failure: unknown
    const attempt = async (write: () => Promise<unknown>): Promise<void> => {
      if (failure !== undefined) return
      await write().catch(error => {
        failure = error
      })
    }
    // Deletes first: one of ours may have the same name.
    for (const some of slices(over)) await attempt(() => client.hdel(hash, ...some))
    for (const some of slices(lacking)) {
      await attempt(() =>
        client.hset(hash, Object.fromEntries(some.map(one => [revocationKey(one), JSON.stringify(one)]))),
      )
      onLacking(some)
      await turn()
    }
    if (failure !== undefined) throw failure
  }

  /**
   * All that Redis keeps, in pages. A field may come twice, and one that is written meanwhile may
   * be left out (HSCAN).
   */
  async *#pages(): AsyncGenerator<(readonly [field: string, revocation: Revocation | undefined])[]> {
    let cursor = '0'
    do {
      const [next, entries] = await this.#options.client.hscan(hash, cursor, 'COUNT', atOnce)
      yield Array.from({ length: entries.length / 2 }, (_, n) => [
        entries[2 * n] ?? '',
        parse(entries[2 * n + 1] ?? ''),
      ])
      cursor = next
    } while (cursor !== '0')
  }
}

/** Whether a known revocation of the same subject already covers this one. */
const isKnown = (known: Revocation | undefined, other: Revocation): boolean =>
  known !== undefined && laterOf(known, other) === known

function* slices<T>(all: readonly T[]): Generator<readonly T[]> {
  for (let at = 0; at < all.length; at += atOnce) yield all.slice(at, at + atOnce)
}

function parse(text: string): Revocation | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isRevocation(value) ? value : undefined
  } catch {
    return undefined
  }
}
