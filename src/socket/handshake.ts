import type { HttpRequest, HttpResponse, us_socket_context_t } from 'uWebSockets.js'
import { keyDetail, type RetryAfter, ticketDetails, upgradeDetail } from '../admission/refusals.js'
import type { SpendResult, TicketAdmission } from '../admission/ticket-admission.js'
import { hasTokenInQuery, readCarriage } from '../admission/ticket-carriage.js'
import type { Clock } from '../clock.js'
import { Refusal, type RefusalCode, refusalCodes } from '../errors.js'
import type { ClientView } from '../http/client-view.js'
import { endAnswer } from '../http/end-answer.js'
import type { OriginPolicy } from '../http/origins.js'
import { problemBody, problemType, statusLine } from '../http/problem.js'
import { fieldValues, framingOf, queryOf } from '../http/request.js'
import type { Server } from '../http/server.js'
import { isChannelName, routes, subprotocol } from '../protocol.js'
import type { Log } from '../telemetry/log.js'
import { type Counters, increment } from '../telemetry/metrics.js'
import type { VerifiedTicket } from '../ticket/verifier.js'
import { type Encoding, encodings } from '../wire/encoding.js'
import type { Application } from './application.js'
import type { ConnectionSlots } from './connection-slots.js'
import { noRights, packAddress, rightsOf, Session, type SocketData } from './session.js'
import { newSessionId } from './session-id.js'
import { type UpgradeFields, upgradeFault } from './upgrade-request.js'

export interface HandshakeParts {
  readonly admission: TicketAdmission
  readonly slots: ConnectionSlots
  readonly retryAfter: RetryAfter
  readonly origins: OriginPolicy
  readonly clients: ClientView
  readonly server: Server
  /** Whether sockets keep the address of their client: asking for it is not free. */
  readonly keepsAddress: boolean
  /** How long a socket without a ticket may take to authenticate by its first message, in seconds; 0 = there is none. */
  readonly firstMessageSeconds: number
  readonly application: Application | undefined
  /** Whether compression is negotiated. */
  readonly compresses: boolean
  readonly isDraining: () => boolean
  readonly counters: Counters
  readonly log: Log
  readonly clock: Clock
}

/** What a handshake is decided on. Addresses and our own origin are not free, so they are read when they are needed. */
interface HandshakeRequest extends UpgradeFields {
  readonly path: string
  readonly query: string
  readonly protocols: string
  readonly origin: string
  readonly ownOrigin: () => string
  readonly address: () => Uint8Array
}

/** How a socket comes in, once that is known to be well formed. */
interface Entrance {
  readonly channel: string
  readonly encoding: Encoding
  readonly origin: string
}

/** A socket that may open as soon as its ticket is spent. */
interface Candidate {
  readonly session: Session
  /** The subprotocol to echo, '' for none. */
  readonly protocol: string
  /** Undefined for a socket that has yet to authenticate by its first message. */
  readonly ticket: VerifiedTicket | undefined
  readonly nowMs: number
}

/** What `res.upgrade` needs of a request that is dead when it comes to that. */
interface Opening {
  readonly key: string
  readonly extensions: string
  readonly context: us_socket_context_t
}

/** The field may come in several lines (RFC 6455 section 11.3.4), and a ticket may be in each. */
const offeredProtocols = (req: HttpRequest): string =>
  req.getHeader('sec-websocket-protocol') === '' ? '' : fieldValues(req, 'sec-websocket-protocol').join(',')

/** What is spoken on a socket, by its subprotocol. */
const encodingOf: ReadonlyMap<string, Encoding> = new Map([
  [subprotocol.json, encodings.json],
  [subprotocol.msgpack, encodings.msgpack],
])

// `Connection` has to name `Upgrade` (RFC 9110 section 7.8), or a proxy would not pass it on.
const upgradeHeaders = { connection: 'upgrade', upgrade: 'websocket', 'sec-websocket-version': '13' }

const bodies = new Map(
  refusalCodes.map(code => [
    code,
    problemBody(code, code === 'bad_request' ? keyDetail : ticketDetails[code]),
  ]),
)

/** Decides on WebSocket handshakes before the 101, and waits for nothing but a replay cache that is elsewhere. */
export class HandshakeHandler {
  readonly #parts: HandshakeParts

  constructor(parts: HandshakeParts) {
    this.#parts = parts
  }

