import { createHmac, randomBytes } from 'node:crypto'
import { toSeconds } from '../clock.js'
import type { ChannelPatterns } from '../ticket/rights.js'
import type { TokenPolicy } from './claims.js'
import { fixedKeys, IssuerClock, type TrustedIssuer } from './issuer.js'
import type { JwsHeader } from './jws.js'
import { secretKeySet } from './key-set.js'

/** The user and the rights of a token; without `channels`, everything is permitted. */
export interface TokenSubject {
  readonly user: string
  readonly channels?: { readonly publish?: ChannelPatterns; readonly subscribe?: ChannelPatterns } | undefined
}

export interface LoginTokenOptions {
  /** The secret to sign with now. */
  readonly secret: () => string
  readonly ttlSeconds: number
  readonly issuer?: string | undefined
  readonly audience?: string | undefined
}

// Marks the tokens of our own logins: our clock dated them, so no skew applies. Other holders of
// the secret sign without it.
const loginKid = 'login'

const header = Buffer.from(JSON.stringify({ alg: 'HS256', typ: 'JWT', kid: loginKid })).toString('base64url')

/** Issues the tokens of logins (JWT, HS256). */
export class LoginTokens {
  readonly #options: LoginTokenOptions

  constructor(options: LoginTokenOptions) {
    this.#options = options
  }

  /** Returns a signed token and its expiry in Unix seconds. Each token is its own session. */
  issue(
    { user, channels }: TokenSubject,
    nowMs: number,
  ): { readonly token: string; readonly expires: number } {
    const { secret, ttlSeconds, issuer, audience } = this.#options
    const iat = toSeconds(nowMs)
    const exp = iat + ttlSeconds
    const sid = randomBytes(12).toString('base64url')
    const payload = JSON.stringify({ sub: user, iat, exp, sid, iss: issuer, aud: audience, channels })
    const input = `${header}.${Buffer.from(payload).toString('base64url')}`
    const signature = createHmac('sha256', secret()).update(input).digest('base64url')
    return { token: `${input}.${signature}`, expires: exp }
  }
}

export interface SecretIssuerOptions {
  /** The first secret signs tokens of logins; all of them verify. */
  readonly secrets: readonly string[]
  readonly policy: TokenPolicy
  /** How far the clocks of other nodes that sign with this secret may be ahead of ours. */
  readonly nodesAheadSeconds: number
}

/**
 * The issuers that hold the token secret: our own logins and any others.
 * @returns a function that returns the issuer for the header of a token
 */
export function secretIssuers(options: SecretIssuerOptions): (header: JwsHeader) => TrustedIssuer {
  const { secrets, policy, nodesAheadSeconds } = options
  const algorithms = ['HS256'] as const
  const keys = fixedKeys(secretKeySet(secrets, algorithms))
  const logins = {
    keys,
    algorithms,
    policy: { ...policy, skewSeconds: nodesAheadSeconds },
    clock: IssuerClock.exact(),
  }
  const others = { keys, algorithms, policy, clock: IssuerClock.exactUntilAhead(policy.skewSeconds ?? 0) }
  return ({ kid }) => (kid === loginKid ? logins : others)
}
