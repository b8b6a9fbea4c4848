import type { TokenCheckRefusal } from '../admission/token-check.js'
import { tokenDetail } from '../admission/token-refusals.js'
import { Refusal, retryAfterSeconds } from '../errors.js'

/**
 * Returns the token from `Authorization: Bearer` (RFC 6750 section 2.1) or from the body,
 * unchecked. The body has room for tokens that a proxy would refuse in a header.
 */
export function readToken(authorization: string, inBody: unknown): string {
  const isBearer = /^bearer\b/i.test(authorization)
  if (inBody === undefined) {
    if (isBearer) return authorization.slice('bearer'.length).trim()
    throw unauthorized('token_missing', {
      detail: 'Send a token as Authorization: Bearer, or as token in the body.',
    })
  }
  if (isBearer)
    throw new Refusal('bad_request', {
      detail: 'Send the token in Authorization or in the body, not in both.',
    })
  if (typeof inBody !== 'string') throw new Refusal('bad_request', { detail: 'The token must be a string.' })
  return inBody
}

const challenge = 'Bearer realm="ticketgate"'

/** The refusal of a token, for the client. */
export function denied({ code, reason, waitMs }: TokenCheckRefusal): Refusal {
  if (code === 'channel_forbidden' && reason === undefined)
    return new Refusal(code, { detail: 'The token gives no right on this channel.' })
  if (code === 'rate_limited')
    return new Refusal(code, {
      detail: 'Too many tickets for this user.',
      retryAfterSeconds: retryAfterSeconds(waitMs),
    })
  const detail = tokenDetail(reason ?? 'malformed')
  const said = reason === undefined ? { detail } : { detail, reason }
  if (code === 'keys_unavailable')
    return new Refusal(code, { ...said, retryAfterSeconds: retryAfterSeconds(waitMs) })
  return code === 'token_too_large' || code === 'channel_forbidden'
    ? new Refusal(code, said)
    : unauthorized(code, said)
}

/** Returns a 401 with the challenge of RFC 6750 section 3. */
function unauthorized(
  code: 'token_missing' | 'token_invalid' | 'token_expired' | 'token_revoked',
  said: { readonly detail: string; readonly reason?: string },
): Refusal {
  const headers = {
    'www-authenticate':
      code === 'token_missing'
        ? challenge
        : `${challenge}, error="invalid_token", error_description="${code}"`,
  }
  return new Refusal(code, { ...said, headers })
}
