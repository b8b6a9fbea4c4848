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
import { loginSessionOf } from '../ticket/session-id.js'
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
  const verification = new Verification(parts)
  const route = (path: string, isAppended: boolean): Route<VerifyRequest> => ({
    path,
    methods: ['GET'],
    context: exchange => readRequest(exchange, parts.clients, isAppended),
    handler: (head, asked) => verification.spend(head, asked),
  })
  // Envoy appends the path and query of the client's request.
  return [route(routes.verify, false), route(`${routes.verify}/*`, true)]
}

function readRequest(exchange: Exchange, clients: ClientView, isAppended: boolean): VerifyRequest {
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

/** Checks the tickets of handshakes at another server, and spends them. */
class Verification {
  readonly #parts: VerifyParts

  constructor(parts: VerifyParts) {
    this.#parts = parts
  }

  /**
   * Spends the ticket of a handshake. Returns the reply that admits its client.
   * @throws Refusal, also as a rejection
   */
  spend(head: RequestHead, asked: VerifyRequest): Reply | Promise<Reply> {
    const { admission, clock } = this.#parts
    const nowMs = clock()
    const { text, ticket } = this.#check(head, asked, nowMs)
    const conclude = (refused: RefusalCode | undefined): Reply => {
      if (refused !== undefined) throw this.#refuseTicket(text, refused, nowMs)
      return this.#accept(ticket, asked)
    }
    const refused = admission.spend(ticket, nowMs)
    return refused instanceof Promise
      ? refused.then(late => conclude(late ?? admission.recheck(ticket, channelOf(asked), clock())))
      : conclude(refused)
  }

  /** Returns a valid ticket, not yet spent. */
  #check(head: RequestHead, asked: VerifyRequest, nowMs: number): CheckedTicket {
    const { admission, isDraining, origins } = this.#parts
    if (isDraining()) throw this.#refuse('draining')
    const [channel, ...others] = queryValues(asked.own, 'channel')
    if (others.length > 0) throw new Refusal('bad_request', { detail: 'Request one channel only.' })
    if (channel !== undefined && !isChannelName(channel)) throw this.#refuse('channel_invalid')
    const tickets = [
      ...readPresentedTickets(asked.own, '', '').tickets,
      ...readPresentedTickets(asked.query, asked.protocols, head.authorization).tickets,
    ]
    if (tickets.length > 1) throw this.#refuse('ticket_ambiguous')
    const [text = ''] = tickets
    if (text === '') throw this.#refuse(hasTokenInQuery(asked.query) ? 'token_in_url' : 'ticket_missing')
    const isForeign = head.origin !== '' && !origins.allows(head.origin, () => asked.ownOrigin)
    const presentation = { channel, origin: head.origin, address: () => asked.address }
    const ticket = isForeign ? 'origin_forbidden' : admission.check(text, presentation, nowMs)
    if (typeof ticket === 'string') throw this.#refuseTicket(text, ticket, nowMs)
    return { text, ticket }
  }

  #accept({ claims }: VerifiedTicket, asked: VerifyRequest): Reply {
    this.#parts.counters.ticketsVerified++
    const headers: Record<string, string> = {
      [ticketHeader.subject]: headerText(claims.user),
      [ticketHeader.channel]: channelOf(asked) ?? '',
      [ticketHeader.session]: loginSessionOf(claims.session) ?? '',
      [ticketHeader.expires]: String(claims.sessionEndsAtSeconds),
    }
    if (claims.carried !== undefined) addClaims(headers, claims.carried)
    return { status: '204 No Content', headers, body: '' }
  }

  /** Refuses a ticket, and records why. */
  #refuseTicket(text: string, code: RefusalCode, nowMs: number): Refusal {
    if (!toldByTicket.has(code)) this.#parts.admission.noteRefusal(text, code, nowMs)
    return this.#refuse(code)
  }

  #refuse(code: RefusalCode): Refusal {
    const seconds = this.#parts.retryAfter(code)
    const detail = ticketDetails[code]
    return new Refusal(code, {
      ...(detail === undefined ? {} : { detail }),
      ...(seconds === undefined ? {} : { retryAfterSeconds: seconds }),
    })
  }
}

/** The requested channel, once it is known to be a single one. */
const channelOf = ({ own }: VerifyRequest): string | undefined => queryValues(own, 'channel')[0]
