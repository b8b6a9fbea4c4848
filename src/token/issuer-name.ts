import type { Payload } from './claim-path.js'

/** How the tokens of an issuer name it in `iss`. */
export type IssuerName =
  | { readonly exactly: string }
  /**
   * Has `{tid}` in place of the tenant in the claim `tid`, as in multi-tenant applications of Entra
   * ID.
   */
  | { readonly pattern: string }

const tenantPattern = /^[A-Za-z0-9-]{1,64}$/

/** Whether a token names this issuer. Compares code points (RFC 8725 section 3.8). */
export function isNamed(payload: Payload, name: IssuerName): boolean {
  const { iss, tid } = payload
  if ('exactly' in name) return iss === name.exactly
  return typeof tid === 'string' && tenantPattern.test(tid) && iss === name.pattern.replace('{tid}', tid)
}

export const nameText = (name: IssuerName): string => ('exactly' in name ? name.exactly : name.pattern)

/** A common mistake: a trailing slash is part of the name, as with Auth0. */
export const differsBySlash = (iss: unknown, name: IssuerName): boolean =>
  typeof iss === 'string' &&
  'exactly' in name &&
  trimmed(iss) === trimmed(name.exactly) &&
  iss !== name.exactly

const trimmed = (text: string): string => text.replace(/\/$/, '')
