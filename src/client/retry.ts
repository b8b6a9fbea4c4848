import { type Backoff, backoffMs, longestAskedMs } from './backoff.js'
import type { GateError } from './gate-error.js'
import { isTokenRefusal } from './refusals.js'

// A connection that lasted this long was a success: the next wait is a short one.
const steadyMs = 10_000

// Tokens that are refused in a row before the client gives up. With the default limits the waits
// between them come to a quarter of a minute on average, in which keys that were just rotated, or
// clocks that differ, find together.
const maxTokenRefusals = 8

export interface NextAttempt {
  /** Failed attempts in a row. */
  readonly failures: number
  readonly delayMs: number
  /** Whether the token has to be a new one. */
  readonly fresh: boolean
}

/** Decides when to try again, from how the attempts so far have ended. */
export class RetryPolicy {
  readonly #limits: Backoff
  #failures = 0
  /** How often the limit of the wait has doubled. */
  #doublings = 0
  #tokenRefusals = 0

  constructor(limits: Backoff) {
    this.#limits = limits
  }

  /**
   * Returns what follows an attempt that failed, or a connection that ended; undefined to give up.
   * @param lastedMs how long the connection was open, undefined if it never was
   */
  next(error: GateError, lastedMs: number | undefined, isOffline: boolean): NextAttempt | undefined {
    const { code, remedy, retryAfterMs = 0 } = error
    if (lastedMs !== undefined && lastedMs >= steadyMs) this.#failures = this.#doublings = 0
    this.#tokenRefusals = lastedMs === undefined && isTokenRefusal(code) ? this.#tokenRefusals + 1 : 0
    if (remedy === 'nothing' || this.#tokenRefusals >= maxTokenRefusals) return undefined
    const isAtOnce =
      this.#tokenRefusals === 1 || (remedy === 'token' && lastedMs !== undefined && this.#failures === 0)
    const delayMs = isAtOnce ? 0 : Math.min(retryAfterMs, longestAskedMs) + this.#ownMs(isOffline)
    // A server that names a time is well: it spreads its clients itself, and needs no longer waits
    // from them.
    if (!isAtOnce && retryAfterMs === 0 && code !== 'draining') this.#doublings++
    return { failures: ++this.#failures, delayMs, fresh: remedy === 'token' }
  }

  /** Comes on top of the server's own wait: others were told the same. */
  #ownMs(isOffline: boolean): number {
    // Browsers are wrong about the network at times, so being offline slows attempts down but does
    // not stop them.
    return isOffline ? this.#limits.maxDelayMs : backoffMs(this.#doublings, this.#limits)
  }
}
