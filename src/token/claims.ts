import { isJsonObject, isSessionId, isUserName } from '../protocol.js'
import { type ChannelPatterns, isChannelPatterns } from '../ticket/rights.js'
import { refuse, type TokenRefusal } from './refusal.js'

/** What a token says, once it is verified. */
export interface TokenClaims {
  readonly user: string
  /** When it was issued, at the earliest: so that a revocation covers it. */
  readonly issuedAtSeconds: number
  readonly expiresAtSeconds: number
  /** The login session, if the issuer names one. */
  readonly session?: string
  readonly publish?: ChannelPatterns
  readonly subscribe?: ChannelPatterns
}

/** What the user of a token without the claim `channels` may do. */
export type DefaultRights = (user: string) => Required<Pick<TokenClaims, 'publish' | 'subscribe'>>

export interface TokenPolicy {
  /** The longest life of a token, `exp` - `iat`. */
  readonly maxTtlSeconds: number
  /** Required as `iss`, if set. */
  readonly issuer?: string | undefined
  /** Required among `aud`, if set. */
  readonly audience?: string | undefined
  /** How far ahead of ours the issuer's clock may be: how much of the future `iat` and `nbf` may lie in. */
  readonly skewSeconds?: number | undefined
  /** How far behind ours the issuer's clock may be: how long after its `exp` a token is accepted. */
  readonly graceSeconds?: number | undefined
  /** Without it: every right on every channel. */
  readonly defaultRights?: DefaultRights | undefined
}

/**
 * The claims policy (RFC 7519 section 4.1, RFC 8725): what a payload whose signature was verified must
 * say. No I/O; the time is an argument. Every number must be finite: JSON has `1e400`, and Infinity
 * never expires. A fraction of a second is dropped (RFC 7519 section 2 allows it).
 */
export function checkTokenClaims(
  payload: Readonly<Record<string, unknown>>,
  policy: TokenPolicy,
  nowMs: number,
): TokenClaims | TokenRefusal {
  const user = readUser(payload.sub)
  if (typeof user !== 'string') return user
  const times = readTimes(payload)
  if ('reason' in times) return times
  const refusal = timesRefusal(times, policy, nowMs) ?? addressRefusal(payload, policy)
  if (refusal !== undefined) return refusal
  const session = readSession(payload.sid)
  if (typeof session === 'object') return session
  const rights = payload.channels === undefined ? policy.defaultRights?.(user) : readRights(payload.channels)
  if (rights !== undefined && 'reason' in rights) return rights
  if (nowMs >= (times.exp + (policy.graceSeconds ?? 0)) * 1000) return refuse('expired')
  return {
    user,
    issuedAtSeconds: times.iat,
    expiresAtSeconds: times.exp,
    ...(session === undefined ? {} : { session }),
    ...rights,
  }
}

function readUser(sub: unknown): string | TokenRefusal {
  if (sub === undefined || sub === null) return refuse('subject_missing')
  if (typeof sub !== 'string') return refuse('claim_type:sub')
  return isUserName(sub) ? sub : refuse('subject_invalid')
}

interface Times {
  readonly exp: number
  readonly iat: number
  readonly nbf: number
  /** `exp` - `iat`, before fractions were dropped. */
  readonly lifeSeconds: number
}

function readTimes({ exp, iat, nbf }: Readonly<Record<string, unknown>>): Times | TokenRefusal {
  if (exp === undefined) return refuse('claim_missing:exp')
  if (!isSeconds(exp)) return refuse('claim_type:exp')
  if (iat === undefined) return refuse('claim_missing:iat')
  if (!isSeconds(iat)) return refuse('claim_type:iat')
  const isPlain = nbf === undefined || nbf === null
  if (!isPlain && !isSeconds(nbf)) return refuse('claim_type:nbf')
  return { exp: Math.floor(exp), iat: Math.floor(iat), nbf: isPlain ? 0 : nbf, lifeSeconds: exp - iat }
}

/** A NumericDate (RFC 7519 section 2): seconds since the Unix epoch, with or without a fraction. */
const isSeconds = (value: unknown): value is number =>
  typeof value === 'number' && value >= 0 && value <= Number.MAX_SAFE_INTEGER

function timesRefusal({ iat, nbf, lifeSeconds }: Times, policy: TokenPolicy, nowMs: number) {
  const latestMs = nowMs + (policy.skewSeconds ?? 0) * 1000
  if (iat * 1000 > latestMs || nbf * 1000 > latestMs) return refuse('not_yet_valid')
  return lifeSeconds <= 0 || lifeSeconds > policy.maxTtlSeconds ? refuse('lifetime') : undefined
}

/** Who issued it, and for whom. */
function addressRefusal(
  { iss, aud }: Readonly<Record<string, unknown>>,
  { issuer, audience }: TokenPolicy,
): TokenRefusal | undefined {
  if (issuer !== undefined && iss !== issuer) return refuse('issuer')
  const audiences = typeof aud === 'string' ? [aud] : (aud ?? [])
  if (aud === null || !isTexts(audiences)) return refuse('claim_type:aud')
  return audience === undefined || audiences.includes(audience) ? undefined : refuse('audience')
}

const isTexts = (value: unknown): value is readonly string[] =>
  Array.isArray(value) && value.every(each => typeof each === 'string')

function readSession(sid: unknown): string | undefined | TokenRefusal {
  if (sid === undefined || sid === null) return undefined
  return typeof sid === 'string' && isSessionId(sid) ? sid : refuse('claim_type:sid')
}

/** The claim `channels: {publish, subscribe}`. A list left out grants nothing. */
function readRights(channels: unknown): Pick<TokenClaims, 'publish' | 'subscribe'> | TokenRefusal {
  if (!isJsonObject(channels)) return refuse('claim_type:channels')
  const { publish = [], subscribe = [] } = channels
  return isChannelPatterns(publish) && isChannelPatterns(subscribe)
    ? { publish, subscribe }
    : refuse('claim_type:channels')
}
