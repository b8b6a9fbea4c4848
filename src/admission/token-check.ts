import type { RateLimiter } from '../limits/rate.js'
import type { Log } from '../telemetry/log.js'
import { type Counters, increment } from '../telemetry/metrics.js'
import { mayOpen } from '../ticket/rights.js'
import type { TokenClaims } from '../token/claims.js'
import { codeOf, refuse, type TokenCode, type TokenReason, type TokenRefusal } from '../token/refusal.js'
import type { Revocations } from '../token/revocation.js'
import type { TokenVerifier } from '../token/verifier.js'

/** Why a token is refused for a ticket or a socket. */
export interface TokenCheckRefusal {
  readonly code: TokenCode | 'token_revoked' | 'rate_limited'
  /** Why the token is refused, as far as its sender may know. */
  readonly reason?: TokenReason
  /** When to try again, in milliseconds from now; 0 if that does not help. */
  readonly waitMs: number
}

export interface TokenCheckParts {
  readonly tokens: TokenVerifier
  readonly revocations: Revocations
  readonly limiter: RateLimiter
  readonly counters: Pick<Counters, 'tokensRefused'>
  readonly log: Log
  /** The level at which refusals are logged. */
  readonly refusalLevel: 'info' | 'debug'
}

/**
 * The checks of a token before it opens anything: at `/ws_ticket`, or as the first message on a
 * socket.
 */
export class TokenCheck {
  readonly #parts: TokenCheckParts
  readonly #warned = new Set<TokenReason>()

  constructor(parts: TokenCheckParts) {
    this.#parts = parts
  }

  /** Returns the claims of a valid token, or why it is refused. */
  identify(text: string, nowMs: number): TokenClaims | TokenCheckRefusal {
    const { tokens, revocations } = this.#parts
    const token = tokens.verify(text, nowMs)
    if ('reason' in token) return this.#refused(codeOf(token.reason), token)
    return revocations.covers(token) ? this.#refused('token_revoked', refuse('revoked')) : token
  }

  /**
   * Returns why its bearer may not continue, on one channel or on none in particular. Counts
   * against the rate of the user.
   */
  permit(token: TokenClaims, channel: string | undefined, nowMs: number): TokenCheckRefusal | undefined {
    if (channel !== undefined && !this.#opens(token, channel)) return { code: 'channel_forbidden', waitMs: 0 }
    const waitMs = this.#parts.limiter.take(token.user, nowMs)
    return waitMs > 0 ? { code: 'rate_limited', waitMs } : undefined
  }

  /** Whether a token gives a right on a channel that has not been revoked since. */
  #opens(token: TokenClaims, channel: string): boolean {
    return mayOpen(token, channel) && this.#parts.revocations.onChannel(token, channel) === undefined
  }

  #refused(code: TokenCheckRefusal['code'], refusal: TokenRefusal): TokenCheckRefusal {
    const { reason, waitMs, hint, isUnsigned } = refusal
    const { counters, log, refusalLevel } = this.#parts
    increment(counters.tokensRefused, reason)
    const isFault = reason === 'too_large' || hint !== undefined
    const level = isFault && this.#warnOnce(reason) ? 'warn' : refusalLevel
    if (log.isLevelEnabled(level)) log[level]({ code, reason, hint: hint ?? hints[reason] }, 'token refused')
    return isUnsigned ? { code, waitMs } : { code, reason, waitMs }
  }

  /**
   * Warns once about failures that lock users out until the operator acts, without flooding the
   * log.
   */
  #warnOnce(reason: TokenReason): boolean {
    const isFirst = !this.#warned.has(reason)
    this.#warned.add(reason)
    return isFirst
  }
}

const hints: Partial<Record<TokenReason, string>> = {
  too_large: 'the token is larger than TICKETGATE_MAX_TOKEN_BYTES',
}
