import { isSessionId, isUserName } from '../protocol.js'
import type { CarriedClaims } from '../ticket/carried-claims.js'
import type { ChannelPatterns } from '../ticket/rights.js'
import { type ClaimPath, claimAt, type Payload, pathText } from './claim-path.js'
import { differsBySlash, type IssuerName, isNamed } from './issuer-name.js'
import { ignorePassed, type OnPassed } from './passed.js'
import { refuse, type TokenRefusal } from './refusal.js'
import { readTicketClaims, type TicketClaim } from './ticket-claims.js'
import { type RightsPolicy, readRights } from './token-rights.js'

/** The claims of a verified token. */
export interface TokenClaims {
  readonly user: string
  /** The earliest time at which it may have been issued, so that a revocation covers it. */
  readonly issuedAtSeconds: number
  readonly expiresAtSeconds: number
  /** The login session, if the issuer names one. */
  readonly session?: string
  readonly publish?: ChannelPatterns
  readonly subscribe?: ChannelPatterns
  /** A claim that a rule for rights needed, and that has no usable value: for `token explain`. */
  readonly unusableClaim?: string
  /** The claims that its tickets carry. */
  readonly carried?: CarriedClaims
}

export interface TokenPolicy extends RightsPolicy {
  /** The longest life of a token, `exp` - `iat`. */
  readonly maxTtlSeconds: number
  /** Required as `iss`, if set. */
  readonly issuer?: IssuerName | undefined
  /** One of them is required among `aud`, if there are any. */
  readonly audiences?: readonly string[] | undefined
  /** @default 'aud' */
  readonly audienceClaim?: ClaimPath | undefined
  /** @default 'sub' */
  readonly userClaim?: ClaimPath | undefined
  /** @default 'sid' */
  readonly sessionClaim?: ClaimPath | undefined
  /** The claims of a token that its tickets carry. */
  readonly ticketClaims?: readonly TicketClaim[] | undefined
  /** Required as `typ`, if set. Without it, `JWT`, `at+jwt` and none are accepted. */
  readonly requireTyp?: string | undefined
  /**
   * How far the issuer's clock may be ahead of ours: how far in the future `iat` and `nbf` may lie.
   */
  readonly skewSeconds?: number | undefined
  /**
   * How far the issuer's clock may be behind ours: how long after its `exp` a token is accepted.
   */
  readonly graceSeconds?: number | undefined
}

/**
 * Checks the claims of a payload whose signature was verified (RFC 7519 section 4.1, RFC 8725). No
 * I/O; the time is an argument.
 *
 * Every number must be finite: JSON allows `1e400`, and Infinity never expires. Fractions of a
 * second are dropped (RFC 7519 section 2 allows them).
 * @param passed called for each check that the payload passes
 */
export function checkTokenClaims(
  payload: Payload,
  policy: TokenPolicy,
  nowMs: number,
  passed: OnPassed = ignorePassed,
): TokenClaims | TokenRefusal {
  const user = readUser(payload, policy.userClaim ?? 'sub')
  if (typeof user !== 'string') return user
  passed('user')
  const times = readTimes(payload)
  if ('reason' in times) return times
  const timing = timesRefusal(times, policy, nowMs)
  if (timing !== undefined) return timing
  passed('times')
  const { issuer } = policy
  if (issuer !== undefined && !isNamed(payload, issuer)) return issuerRefusal(payload.iss, [issuer])
  passed('issuer')
  const foreign = audienceRefusal(payload, policy)
  if (foreign !== undefined) return foreign
  passed('audience')
  const session = readSession(payload, policy.sessionClaim ?? 'sid')
  if (typeof session === 'object') return session
  passed('session')
  if (nowMs >= (times.exp + (policy.graceSeconds ?? 0)) * 1000) return refuse('expired')
  passed('expiry')
  const rights = readRights(payload, user, policy)
  if (rights !== undefined && 'reason' in rights) return rights
  passed('rights')
  const carried = readTicketClaims(payload, policy.ticketClaims ?? [])
  if ('reason' in carried) return carried
  passed('claims')
  return {
    user,
    issuedAtSeconds: times.iat,
    expiresAtSeconds: times.exp,
    ...(session === undefined ? {} : { session }),
    ...(rights === undefined ? {} : { publish: rights.publish, subscribe: rights.subscribe }),
    ...(rights?.unusable === undefined ? {} : { unusableClaim: rights.unusable }),
    ...carried,
  }
}

/** The user of a token. */
export function readUser(payload: Payload, path: ClaimPath): string | TokenRefusal {
  const user = claimAt(payload, path)
  if (user === undefined || user === null) return refuse('subject_missing')
  if (typeof user !== 'string') return refuse(`claim_type:${pathText(path)}`)
  return isUserName(user) ? user : refuse('subject_invalid')
}

/** When a token is valid, Unix seconds. */
export interface Times {
  readonly exp: number
  readonly iat: number
  readonly nbf: number
  /** `exp` - `iat`, before fractions were dropped. */
  readonly lifeSeconds: number
}

/** Reads when it is valid; `exp` and `iat` are required. */
export function readTimes({ exp, iat, nbf }: Payload): Times | TokenRefusal {
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

/** Why it is not valid yet, or for too long. */
export function timesRefusal(
  { iat, nbf, lifeSeconds }: Times,
  policy: TokenPolicy,
  nowMs: number,
): TokenRefusal | undefined {
  const latestMs = nowMs + (policy.skewSeconds ?? 0) * 1000
  if (iat * 1000 > latestMs || nbf * 1000 > latestMs) return refuse('not_yet_valid')
  return lifeSeconds <= 0 || lifeSeconds > policy.maxTtlSeconds ? refuse('lifetime') : undefined
}

/** Why it was not issued for this server. */
export function audienceRefusal(
  payload: Payload,
  policy: Pick<TokenPolicy, 'audiences' | 'audienceClaim'>,
): TokenRefusal | undefined {
  const { audiences = [], audienceClaim = 'aud' } = policy
  if (!isAudience(payload.aud)) return refuse('claim_type:aud')
  if (audiences.length === 0) return undefined
  const named = claimAt(payload, audienceClaim)
  if (!isAudience(named)) return refuse(`claim_type:${pathText(audienceClaim)}`)
  const isAmong =
    typeof named === 'string' ? audiences.includes(named) : named?.some(each => audiences.includes(each))
  return isAmong ? undefined : refuse('audience')
}

/** A string or a list of strings (RFC 7519 section 4.1.3), or absent. */
const isAudience = (value: unknown): value is string | readonly string[] | undefined =>
  value === undefined || typeof value === 'string' || isTexts(value)

/** Refuses an `iss`. The log gets a hint if it differs by a trailing slash only. */
export function issuerRefusal(iss: unknown, names: readonly IssuerName[]): TokenRefusal {
  return names.some(name => differsBySlash(iss, name))
    ? {
        ...refuse('issuer'),
        hint: 'iss and the configured issuer differ by a trailing slash, which is significant',
      }
    : refuse('issuer')
}

const isTexts = (value: unknown): value is readonly string[] =>
  Array.isArray(value) && value.every(each => typeof each === 'string')

/** The login session that it names, if any. */
export function readSession(payload: Payload, path: ClaimPath): string | undefined | TokenRefusal {
  const session = claimAt(payload, path)
  if (session === undefined || session === null) return undefined
  return typeof session === 'string' && isSessionId(session)
    ? session
    : refuse(`claim_type:${pathText(path)}`)
}
