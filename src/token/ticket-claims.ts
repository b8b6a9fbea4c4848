import { type CarriedClaims, type ClaimValue, fitIntoTicket, isClaimValue } from '../ticket/carried-claims.js'
import { type ClaimPath, claimAt, type Payload, pathText } from './claim-path.js'
import { refuse, type TokenRefusal } from './refusal.js'

/** A claim that is to travel in tickets: where a token has it, and its name in the ticket. */
export interface TicketClaim {
  readonly path: ClaimPath
  readonly name: string
}

/** The name of a claim in the ticket: the end of its path, behind the last `.`, `/` or `:`. */
export const ticketClaimName = (path: ClaimPath): string => /[^./:]*$/.exec(pathText(path))?.[0] ?? ''

const none = {} as const

/**
 * The claims of a token that travel in its tickets. One that the token lacks is left out; one that cannot
 * travel, and too many of them, refuse the token: what is decided by them must not depend on their size.
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
