import type { Algorithm } from './algorithms.js'
import type { TokenPolicy } from './claims.js'
import type { KeySet } from './key-set.js'

/** A source of keys. Nothing waits for it. */
export interface KeySource {
  /** The current keys. Undefined until they have been fetched. */
  current(): KeySet | undefined
  /**
   * Reports that a token names an unknown key.
   * @returns in how many milliseconds the key may be here; undefined if it was looked up already
   */
  missing(kid: string, nowMs: number): number | undefined
}

/** Keys that do not change, such as a secret. */
export const fixedKeys = (set: KeySet): KeySource => ({ current: () => set, missing: () => undefined })

/** An issuer whose tokens are accepted: its keys and its policy. */
export interface TrustedIssuer {
  readonly keys: KeySource
  /** Other algorithms are refused, even if there is a key for them. */
  readonly algorithms: readonly Algorithm[]
  readonly policy: TokenPolicy
  readonly clock: IssuerClock
  /** The policy for its logout tokens; undefined if they are not accepted. */
  readonly logout?: LogoutPolicy | undefined
}

export interface LogoutPolicy {
  /** One of these is required in `aud`, because its tokens are also for others. */
  readonly audiences: readonly string[]
  /** What ends: the session that `sid` names, or everything that the user has. */
  readonly ends: 'session' | 'user'
}

/**
 * How far the clock that dates an issuer's tokens may be ahead of ours. Tokens count as issued that
 * much earlier. Otherwise a token dated ahead would be valid again a second after its user was
 * disconnected.
 */
export class IssuerClock {
  readonly #skewSeconds: number
  #isAhead: boolean

  private constructor(skewSeconds: number, isAhead: boolean) {
    this.#skewSeconds = skewSeconds
    this.#isAhead = isAhead
  }

  /** Our own clock: never ahead. */
  static exact(): IssuerClock {
    return new IssuerClock(0, false)
  }

  /** A clock that may always be ahead by the skew. */
  static skewed(skewSeconds: number): IssuerClock {
    return new IssuerClock(skewSeconds, true)
  }

  /**
   * A clock that counts as exact until it dates a token ahead of ours, and as skewed from then on.
   * For secrets shared with an issuer that may run on this machine: a user who logs in right after
   * `/disconnect` does not wait for the skew.
   */
  static exactUntilAhead(skewSeconds: number): IssuerClock {
    return new IssuerClock(skewSeconds, false)
  }

  /** Learns from a verified token. */
  observe(issuedAtSeconds: number, nowMs: number): void {
    if (issuedAtSeconds * 1000 > nowMs && this.#skewSeconds > 0) this.#isAhead = true
  }

  get aheadSeconds(): number {
    return this.#isAhead ? this.#skewSeconds : 0
  }
}
