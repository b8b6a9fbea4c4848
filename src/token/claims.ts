import { isSessionId, isUserName } from '../protocol.js'
import { type ChannelPatterns, isChannelPatterns } from '../ticket/rights.js'

/** What a token says, once it is verified. */
export interface TokenClaims {
  readonly user: string
  /** By a clock that may be ahead of ours: the earliest it can have been, so that no revocation misses it. */
  readonly issuedAtSeconds: number
  readonly expiresAtSeconds: number
  /** The login session, where the issuer names one (`sid`). */
  readonly session?: string
  readonly publish?: ChannelPatterns
  readonly subscribe?: ChannelPatterns
}

/** `keys_unavailable`: nothing can be verified, since the identity provider has not been reached yet. */
export type TokenRefusal = 'token_invalid' | 'token_expired' | 'keys_unavailable'

export interface TokenPolicy {
  /** Longest life of a token, `exp` - `iat`. */
  readonly maxTtlSeconds: number
  /** Demanded `iss`, where set. */
  readonly issuer?: string | undefined
  /** Demanded among `aud`, where set. */
  readonly audience?: string | undefined
  /** How far the clock of the issuer may be off: 0, where it is ours. */
  readonly skewSeconds?: number | undefined
  /** How far ahead of ours the clock of another node may be that issues as we do: 0, where there is none. */
  readonly aheadSeconds?: number | undefined
}

/**
 * The claims policy (RFC 7519 section 4.1, RFC 8725): what a payload whose signature held must say. No I/O; the time
 * is an argument. Every number must be a whole one: JSON has `1e400`, and Infinity never expires.
 */
export function checkTokenClaims(
  payload: Readonly<Record<string, unknown>>,
  policy: TokenPolicy,
  nowMs: number,
): TokenClaims | TokenRefusal {
  const { sub, exp, iat, nbf, iss, aud, sid, channels } = payload
  const skewMs = (policy.skewSeconds ?? 0) * 1000
  if (typeof sub !== 'string' || !isUserName(sub) || !isSeconds(exp) || !isSeconds(iat))
    return 'token_invalid'
  const latestMs = nowMs + skewMs + (policy.aheadSeconds ?? 0) * 1000
  if (nbf !== undefined && (!isSeconds(nbf) || nbf * 1000 > latestMs)) return 'token_invalid'
  if (iat * 1000 > latestMs || exp <= iat || exp - iat > policy.maxTtlSeconds) return 'token_invalid'
  if (policy.issuer !== undefined && iss !== policy.issuer) return 'token_invalid'
  if (policy.audience !== undefined && !names(aud, policy.audience)) return 'token_invalid'
  if (sid !== undefined && !(typeof sid === 'string' && isSessionId(sid))) return 'token_invalid'
  const rights = readRights(channels)
  if (rights === undefined) return 'token_invalid'
  if (nowMs >= exp * 1000 + skewMs) return 'token_expired'
  return {
    user: sub,
    issuedAtSeconds: Math.max(0, iat - skewMs / 1000),
    expiresAtSeconds: exp,
    ...(sid === undefined ? {} : { session: sid }),
    ...rights,
  }
}

const isSeconds = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0

const names = (aud: unknown, audience: string): boolean =>
  aud === audience || (Array.isArray(aud) && aud.includes(audience))

/** The claim `channels: {publish, subscribe}`: without it all channels; with it, a list left out grants nothing. */
function readRights(channels: unknown): Pick<TokenClaims, 'publish' | 'subscribe'> | undefined {
  if (channels === undefined) return {}
  if (typeof channels !== 'object' || channels === null || Array.isArray(channels)) return undefined
  const { publish = [], subscribe = [] } = channels as Readonly<Record<string, unknown>>
  return isChannelPatterns(publish) && isChannelPatterns(subscribe) ? { publish, subscribe } : undefined
}
