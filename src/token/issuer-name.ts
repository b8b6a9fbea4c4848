import type { Payload } from './claim-path.js'

/** How the tokens of an issuer name it in `iss`. */
export type IssuerName =
  | { readonly exactly: string }
  /** With `{tid}` for the tenant that the claim `tid` names, as multi-tenant applications of Entra ID have it. */
  | { readonly pattern: string }

const tenantPattern = /^[A-Za-z0-9-]{1,64}$/

/** Whether a token names this issuer. Compared character by character (RFC 8725 section 3.8). */
export function isNamed(payload: Payload, name: IssuerName): boolean {
  const { iss, tid } = payload
  if ('exactly' in name) return iss === name.exactly
  return typeof tid === 'string' && tenantPattern.test(tid) && iss === name.pattern.replace('{tid}', tid)
}

export const nameText = (name: IssuerName): string => ('exactly' in name ? name.exactly : name.pattern)

/** A mistake that is often made: the slash at the end belongs to the name, as Auth0 has it. */
export const differsBySlash = (iss: unknown, name: IssuerName): boolean =>
  typeof iss === 'string' &&
  'exactly' in name &&
  trimmed(iss) === trimmed(name.exactly) &&
  iss !== name.exactly

const trimmed = (text: string): string => text.replace(/\/$/, '')
