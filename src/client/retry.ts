import { type Backoff, backoffMs, longestAskedMs } from './backoff.js'
import type { GateError } from './gate-error.js'
import { isTokenRefusal } from './refusals.js'

// A connection that lasted this long was a success, so the next wait is short.
const steadyMs = 10_000

// The number of consecutively refused tokens before the client gives up. With the default limits,
// the waits between them add up to a quarter of a minute on average, time for rotated keys and
// differing clocks to settle.
const maxTokenRefusals = 8

export interface NextAttempt {
  /** Failed attempts in a row. */
  readonly failures: number
  readonly delayMs: number
  /** Whether the token must be a new one. */
  readonly fresh: boolean
}

/** Decides when to try again, based on the results of previous attempts. */
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
   * Returns what follows a failed attempt, or the end of a connection; undefined to give up.
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
    // A server that requests a wait is healthy: it spreads its clients itself, so their own waits
    // need not grow, unless it closed the socket because of what this client sent.
    const isOwnFault = code === 'rate_limited' && lastedMs !== undefined
    if (isOwnFault || (!isAtOnce && retryAfterMs === 0 && code !== 'draining')) this.#doublings++
    return { failures: ++this.#failures, delayMs, fresh: remedy === 'token' }
  }

  /** Added to the server's own wait, because other clients got the same one. */
  #ownMs(isOffline: boolean): number {
    // Browsers are sometimes wrong about the network, so being offline slows attempts down without
    // stopping them.
    return isOffline ? this.#limits.maxDelayMs : backoffMs(this.#doublings, this.#limits)
  }
}
