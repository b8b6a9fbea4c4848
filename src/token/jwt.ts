import { randomBytes } from 'node:crypto'
import { createSigner, createVerifier } from 'fast-jwt'
import { LRUCache } from 'lru-cache'
import { toSeconds } from '../clock.js'
import type { ChannelPatterns } from '../ticket/rights.js'
import { checkTokenClaims, type TokenClaims, type TokenPolicy, type TokenRefusal } from './claims.js'

// The only algorithm of a symmetric secret here. Public-key tokens never meet this verifier, so there is nothing to
// confuse (RFC 8725 section 3.1).
const algorithm = 'HS256'

const maxTokenLength = 4096
const maxVerifiedTokens = 10_000

export interface TokenSubject {
  readonly user: string
  readonly channels?: { readonly publish?: ChannelPatterns; readonly subscribe?: ChannelPatterns } | undefined
}

export interface TokenIssuer {
  /** A signed token and when it expires, Unix seconds. */
  issue(subject: TokenSubject, nowMs: number): { readonly token: string; readonly expires: number }
}

export interface TokenVerifier {
  /** The claims of a token that is good at `nowMs`, or why it is not. */
  verify(token: string, nowMs: number): TokenClaims | TokenRefusal
}

export interface TokenIssuerOptions {
  readonly secret: string
  readonly ttlSeconds: number
  readonly issuer?: string | undefined
  readonly audience?: string | undefined
}

export function createTokenIssuer(options: TokenIssuerOptions): TokenIssuer {
  const sign = createSigner({ key: options.secret, algorithm })
  return {
    issue({ user, channels }, nowMs) {
      const iat = toSeconds(nowMs)
      const exp = iat + options.ttlSeconds
      const token = sign({
        sub: user,
        iat,
        exp,
        sid: randomBytes(12).toString('base64url'),
        ...(options.issuer === undefined ? {} : { iss: options.issuer }),
        ...(options.audience === undefined ? {} : { aud: options.audience }),
        ...(channels === undefined ? {} : { channels }),
      })
      return { token, expires: exp }
    },
  }
}

/**
 * Verifies HS256 tokens (RFC 7519). fast-jwt checks the signature and the algorithm; all claims are checked here,
 * against our clock. Verified tokens are remembered, so that the next ticket for one costs no second MAC: the whole
 * token is the key, the claims are checked for expiry at every use, and the memory is bounded.
 */
export function createTokenVerifier(options: TokenPolicy & { readonly secret: string }): TokenVerifier {
  const decode = createVerifier({
    key: options.secret,
    algorithms: [algorithm],
    complete: true,
    cache: false,
    ignoreExpiration: true,
    ignoreNotBefore: true,
  })
  const verified = new LRUCache<string, TokenClaims>({ max: maxVerifiedTokens })

  return {
    verify(token, nowMs) {
      if (token.length > maxTokenLength) return 'token_invalid'
      const known = verified.get(token)
      if (known !== undefined) return nowMs >= known.expiresAtSeconds * 1000 ? 'token_expired' : known
      let parts: { header: Record<string, unknown>; payload: unknown }
      try {
        parts = decode(token)
      } catch {
        return 'token_invalid'
      }
      if (!isJwtHeader(parts.header) || !isRecord(parts.payload)) return 'token_invalid'
      const claims = checkTokenClaims(parts.payload, options, nowMs)
      if (typeof claims !== 'string') verified.set(token, claims)
      return claims
    },
  }
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** `typ` tells kinds of tokens apart (RFC 8725 section 3.11); `crit` names what must be understood (RFC 7515). */
function isJwtHeader(header: Readonly<Record<string, unknown>>): boolean {
  const { typ, crit } = header
  if (crit !== undefined) return false
  return typ === undefined || (typeof typ === 'string' && /^(application\/)?(at\+)?jwt$/i.test(typ))
}
