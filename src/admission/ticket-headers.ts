import { ticketHeader } from '../protocol.js'
import { type CarriedClaims, type ClaimValue, headerSuffix } from '../ticket/carried-claims.js'

/** A text as visible ASCII: all else, and `%` and `,`, is percent-encoded UTF-8. */
export const headerText = (text: string): string => text.replace(/[^!-$&-+\--~]/gu, encodeURIComponent)

/** Adds the claims that a ticket carries to headers for a server behind. */
export function addClaims(headers: Record<string, string>, claims: CarriedClaims): void {
  for (const [name, value] of Object.entries(claims))
    headers[ticketHeader.claimPrefix + headerSuffix(name)] = claimText(value)
}

/** The value of a claim; the elements of a list stand between commas. */
const claimText = (value: ClaimValue): string =>
  typeof value === 'object' ? value.map(headerText).join() : headerText(String(value))
