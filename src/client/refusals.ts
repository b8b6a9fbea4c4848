import type { Remedy } from './gate-error.js'

// Refusals that remain until the page, its settings or the rights of its user change.
const final = [
  'bad_request',
  'body_too_large',
  'channel_forbidden',
  'channel_invalid',
  'method_not_allowed',
  'not_found',
  'origin_forbidden',
  'token_revoked',
  'token_too_large',
  'unsupported_media_type',
]

/** Whether the server refused the token itself, so that another one may help. */
export const isTokenRefusal = (code: string): boolean => /^token_(missing|invalid|expired)$/.test(code)

/** What helps against a refusal, by its code. Unknown codes may be temporary. */
export function remedyOf(code: string): Remedy {
  if (final.includes(code)) return 'nothing'
  return isTokenRefusal(code) ? 'token' : 'time'
}
