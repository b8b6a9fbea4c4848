import { isJsonObject } from '../protocol.js'
import type { Payload } from './claim-path.js'

/**
 * Whether `typ` is that of an access token. It tells kinds of tokens apart (RFC 8725 section 3.11).
 * @param required what the issuer puts there; without it `JWT`, `at+jwt` and none are accepted
 */
export function isAccessTokenType(typ: unknown, required: string | undefined): boolean {
  if (typ === undefined) return required === undefined
  const type = mediaTypeOf(typ)
  return required === undefined ? type === 'jwt' || type === 'at+jwt' : type === required.toLowerCase()
}

/**
 * Whether `typ` is that of a logout token: `logout+jwt`, or, since OpenID Connect Back-Channel
 * Logout (section 2.4) only recommends that, `JWT` or none. It is the claim `events` that makes
 * one.
 */
export const isLogoutTokenType = (typ: unknown): boolean =>
  typ === undefined || ['logout+jwt', 'jwt'].includes(mediaTypeOf(typ))

/** `typ` is a media type, with or without `application/` (RFC 7515 section 4.1.9). */
const mediaTypeOf = (typ: unknown): string =>
  typeof typ === 'string' ? typ.toLowerCase().replace(/^application\//, '') : ''

const logoutEvent = 'http://schemas.openid.net/event/backchannel-logout'

/**
 * Whether a payload states that a user has logged out (OpenID Connect Back-Channel Logout, section
 * 2.4).
 */
export const hasLogoutEvent = ({ events }: Payload): boolean =>
  isJsonObject(events) && Object.hasOwn(events, logoutEvent) && isJsonObject(events[logoutEvent])