  /** For `app.ws`: a request that asks to become a WebSocket. */
  upgrade(res: HttpResponse, req: HttpRequest, context: us_socket_context_t): void {
    const { server, clients, compresses } = this.#parts
    // We would read a body as frames, and a proxy as the next request.
    if (framingOf(req) !== 'none')
      return server.refuse(
        res,
        req,
        new Refusal('bad_request', { detail: 'A WebSocket handshake has no body.' }),
      )
    const unasked = clients.proxyRefusal(res)
    if (unasked !== undefined) return server.refuse(res, req, unasked)
    const request: HandshakeRequest = {
      path: req.getUrl(),
      query: queryOf(req),
      upgrade: req.getHeader('upgrade'),
      connection: req.getHeader('connection'),
      version: req.getHeader('sec-websocket-version'),
      key: req.getHeader('sec-websocket-key'),
      protocols: offeredProtocols(req),
      origin: req.getHeader('origin'),
      ownOrigin: () => clients.ownOrigin(res, req),
      address: () => clients.address(res, req),
    }
    const decision = this.#safely(() => this.#decide(request))
    if (typeof decision === 'string') return this.#refuse(res, decision)
    this.#enter(res, decision, {
      key: request.key,
      // Compression is the only extension there is.
      extensions: compresses ? req.getHeader('sec-websocket-extensions') : '',
      context,
    })
  }

  /** For a request to the same path without an upgrade, which to uWS is one without a key of 24 characters. */
  plain(res: HttpResponse, req: HttpRequest): void {
    this.#parts.server.refuse(res, req, plainRefusal(req))
  }

  /** A check that throws lets nobody in. */
  #safely<T>(check: () => T): T | RefusalCode {
    try {
      return check()
    } catch (error) {
      if (error instanceof Refusal) return error.code
      this.#parts.log.error({ err: error }, 'a handshake failed')
      return 'internal_error'
    }
  }

  /** All checks but the caps and the one use of the ticket, cheapest first. Changes nothing. */
  #decide(request: HandshakeRequest): Candidate | RefusalCode {
    const { isDraining, firstMessageSeconds, origins } = this.#parts
    if (isDraining()) return 'draining'
    const fault = upgradeFault(request)
    if (fault !== undefined) return fault
    const channel = request.path.slice(routes.channel.length)
    if (!isChannelName(channel)) return 'channel_invalid'

    const { tickets, protocols } = readCarriage(request.query, request.protocols)
    if (tickets.length > 1) return 'ticket_ambiguous'
    const [text] = tickets
    if (!text && hasTokenInQuery(request.query)) return 'token_in_url'
    if (text === '' || (text === undefined && firstMessageSeconds === 0)) return 'ticket_missing'
    const protocol = protocols.find(name => encodingOf.has(name)) ?? ''
    if (protocol === '' && request.protocols !== '') return 'subprotocol_missing'
    const { origin } = request
    if (origin !== '' && !origins.allows(origin, request.ownOrigin)) return 'origin_forbidden'

    const entrance = { channel, origin, encoding: encodingOf.get(protocol) ?? encodings.json }
    return text === undefined
      ? this.#unauthenticated(request, entrance, protocol)
      : this.#ticketed(request, entrance, protocol, text)
  }

  #ticketed(
    request: HandshakeRequest,
    entrance: Entrance,
    protocol: string,
    text: string,
  ): Candidate | RefusalCode {
    const { admission, application, clock } = this.#parts
    const { channel, origin } = entrance
    const nowMs = clock()
    const ticket = admission.check(text, { channel, origin, address: request.address }, nowMs)
    if (typeof ticket === 'string') return ticket
    const { user, session: login, sessionEndsAtSeconds } = ticket.claims
    const data = application?.authorize({
      user,
      session: login,
      channel,
      origin,
      expires: sessionEndsAtSeconds,
    })
    if (data === false) return 'channel_forbidden'
    const session = new Session({
      ...entrance,
      id: login ?? newSessionId(),
      user,
      rights: rightsOf(ticket.claims),
      issuedAtSeconds: ticket.authorizedAtSeconds,
      expiresAtSeconds: sessionEndsAtSeconds,
      address: this.#keptAddress(request),
    })
    if (data !== undefined) session.data = data
    return { session, protocol, ticket, nowMs }
  }

  /** A socket without a ticket, which can do nothing but authenticate by its first message. */
  #unauthenticated(request: HandshakeRequest, entrance: Entrance, protocol: string): Candidate {
    const { clock, firstMessageSeconds } = this.#parts
    const nowMs = clock()
    const session = new Session({
      ...entrance,
      id: '',
      user: '',
      rights: noRights,
      issuedAtSeconds: 0,
      expiresAtSeconds: Math.ceil(nowMs / 1000) + firstMessageSeconds,
      address: this.#keptAddress(request),
    })
    return { session, protocol, ticket: undefined, nowMs }
  }

  #keptAddress(request: HandshakeRequest): string {
    return this.#parts.keepsAddress ? packAddress(request.address()) : ''
  }

  /**
   * Takes a slot, spends the ticket and opens the socket. After the slot is taken nothing can throw but `res.upgrade`, and
   * every way that ends without a socket goes through {@link #conclude}, which releases the slot.
   */
  #enter(res: HttpResponse, candidate: Candidate, opening: Opening): void {
    const { admission, slots } = this.#parts
    const { session, ticket, nowMs } = candidate
    if (!slots.take(session)) return this.#refuse(res, 'too_many_connections')
    const spent = ticket === undefined ? undefined : admission.spend(ticket, nowMs)
    if (spent instanceof Promise) this.#concludeLater(res, spent, candidate, opening)
    else this.#conclude(res, spent, candidate, opening)
  }

  #conclude(
    res: HttpResponse,
    refused: SpendResult,
    { session, protocol }: Candidate,
    opening: Opening,
  ): void {
    const { slots, counters, log } = this.#parts
    if (refused !== undefined) {
      slots.release(session)
      return this.#refuse(res, refused)
    }
    counters.handshakesAccepted++
    if (log.isLevelEnabled('debug'))
      log.debug({ user: session.user, channel: session.channel, session: session.id }, 'handshake accepted')
    const { key, extensions, context } = opening
    try {
      res.upgrade<SocketData>({ session }, key, protocol, extensions, context)
    } catch (error) {
      slots.release(session)
      throw error
    }
  }

  /** After the one wait that there may be: the request is dead, its client may be gone, and the gate may be closing. */
  #concludeLater(
    res: HttpResponse,
    spent: Promise<SpendResult>,
    candidate: Candidate,
    opening: Opening,
  ): void {
    const { slots } = this.#parts
    let aborted = false
    res.onAborted(() => {
      aborted = true
    })
    void spent.then(refused => {
      // The ticket may be spent all the same: nobody is told, so nobody is in.
      if (aborted) return slots.release(candidate.session)
      const late = refused ?? this.#safely(() => this.#recheck(candidate))
      res.cork(() => this.#conclude(res, late, candidate, opening))
    })
  }

  #recheck({ ticket }: Candidate): RefusalCode | undefined {
    const { admission, clock, isDraining } = this.#parts
    if (isDraining()) return 'draining'
    return ticket === undefined ? undefined : admission.recheck(ticket, clock())
  }

  #refuse(res: HttpResponse, code: RefusalCode): void {
    const { counters, log, retryAfter } = this.#parts
    increment(counters.handshakesRefused, code)
    if (log.isLevelEnabled('debug')) log.debug({ code }, 'handshake refused')
    res.writeStatus(statusLine(code))
    res.writeHeader('content-type', problemType).writeHeader('cache-control', 'no-store')
    const seconds = retryAfter(code)
    if (seconds !== undefined) res.writeHeader('retry-after', String(seconds))
    if (code === 'upgrade_required')
      for (const [name, value] of Object.entries(upgradeHeaders)) res.writeHeader(name, value)
    // A client that is refused fails the connection (RFC 6455 section 4.1). Not waiting for that saves a tenth of a refusal.
    endAnswer(res, bodies.get(code) ?? '', true)
  }
}

function plainRefusal(req: HttpRequest): Refusal {
  const method = req.getMethod()
  if (method !== 'get' && method !== 'head')
    return new Refusal('method_not_allowed', { headers: { allow: 'GET, HEAD' } })
  const fault = upgradeFault({
    upgrade: req.getHeader('upgrade'),
    connection: req.getHeader('connection'),
    version: req.getHeader('sec-websocket-version'),
    key: '',
  })
  return fault === 'bad_request'
    ? new Refusal('bad_request', { detail: keyDetail })
    : new Refusal('upgrade_required', { detail: upgradeDetail, headers: upgradeHeaders })
}
