import type { TokenReason } from '../token/refusal.js'

const signed: Readonly<Record<string, string>> = {
  typ: 'Its typ marks it as another kind of token. Send an access token.',
  issuer: 'Its iss is not an issuer that is trusted here.',
  audience: 'Its aud does not name this server.',
  subject_missing: 'It names no user.',
  subject_invalid: 'Its user name is empty, longer than 256 bytes, or has control characters.',
  not_yet_valid:
    'Its iat or nbf is further in the future than clocks may differ (TICKETGATE_CLOCK_SKEW_SECONDS).',
  ticket_claims_too_large:
    'The claims that its tickets carry (ticketClaims) take more than 256 bytes. Shorten them, or choose fewer.',
  lifetime:
    'Its exp is not after its iat, or its lifetime exceeds the allowed one (TICKETGATE_TOKEN_MAX_TTL_SECONDS).',
}

/**
 * Explains a refusal to the sender of a token. Says nothing about a token before its signature is
 * verified, so that forgers learn nothing.
 */
export function tokenDetail(reason: TokenReason): string {
  if (reason === 'expired') return 'The token has expired. Log in again.'
  if (reason === 'revoked') return 'This token has been revoked. Log in again.'
  if (reason === 'too_large') return 'The token exceeds the allowed size (TICKETGATE_MAX_TOKEN_BYTES).'
  if (reason === 'keys_unavailable') return 'The identity provider has not been reached yet; try again.'
  if (reason === 'no_rights')
    return 'The token gives no right on any channel (no_rights): none of the rules for its issuer matches.'
  if (reason === 'key_pending') return 'The key of this token is not known yet; try again.'
  const [kind, claim] = reason.split(':')
  if (kind === 'claim_missing') return `The token is refused (${reason}): it lacks the claim ${claim}.`
  if (kind === 'claim_type')
    return `The token is refused (${reason}): its claim ${claim} has a wrong type or form.`
  if (kind === 'no_rights')
    return `The token gives no right on any channel (${reason}): the rules for its issuer need the claim ${claim}, as a name without dots.`
  const detail = signed[reason]
  return detail === undefined
    ? 'This is not a token of this server.'
    : `The token is refused (${reason}). ${detail}`
}
