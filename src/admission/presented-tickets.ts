import { queryValues } from '../http/request.js'
import { subprotocol, ticketParameter } from '../protocol.js'

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

/** Reads the raw query and the `Sec-WebSocket-Protocol` field. */
export function readPresentedTickets(query: string, offered: string): PresentedTickets {
  const tickets = queryValues(query, ticketParameter)
  const protocols: string[] = []
  if (offered !== '')
    for (const entry of offered.split(',')) {
      const name = entry.trim()
      if (name.startsWith(subprotocol.ticketPrefix)) tickets.push(name.slice(subprotocol.ticketPrefix.length))
      else protocols.push(name)
    }
  return { tickets, protocols }
}
