// token/: validation of tokens, their issuers and their revocation. No HTTP, no network; time is an
// argument.

import { LRUCache } from 'lru-cache'
import { verifySignature } from './algorithms.js'
import type { Payload } from './claim-path.js'
import { checkTokenClaims, type TokenClaims } from './claims.js'
import type { TrustedIssuer } from './issuer.js'
import { type Jws, type JwsHeader, readJws } from './jws.js'
import type { KeySet } from './key-set.js'
import { ignorePassed, type OnPassed } from './passed.js'
import { refuse, type TokenRefusal } from './refusal.js'
import { parseStrictObject } from './strict-json.js'
import { SeenTokens } from './token-cache.js'
import { hasLogoutEvent, isAccessTokenType } from './token-type.js'

const maxVerifiedTokens = 10_000

/**
 * Chooses the issuer of a token by what the token says. Nothing is verified yet.
 * @param payload parses the payload; undefined if it is malformed
 */
export type IssuerChooser = (
  header: JwsHeader,
  payload: () => Payload | undefined,
) => TrustedIssuer | TokenRefusal

/** A token with a valid signature, and the keys that verified it. */
interface VerifiedToken {
  readonly claims: TokenClaims
  readonly issuer: TrustedIssuer
  readonly set: KeySet
}

/**
 * Verifies tokens of any issuer (RFC 7515, RFC 7519, RFC 8725). Verified tokens are cached by their
 * whole text, so the next ticket for one needs no signature check. Expiry is checked at every use,
 * and memory is bounded. After a change of the key set, tokens are verified again.
 */
export class TokenVerifier {
  readonly #maxTokenBytes: number
  #chooseIssuer: IssuerChooser
  readonly #verified = new LRUCache<string, VerifiedToken>({ max: maxVerifiedTokens })
  readonly #seen = new SeenTokens()

  /** @param maxTokenBytes larger tokens are refused unread */
  constructor(chooseIssuer: IssuerChooser, maxTokenBytes: number) {
    this.#chooseIssuer = chooseIssuer
    this.#maxTokenBytes = maxTokenBytes
  }

  /** Replaces the trusted issuers. Tokens verified before are verified again. */
  trust(chooseIssuer: IssuerChooser): void {
    this.#chooseIssuer = chooseIssuer
    this.#verified.clear()
  }

  /**
   * Returns the claims of a token that is valid at `nowMs`, or why it is refused.
   * @param passed called for each check that a token passes, unless it was seen before
   */
  verify(token: string, nowMs: number, passed: OnPassed = ignorePassed): TokenClaims | TokenRefusal {
    if (token.length > this.#maxTokenBytes) return refuse('too_large')
    const known = this.#verified.get(token)
    if (known !== undefined && known.set === known.issuer.keys.current())
      return asOf(known.claims, known.issuer, nowMs)
    const jws = readJws(token)
    if (typeof jws === 'string') return refuse(jws)
    passed('form')
    const { algorithm } = jws.header
    const payload = lazily(() => parseStrictObject(jws.payload))
    const issuer = this.#chooseIssuer(jws.header, payload)
    if ('reason' in issuer) return issuer
    if (!issuer.algorithms.includes(algorithm)) return refuse('algorithm')
    passed('algorithm')
    const set = issuer.keys.current()
    if (set === undefined) return refuse('keys_unavailable', keysUnavailableWaitMs)
    const unsigned = signatureRefusal(jws, set, issuer, nowMs)
    if (unsigned !== undefined) return unsigned
    passed('signature')
    const claims = readClaims(jws.header.typ, payload(), issuer, nowMs, passed)
    if ('reason' in claims) return claims
    issuer.clock.observe(claims.issuedAtSeconds, nowMs)
    if (!algorithm.startsWith('HS') || this.#seen.see(token))
      this.#verified.set(token, { claims, issuer, set })
    return asOf(claims, issuer, nowMs)
  }
}

/** How long a client waits while the keys have not been fetched. */
export const keysUnavailableWaitMs = 1000

/**
 * Verifies a signature with the keys that may have made it (RFC 7515 section 5.2).
 * @returns why it is invalid; undefined if it is valid
 */
export function checkSignature(
  { header, input, signature }: Jws,
  set: KeySet,
): 'signature' | 'algorithm' | 'key_unknown' | undefined {
  const { kid, algorithm } = header
  const candidates = set.candidates(kid, algorithm)
  if (candidates.some(({ key }) => verifySignature(algorithm, key, input, signature))) return undefined
  if (candidates.length > 0) return 'signature'
  const isOfAnotherKind = kid === undefined ? !set.supports(algorithm) : set.has(kid)
  return isOfAnotherKind ? 'algorithm' : 'key_unknown'
}

/** Likewise, but an unknown key may come with the next fetch. */
export function signatureRefusal(
  jws: Jws,
  set: KeySet,
  { keys }: Pick<TrustedIssuer, 'keys'>,
  nowMs: number,
): TokenRefusal | undefined {
  const reason = checkSignature(jws, set)
  const { kid } = jws.header
  if (reason === 'key_unknown' && kid !== undefined) {
    const waitMs = keys.missing(kid, nowMs)
    if (waitMs !== undefined) return refuse('key_pending', waitMs)
  }
  return reason && refuse(reason)
}

function readClaims(
  typ: unknown,
  payload: Payload | undefined,
  { policy }: TrustedIssuer,
  nowMs: number,
  passed: OnPassed,
): TokenClaims | TokenRefusal {
  if (!isAccessTokenType(typ, policy.requireTyp)) return refuse('typ')
  if (payload === undefined) return refuse('malformed')
  // A logout token may have the typ of others.
  if (hasLogoutEvent(payload)) return refuse('typ')
  passed('typ')
  return checkTokenClaims(payload, policy, nowMs, passed)
}

/** Calls `make` at most once, when its result is needed. */
function lazily<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined
  return () => {
    made ??= { value: make() }
    return made.value
  }
}

/**
 * The claims as of `nowMs`. By our clock a token ends at its `exp`. A token presented later, within
 * the allowance for a clock behind ours, ends with that allowance.
 */
function asOf(
  claims: TokenClaims,
  { policy, clock }: TrustedIssuer,
  nowMs: number,
): TokenClaims | TokenRefusal {
  const { aheadSeconds } = clock
  const isPast = nowMs >= claims.expiresAtSeconds * 1000
  if (aheadSeconds === 0 && !isPast) return claims
  const expiresAtSeconds = claims.expiresAtSeconds + (isPast ? (policy.graceSeconds ?? 0) : 0)
  if (nowMs >= expiresAtSeconds * 1000) return refuse('expired')
  return { ...claims, expiresAtSeconds, issuedAtSeconds: Math.max(0, claims.issuedAtSeconds - aheadSeconds) }
}
