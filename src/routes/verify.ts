import { hasTokenInQuery, readPresentedTickets } from '../admission/presented-tickets.js'
import { type RetryAfter, ticketDetails } from '../admission/refusals.js'
import { type TicketAdmission, toldByTicket } from '../admission/ticket-admission.js'
import { addClaims, headerText } from '../admission/ticket-headers.js'
import type { Clock } from '../clock.js'
import { Refusal, type RefusalCode } from '../errors.js'
import type { ClientView } from '../http/client-view.js'
import type { Exchange } from '../http/exchange.js'
import type { OriginPolicy } from '../http/origins.js'
import { queryValues, type RequestHead } from '../http/request.js'
import type { Reply, Route } from '../http/server.js'
import { isChannelName, routes, ticketHeader } from '../protocol.js'
import type { Counters } from '../telemetry/metrics.js'
import type { Address } from '../ticket/address.js'
import type { VerifiedTicket } from '../ticket/verifier.js'

/** The handshake that a proxy asks about, as the proxy describes it. */
export interface VerifyRequest {
  /** The query of the proxy itself, without `?`. The client controls nothing in it. */
  readonly own: string
  /** The client's query, without `?`. Several if proxies disagree. */
  readonly query: string
  /** The subprotocols offered by the client. */
  readonly protocols: string
  readonly address: Address
  readonly ownOrigin: string
}

interface CheckedTicket {
  readonly text: string
  readonly ticket: VerifiedTicket
}

export interface VerifyParts {
  readonly admission: TicketAdmission
  readonly retryAfter: RetryAfter
  readonly origins: OriginPolicy
  readonly clients: ClientView
  readonly isDraining: () => boolean
  readonly counters: Counters
  readonly clock: Clock
}

/**
 * `/verify`: tells a proxy in front of another WebSocket server whether a handshake may pass. Makes
 * the same checks as the gate itself, and spends the ticket. A 204 admits the client, once.
 */
export function verifyRoutes(parts: VerifyParts): readonly Route<VerifyRequest>[] {
  const { admission, retryAfter, origins, clients, counters, clock } = parts

  function refuse(code: RefusalCode): Refusal {
    const seconds = retryAfter(code)
    const detail = ticketDetails[code]
    return new Refusal(code, {
      ...(detail === undefined ? {} : { detail }),
      ...(seconds === undefined ? {} : { retryAfterSeconds: seconds }),
    })
  }

  /** Returns a valid ticket, not yet spent. */
  function check(head: RequestHead, asked: VerifyRequest, nowMs: number): CheckedTicket {
    if (parts.isDraining()) throw refuse('draining')
    const [channel, ...others] = queryValues(asked.own, 'channel')
    if (others.length > 0) throw new Refusal('bad_request', { detail: 'Request one channel only.' })
    if (channel !== undefined && !isChannelName(channel)) throw refuse('channel_invalid')
    const tickets = [
      ...readPresentedTickets(asked.own, '', '').tickets,
      ...readPresentedTickets(asked.query, asked.protocols, head.authorization).tickets,
    ]
    if (tickets.length > 1) throw refuse('ticket_ambiguous')
    const [text = ''] = tickets
    if (text === '') throw refuse(hasTokenInQuery(asked.query) ? 'token_in_url' : 'ticket_missing')
    const isForeign = head.origin !== '' && !origins.allows(head.origin, () => asked.ownOrigin)
    const presentation = { channel, origin: head.origin, address: () => asked.address }
    const ticket = isForeign ? 'origin_forbidden' : admission.check(text, presentation, nowMs)
    if (typeof ticket === 'string') throw refuseTicket(text, ticket, nowMs)
    return { text, ticket }
  }

  /** Refuses a ticket, and keeps why. */
  function refuseTicket(text: string, code: RefusalCode, nowMs: number): Refusal {
    if (!toldByTicket.has(code)) admission.noteRefusal(text, code, nowMs)
    return refuse(code)
  }

  function accept({ claims }: VerifiedTicket, asked: VerifyRequest): Reply {
    counters.ticketsVerified++
    const headers: Record<string, string> = {
      [ticketHeader.subject]: headerText(claims.user),
      [ticketHeader.channel]: channelOf(asked) ?? '',
      [ticketHeader.expires]: String(claims.sessionEndsAtSeconds),
    }
    if (claims.carried !== undefined) addClaims(headers, claims.carried)
    return { status: '204 No Content', headers, body: '' }
  }

  function read(exchange: Exchange, isAppended: boolean): VerifyRequest {
    const { query, originalUris, webSocketProtocol } = exchange.head
    const uris = originalUris.map(uri => /\?(.*)$/.exec(uri)?.[1] ?? '')
    // Several proxies may name the same URI. If two differ, one may be the client's own.
    const queries = new Set(isAppended ? [query, ...uris] : uris)
    return {
      own: isAppended ? '' : query,
      query: [...queries].join('&'),
      protocols: webSocketProtocol,
      address: clients.address(exchange),
      ownOrigin: clients.ownOrigin(exchange),
    }
  }

  function handler(head: RequestHead, asked: VerifyRequest): Reply | Promise<Reply> {
    const nowMs = clock()
    const { text, ticket } = check(head, asked, nowMs)
    const conclude = (refused: RefusalCode | undefined): Reply => {
      if (refused !== undefined) throw refuseTicket(text, refused, nowMs)
      return accept(ticket, asked)
    }
    const refused = admission.spend(ticket, nowMs)
    return refused instanceof Promise
      ? refused.then(late => conclude(late ?? admission.recheck(ticket, channelOf(asked), clock())))
      : conclude(refused)
  }

  return [
    { path: routes.verify, methods: ['GET'], context: exchange => read(exchange, false), handler },
    // Envoy appends the path and query of the client's request.
    { path: `${routes.verify}/*`, methods: ['GET'], context: exchange => read(exchange, true), handler },
  ]
}

/** The requested channel, once it is known to be a single one. */
const channelOf = ({ own }: VerifyRequest): string | undefined => queryValues(own, 'channel')[0]
