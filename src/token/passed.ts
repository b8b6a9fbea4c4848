/** The checks that a token goes through, in order. */
export type TokenCheckName =
  /** Its size, its three parts, and its header. */
  | 'form'
  /** Its algorithm is allowed for its issuer. */
  | 'algorithm'
  | 'signature'
  | 'typ'
  | 'user'
  /** `exp`, `iat` and `nbf`, except for expiry. */
  | 'times'
  | 'issuer'
  | 'audience'
  | 'session'
  | 'expiry'
  | 'rights'
  /** The claims that its tickets carry. */
  | 'claims'

/** Called for each check that a token passes. */
export type OnPassed = (check: TokenCheckName) => void

/** Ignores the checks. */
export const ignorePassed: OnPassed = () => {}
