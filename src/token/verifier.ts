import { LRUCache } from 'lru-cache'
import { isJsonObject } from '../protocol.js'
import { checkTokenClaims, type TokenClaims, type TokenPolicy, type TokenRefusal } from './claims.js'

const maxTokenLength = 4096
const maxVerifiedTokens = 10_000

export interface TokenVerifier {
  /** The claims of a token that is good at `nowMs`, or why it is not. */
  verify(token: string, nowMs: number): TokenClaims | TokenRefusal
}

/** A token taken apart after its signature and algorithm held. Throws when they do not. */
export type Decode = (token: string) => {
  readonly header: Readonly<Record<string, unknown>>
  readonly payload: unknown
}

/**
 * What all tokens are held to (RFC 7519, RFC 8725), whoever signed them: `decode` answers for the signature, all
 * claims are checked here, against our clock. Verified tokens are remembered, so that the next ticket for one costs no
 * further signature: the whole token is the key, the claims are checked for expiry at every use, and the memory is
 * bounded.
 *
 * @param isWorthIt whether to remember a token that was just verified
 */
export function createVerifierOn(
  decode: Decode,
  policy: TokenPolicy,
  isWorthIt: (token: string) => boolean = () => true,
): TokenVerifier {
  const verified = new LRUCache<string, TokenClaims>({ max: maxVerifiedTokens })

  return {
    verify(token, nowMs) {
      if (token.length > maxTokenLength) return 'token_invalid'
      const known = verified.get(token)
      if (known !== undefined) return stillGood(known, policy, nowMs)
      let parts: ReturnType<Decode>
      try {
        parts = decode(token)
      } catch {
        return 'token_invalid'
      }
      if (!isJwtHeader(parts.header) || !isJsonObject(parts.payload)) return 'token_invalid'
      const claims = checkTokenClaims(parts.payload, policy, nowMs)
      if (typeof claims === 'string') return claims
      if (isWorthIt(token)) verified.set(token, claims)
      return stillGood(claims, policy, nowMs)
    },
  }
}

/**
 * The claims as they count at `nowMs`. By our clock a token ends at its `exp`; only who presents it later, within the
 * skew that is allowed, has it to the end of that.
 */
function stillGood(
  claims: TokenClaims,
  { skewSeconds = 0 }: TokenPolicy,
  nowMs: number,
): TokenClaims | TokenRefusal {
  if (nowMs < claims.expiresAtSeconds * 1000) return claims
  const expiresAtSeconds = claims.expiresAtSeconds + skewSeconds
  return nowMs < expiresAtSeconds * 1000 ? { ...claims, expiresAtSeconds } : 'token_expired'
}

/** `typ` tells kinds of tokens apart (RFC 8725 section 3.11); `crit` names what must be understood (RFC 7515). */
function isJwtHeader(header: Readonly<Record<string, unknown>>): boolean {
  const { typ, crit } = header
  if (crit !== undefined) return false
  return typ === undefined || (typeof typ === 'string' && /^(application\/)?(at\+)?jwt$/i.test(typ))
}
