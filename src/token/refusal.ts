/**
 * Why a token is refused, for logs and metrics. A client gets one of the codes that
 * {@link codeOf} returns. `claim_missing:`, `claim_type:` and `no_rights:` end in
 * the name of a claim.
 */
export type TokenReason =
  /** Not three base64url parts, or not JSON objects in valid UTF-8 with distinct members. */
  | 'malformed'
  | 'too_large'
  /** The algorithm is unknown or not allowed. */
  | 'algorithm'
  /** `crit` names extensions, and none is understood here (RFC 7515 section 4.1.11). */
  | 'critical'
  /**
   * No key matches `kid` and the algorithm, and the keys were fetched after the token was first
   * seen.
   */
  | 'key_unknown'
  /** The same, but the key may arrive with the next fetch. */
  | 'key_pending'
  /** The key set has not been fetched since the start. */
  | 'keys_unavailable'
  | 'signature'
  /** The token is of another kind, such as an ID token or a logout token. */
  | 'typ'
  | 'issuer'
  | 'audience'
  | 'subject_missing'
  /** The user name is empty, too long, or has control characters. */
  | 'subject_invalid'
  | `claim_missing:${string}`
  | `claim_type:${string}`
  | 'expired'
  | 'not_yet_valid'
  /** It expires before it is issued, or its lifetime exceeds the allowed one. */
  | 'lifetime'
  /** No rule of its issuer gives it a right. */
  | 'no_rights'
  /** Rules match, but need this claim, which is not a name without dots. */
  | `no_rights:${string}`
  /** The claims that its tickets carry take more than 256 bytes. */
  | 'ticket_claims_too_large'
  /** Its user or session was disconnected since. */
  | 'revoked'
  /** A logout token without the event of a logout. */
  | 'events'
  /** A logout token that has `nonce`, as ID tokens do. */
  | 'nonce'
  /** A logout token that was used before. */
  | 'replayed'

/** A token that is refused. */
export interface TokenRefusal {
  readonly reason: TokenReason
  /** When to try again, in milliseconds from now; 0 if that does not help. */
  readonly waitMs: number
  /** Its signature was not verified, so the sender must not learn the reason. */
  readonly isUnsigned?: true
  /** What the operator may have got wrong, for the log. */
  readonly hint?: string
}

export const refuse = (reason: TokenReason, waitMs = 0): TokenRefusal => ({ reason, waitMs })

export type TokenCode =
  | 'token_invalid'
  | 'token_expired'
  | 'token_too_large'
  | 'keys_unavailable'
  | 'channel_forbidden'

/** The error code of a reason. */
export function codeOf(reason: TokenReason): TokenCode {
  if (reason === 'expired') return 'token_expired'
  if (reason === 'too_large') return 'token_too_large'
  if (reason.startsWith('no_rights')) return 'channel_forbidden'
  return reason === 'key_pending' || reason === 'keys_unavailable' ? 'keys_unavailable' : 'token_invalid'
}
