/** The checks that a token goes through, in their order. */
export type TokenCheckName =
  /** Its size, its three parts, and its header. */
  | 'form'
  /** Its issuer may use its algorithm. */
  | 'algorithm'
  | 'signature'
  | 'typ'
  | 'user'
  /** `exp`, `iat` and `nbf`, but for its end. */
  | 'times'
  | 'issuer'
  | 'audience'
  | 'session'
  | 'expiry'
  | 'rights'
  /** Those that its tickets carry. */
  | 'claims'

/** Told of each check that a token passes, for whoever wants to know how far it came. */
export type OnPassed = (check: TokenCheckName) => void

/** Where nobody wants to know. */
export const unheard: OnPassed = () => {}
