import type { RateLimiter } from '../limits/rate.js'
import { mayOpen } from '../ticket/rights.js'
import type { TokenClaims, TokenRefusal } from '../token/claims.js'
import type { Revocations } from '../token/revocation.js'
import type { TokenVerifier } from '../token/verifier.js'

/** Why a token can not be traded for a ticket, or opens no socket. */
export interface TokenDenial {
  readonly code: TokenRefusal | 'token_revoked' | 'channel_forbidden' | 'rate_limited'
  /** How long to wait where that helps. */
  readonly waitMs: number
}

/** What a token must pass before it opens anything: at `/ws_ticket`, or as the first message on a socket. */
export interface TokenCheck {
  /** Whose token it is, if it is good. */
  identify(token: string, nowMs: number): TokenClaims | TokenDenial
  /** Whether its bearer may go on, to one channel or to none in particular. Counts against the user's rate. */
  permit(token: TokenClaims, channel: string | undefined, nowMs: number): TokenDenial | undefined
}

export interface TokenCheckParts {
  readonly tokens: TokenVerifier
  readonly revocations: Revocations
  readonly limiter: RateLimiter
}

export function createTokenCheck({ tokens, revocations, limiter }: TokenCheckParts): TokenCheck {
  return {
    identify(text, nowMs) {
      const token = tokens.verify(text, nowMs)
      if (typeof token === 'string') return { code: token, waitMs: 0 }
      return revocations.covers(token) ? { code: 'token_revoked', waitMs: 0 } : token
    },
    permit(token, channel, nowMs) {
      if (channel !== undefined && !mayOpen(token, channel)) return { code: 'channel_forbidden', waitMs: 0 }
      const waitMs = limiter(token.user, nowMs)
      return waitMs > 0 ? { code: 'rate_limited', waitMs } : undefined
    },
  }
}
