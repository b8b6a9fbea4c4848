import { queryValues } from '../http/request.js'
import { subprotocol, ticketParameter } from '../protocol.js'
import { hasTicketForm } from '../ticket/codec.js'

/** The tickets and protocols that a handshake presents. */
export interface PresentedTickets {
  /** All tickets, wherever they were, including empty ones. */
  readonly tickets: readonly string[]
  /** The other protocols offered. */
  readonly protocols: readonly string[]
}

const jwtPattern = /^eyJ[\w-]*\.[\w-]+\.[\w-]*$/

/** Whether a text looks like a JWT. This only serves to make the refusal more helpful. */
export const looksLikeJwt = (text: string): boolean => jwtPattern.test(text)

/** Whether a query contains a JWT under one of its usual names. */
export const hasTokenInQuery = (query: string): boolean =>
  ['token', 'access_token', 'jwt'].some(name => queryValues(query, name).some(looksLikeJwt))

/**
 * Reads the raw query and the headers `Sec-WebSocket-Protocol` and `Authorization`. All of them are
 * read, because two tickets are ambiguous wherever they are.
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

// RFC 9110 section 11.4: a case-insensitive scheme, then spaces.
const scheme = /^(ticket|bearer)(?: +|$)/i

/**
 * The ticket in `Authorization`: anything after `Ticket`, but after `Bearer` only what has the form
 * of a ticket, because a bearer token may be meant for a proxy or for the upstream server.
 */
function ticketIn(authorization: string): string | undefined {
  const [start, name] = scheme.exec(authorization) ?? []
  if (start === undefined || name === undefined) return undefined
  const text = authorization.slice(start.length)
  return name.toLowerCase() === 'ticket' || hasTicketForm(text) ? text : undefined
}
