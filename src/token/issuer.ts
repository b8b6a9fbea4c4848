import type { Algorithm } from './algorithms.js'
import type { TokenPolicy } from './claims.js'
import type { KeySet } from './key-set.js'

/** Where the keys of an issuer come from. Nothing here waits for them. */
export interface KeySource {
  /** The keys as they are now; undefined until they have been fetched. */
  current(): KeySet | undefined
  /**
   * A token names a key that is not among them.
   * @returns in how many milliseconds the key may be there; undefined if it was looked for already
   */
  missing(kid: string, nowMs: number): number | undefined
}

/** Keys that do not change, such as a secret. */
export const fixedKeys = (set: KeySet): KeySource => ({ current: () => set, missing: () => undefined })

/** Somebody whose tokens are accepted: the keys that verify them, and what they must say. */
export interface TrustedIssuer {
  readonly keys: KeySource
  /** Others are refused, even if there is a key for them. */
  readonly algorithms: readonly Algorithm[]
  readonly policy: TokenPolicy
  readonly clock: IssuerClock
  /** What its logout tokens are held to; without it, it sends none. */
  readonly logout?: LogoutPolicy | undefined
}

export interface LogoutPolicy {
  /** One of them is required in `aud`: its tokens are for others. */
  readonly audiences: readonly string[]
  /** What ends: the session that `sid` names, or everything that the user has. */
  readonly ends: 'session' | 'user'
}

/**
 * How far ahead of ours the clock may be that dates an issuer's tokens. They count as issued that much
 * earlier, or a token dated ahead would be good again a second after its user was disconnected.
 */
export class IssuerClock {
  readonly #skewSeconds: number
  #isAhead: boolean

  private constructor(skewSeconds: number, isAhead: boolean) {
    this.#skewSeconds = skewSeconds
    this.#isAhead = isAhead
  }

  /** Our own clock. */
  static exact(): IssuerClock {
    return new IssuerClock(0, false)
  }

  /** A clock that may be ahead by the skew at any time. */
  static skewed(skewSeconds: number): IssuerClock {
    return new IssuerClock(skewSeconds, true)
  }

  /**
   * A clock that counts as exact until it dates a token ahead of ours, and as skewed from then on. For
   * secrets shared with an issuer, which may run on this machine: a user who logs in again right after
   * `/disconnect` is not kept waiting for the skew.
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
