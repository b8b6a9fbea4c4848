import { type CarriedClaims, type ClaimValue, fitIntoTicket, isClaimValue } from '../ticket/carried-claims.js'
import { type ClaimPath, claimAt, type Payload, pathText } from './claim-path.js'
import { refuse, type TokenRefusal } from './refusal.js'

/** A claim that tickets carry: its place in the token, and its name in the ticket. */
export interface TicketClaim {
  readonly path: ClaimPath
  readonly name: string
}

/** The name of a claim in the ticket: the last part of its path, after any `.`, `/` or `:`. */
export const ticketClaimName = (path: ClaimPath): string => /[^./:]*$/.exec(pathText(path))?.[0] ?? ''

const none = {} as const

/**
 * Returns the claims of a token that its tickets carry. Skips absent ones. A claim that cannot be
 * carried, or too many of them, refuse the token, because decisions that depend on claims must not
 * depend on their size.
 */
export function readTicketClaims(
  payload: Payload,
  wanted: readonly TicketClaim[],
): { readonly carried?: CarriedClaims } | TokenRefusal {
  if (wanted.length === 0) return none
  const carried: Record<string, ClaimValue> = Object.create(null)
  let isEmpty = true
  for (const { path, name } of wanted) {
    const value = claimAt(payload, path)
    if (value === undefined || value === null) continue
    if (!isClaimValue(value)) return refuse(`claim_type:${pathText(path)}`)
    carried[name] = value
    isEmpty = false
  }
  if (isEmpty) return none
  return fitIntoTicket(carried) ? { carried } : refuse('ticket_claims_too_large')
}
