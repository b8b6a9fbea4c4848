import type { ClaimPath, Payload } from './claim-path.js'
import { audienceRefusal, issuerRefusal, readSession, readTimes, readUser, timesRefusal } from './claims.js'
import type { LogoutPolicy, TrustedIssuer } from './issuer.js'
import { isNamed } from './issuer-name.js'
import { readJws } from './jws.js'
import { refuse, type TokenRefusal } from './refusal.js'
import { parseStrictObject } from './strict-json.js'
import { hasLogoutEvent, isLogoutTokenType } from './token-type.js'
import { type IssuerChooser, keysUnavailableWaitMs, signatureRefusal } from './verifier.js'

/** What a verified logout token orders. Plain data, which threads can share. */
export interface LogoutOrder {
  /** Identifies it: its issuer and its `jti`. */
  readonly id: string
  /** Whose sockets and tokens end. */
  readonly subject: { readonly user: string } | { readonly session: string }
  /** Anything issued later is not affected, Unix seconds. */
  readonly issuedAtSeconds: number
}

const maxJtiLength = 256

/**
 * Verifies logout tokens (OpenID Connect Back-Channel Logout 1.0, section 2.6). The signature is
 * checked last, because it costs the most. Whether a token was used before is checked where it is
 * carried out.
 */
export class LogoutTokenVerifier {
  readonly #maxTokenBytes: number
  #chooseIssuer: IssuerChooser

  /** @param maxTokenBytes larger tokens are refused unread */
  constructor(chooseIssuer: IssuerChooser, maxTokenBytes: number) {
    this.#chooseIssuer = chooseIssuer
    this.#maxTokenBytes = maxTokenBytes
  }

  /** Replaces the trusted issuers. */
  trust(chooseIssuer: IssuerChooser): void {
    this.#chooseIssuer = chooseIssuer
  }

  /** Returns the order of a token that is valid at `nowMs`, or why it is refused. */
  verify(token: string, nowMs: number): LogoutOrder | TokenRefusal {
    if (token.length > this.#maxTokenBytes) return refuse('too_large')
    const jws = readJws(token)
    if (typeof jws === 'string') return refuse(jws)
    const { algorithm, typ } = jws.header
    if (!isLogoutTokenType(typ)) return refuse('typ')
    const payload = parseStrictObject(jws.payload)
    if (payload === undefined) return refuse('malformed')
    const issuer = this.#chooseIssuer(jws.header, () => payload)
    if ('reason' in issuer) return issuer
    if (issuer.logout === undefined) return refuse('issuer')
    if (!issuer.algorithms.includes(algorithm)) return refuse('algorithm')
    const order = readOrder(payload, issuer, issuer.logout, nowMs)
    if ('reason' in order) return order
    const set = issuer.keys.current()
    if (set === undefined) return refuse('keys_unavailable', keysUnavailableWaitMs)
    return signatureRefusal(jws, set, issuer, nowMs) ?? order
  }
}

/** The checks of section 2.6 except for the signature. */
function readOrder(
  payload: Payload,
  { policy }: TrustedIssuer,
  { audiences, ends }: LogoutPolicy,
  nowMs: number,
): LogoutOrder | TokenRefusal {
  const { issuer } = policy
  if (issuer !== undefined && !isNamed(payload, issuer)) return issuerRefusal(payload.iss, [issuer])
  const foreign = audienceRefusal(payload, { audiences })
  if (foreign !== undefined) return foreign
  const times = readTimes(payload)
  if ('reason' in times) return times
  const timing = timesRefusal(times, policy, nowMs)
  if (timing !== undefined) return timing
  if (nowMs >= (times.exp + (policy.graceSeconds ?? 0)) * 1000) return refuse('expired')
  if (!hasLogoutEvent(payload)) return refuse('events')
  if (payload.nonce !== undefined) return refuse('nonce')
  const { iss, jti } = payload
  if (jti === undefined) return refuse('claim_missing:jti')
  if (typeof jti !== 'string' || jti === '' || jti.length > maxJtiLength) return refuse('claim_type:jti')
  const subject = readSubject(payload, policy.userClaim ?? 'sub', ends)
  if ('reason' in subject) return subject
  return { id: JSON.stringify([iss, jti]), subject, issuedAtSeconds: times.iat }
}

/** The session that `sid` names, or else the user: a logout token names at least one of them. */
function readSubject(
  payload: Payload,
  userClaim: ClaimPath,
  ends: LogoutPolicy['ends'],
): LogoutOrder['subject'] | TokenRefusal {
  if (payload.sub !== undefined && typeof payload.sub !== 'string') return refuse('claim_type:sub')
  const session = readSession(payload, 'sid')
  if (typeof session === 'object') return session
  if (session !== undefined && ends === 'session') return { session }
  const user = readUser(payload, userClaim)
  return typeof user === 'string' ? { user } : user
}
