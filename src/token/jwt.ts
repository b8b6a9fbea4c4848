import { randomBytes } from 'node:crypto'
import { createSigner, createVerifier } from 'fast-jwt'
import { toSeconds } from '../clock.js'
import type { ChannelPatterns } from '../ticket/rights.js'
import type { TokenPolicy } from './claims.js'
import { createSecondSight } from './token-cache.js'
import { createVerifierOn, type TokenVerifier } from './verifier.js'

// The only algorithm of a symmetric secret here. Public-key tokens never meet this verifier, so there is nothing to
// confuse (RFC 8725 section 3.1).
const algorithm = 'HS256'

export interface TokenSubject {
  readonly user: string
  readonly channels?: { readonly publish?: ChannelPatterns; readonly subscribe?: ChannelPatterns } | undefined
}

export interface TokenIssuer {
  /** A signed token and when it expires, Unix seconds. */
  issue(subject: TokenSubject, nowMs: number): { readonly token: string; readonly expires: number }
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

/** Verifies tokens signed with the secret, our own. fast-jwt checks the signature and the algorithm. */
export const createTokenVerifier = (options: TokenPolicy & { readonly secret: string }): TokenVerifier =>
  createVerifierOn(
    createVerifier({
      key: options.secret,
      algorithms: [algorithm],
      complete: true,
      cache: false,
      ignoreExpiration: true,
      ignoreNotBefore: true,
    }),
    options,
    createSecondSight(),
  )
