import { queryValues } from '../http/request.js'
import { subprotocol, ticketParameter } from '../protocol.js'
import { hasTicketForm } from '../ticket/codec.js'

/** What a handshake brought. */
export interface PresentedTickets {
  /** The tickets in it, wherever they were, empty ones included. */
  readonly tickets: readonly string[]
  /** The protocols offered beside them. */
  readonly protocols: readonly string[]
}

const jwtPattern = /^eyJ[\w-]*\.[\w-]+\.[\w-]*$/

/** Whether a text is a JWT by its looks: it gets its sender a better answer, nothing else. */
export const looksLikeJwt = (text: string): boolean => jwtPattern.test(text)

/** Whether a query holds a JWT under one of the names that people give it in URLs. */
export const hasTokenInQuery = (query: string): boolean =>
  ['token', 'access_token', 'jwt'].some(name => queryValues(query, name).some(looksLikeJwt))

/**
 * Reads the raw query, and the fields `Sec-WebSocket-Protocol` and `Authorization`. Each place may hold a ticket,
 * and all are looked at: two tickets are ambiguous wherever they are.
 */
export function readPresentedTickets(
  query: string,
  offered: string,
  authorization: string,
): PresentedTickets {
  const tickets = queryValues(query, ticketParameter)
  const protocols: string[] = []
  if (offered !== '')
    for (const entry of offered.split(',')) {
      const name = entry.trim()
      if (name.startsWith(subprotocol.ticketPrefix)) tickets.push(name.slice(subprotocol.ticketPrefix.length))
      else protocols.push(name)
    }
  if (authorization !== '') {
    const ticket = ticketIn(authorization)
    if (ticket !== undefined) tickets.push(ticket)
  }
  return { tickets, protocols }
}

// RFC 9110 section 11.4: the scheme in any case, then spaces.
const scheme = /^(ticket|bearer)(?: +|$)/i

/**
 * The ticket in `Authorization`, in whatever form after `Ticket`. A bearer token may be one for something else, in
 * front of the gate or behind it: only what has the form of a ticket is one.
 */
function ticketIn(authorization: string): string | undefined {
  const [start, name] = scheme.exec(authorization) ?? []
  if (start === undefined || name === undefined) return undefined
  const text = authorization.slice(start.length)
  return name.toLowerCase() === 'ticket' || hasTicketForm(text) ? text : undefined
}
