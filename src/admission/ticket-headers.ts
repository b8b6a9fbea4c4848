import { ticketHeader } from '../protocol.js'
import { type CarriedClaims, type ClaimValue, headerSuffix } from '../ticket/carried-claims.js'

/** A text as visible ASCII: everything else, `%` and `,` are percent-encoded as UTF-8. */
export const headerText = (text: string): string => text.replace(/[^!-$&-+\--~]/gu, encodeURIComponent)

/** Adds the claims that a ticket carries to headers for the upstream server. */
export function addClaims(headers: Record<string, string>, claims: CarriedClaims): void {
  for (const [name, value] of Object.entries(claims))
    headers[ticketHeader.claimPrefix + headerSuffix(name)] = claimText(value)
}

/** The value of a claim. The elements of a list are separated by commas. */
const claimText = (value: ClaimValue): string =>
  typeof value === 'object' ? value.map(headerText).join() : headerText(String(value))
