import type { TokenPolicy } from './claims.js'
import type { KeySet } from './key-set.js'
import { createVerifierOn, type Decode, type TokenVerifier } from './verifier.js'

/** The keys of an identity provider, fetched by somebody else. */
export interface ProviderKeys {
  /** As they were last seen; undefined until they have been. */
  current(): KeySet | undefined
  /** Hears that a token names a key that is not among them, so that they may have changed. */
  missed(): void
}

/**
 * Verifies tokens of an identity provider with its keys as they are now, and never waits for them. With other keys all
 * is forgotten that was verified with those before, so that a key that is withdrawn is so at once.
 */
export function createProviderTokenVerifier(keys: ProviderKeys, policy: TokenPolicy): TokenVerifier {
  let set: KeySet | undefined
  let verifier: TokenVerifier | undefined
  return {
    verify(token, nowMs) {
      const current = keys.current()
      if (current === undefined) return 'keys_unavailable'
      if (verifier === undefined || current !== set) {
        set = current
        verifier = createVerifierOn(decodeWith(current, keys.missed), policy)
      }
      return verifier.verify(token, nowMs)
    },
  }
}

const decodeWith =
  (set: KeySet, missed: () => void): Decode =>
  token => {
    const { kid, alg } = peek(token)
    if (typeof alg !== 'string' || (kid !== undefined && typeof kid !== 'string'))
      throw new Error('the header names no key')
    const decode = set.decoderFor(kid, alg)
    if (decode !== undefined) return decode(token)
    if (kid !== undefined && !set.has(kid)) missed()
    throw new Error('there is no such key')
  }

/** What the header of a token says, which nothing vouches for yet: it chooses the key, and its decoder reads it anew. */
function peek(token: string): { readonly kid?: unknown; readonly alg?: unknown } {
  const header: unknown = JSON.parse(Buffer.from(token.slice(0, token.indexOf('.')), 'base64url').toString())
  return typeof header === 'object' && header !== null ? header : {}
}
