import {
  hasTokenInQuery,
  type PresentedTickets,
  readPresentedTickets,
} from '../admission/presented-tickets.js'
import { keyDetail, type RetryAfter, ticketDetails, upgradeDetail } from '../admission/refusals.js'
import { type SpendRefusal, type TicketAdmission, toldByTicket } from '../admission/ticket-admission.js'
import { type Clock, toSeconds } from '../clock.js'
import { Refusal, type RefusalCode, refusalCodes } from '../errors.js'
import type { ClientView } from '../http/client-view.js'
import type { Exchange } from '../http/exchange.js'
import type { OriginPolicy } from '../http/origins.js'
import { problemBody, problemMediaType, statusLine } from '../http/problem.js'
import type { RequestHead } from '../http/request.js'
import type { Server } from '../http/server.js'
import { Stopwatch } from '../telemetry/durations.js'
import type { EventFields, EventSink } from '../telemetry/events.js'
import type { Log } from '../telemetry/log.js'
import { type Counters, increment } from '../telemetry/metrics.js'
import { noClaims } from '../ticket/carried-claims.js'
import { loginSessionOf, newSessionId } from '../ticket/session-id.js'
import type { VerifiedTicket } from '../ticket/verifier.js'
import type { Encoding } from '../wire/encoding.js'
import type { Application } from './application.js'
import { acceptedExtensions, type Compression } from './compression.js'
import type { ConnectionSlots } from './connection-slots.js'
import {
  aboutSession,
  noRights,
  packAddress,
  rightsOf,
  Session,
  type SharedFields,
  type SocketData,
} from './session.js'
import { upgradeFault } from './upgrade-request.js'

/** What is specific to the handshakes of one kind of route. */
export interface Entry {
  /** Why nothing can be opened at a path, undefined if something can. */
  pathRefusal(path: string): RefusalCode | undefined
  /** The channel of such a path. */
  channelOf(path: string): string
  /**
   * Which of the subprotocols offered beside the ticket to select, '' for none; undefined if none
   * fits.
   */
  protocolOf(offered: readonly string[]): string | undefined
  /** The encoding for the selected one. */
  encodingOf(protocol: string): Encoding
  /**
   * Prepares what the session needs from the request. Called last before the ticket is spent: a
   * returned code refuses the handshake.
   */
  prepare?(
    exchange: Exchange,
    session: Session,
    ticket: VerifiedTicket,
    offered: string,
  ): RefusalCode | undefined
  /** What to do about a refusal, if it differs from the general advice. */
  readonly details?: Partial<Record<RefusalCode, string>>
}

export interface HandshakeParts {
  readonly entry: Entry
  readonly admission: TicketAdmission
  readonly slots: ConnectionSlots
  readonly retryAfter: RetryAfter
  readonly origins: OriginPolicy
  readonly clients: ClientView
  readonly server: Server
  /** Whether sockets keep the address of their client, which costs time to read. */
  readonly keepsAddress: boolean
  /**
   * How long a socket without a ticket may take to authenticate by its first message, in seconds; 0
   * = there is none.
   */
  readonly firstMessageSeconds: number
  readonly application: Application | undefined
  readonly compression: Compression
  readonly isDraining: () => boolean
  readonly counters: Counters
  readonly events: EventSink
  readonly log: Log
  readonly clock: Clock
}

/** A socket that can open once its ticket is spent. */
interface Candidate {
  readonly session: Session
  /** The subprotocol to select, '' for none. */
  readonly protocol: string
  /** The extensions that uWS should negotiate, '' for none. */
  readonly extensions: string
  /** Undefined for a socket that has yet to authenticate by its first message. */
  readonly ticket: VerifiedTicket | undefined
  readonly nowMs: number
}

// `Connection` must list `Upgrade` (RFC 9110 section 7.8), or a proxy would not forward it.
const upgradeHeaders = { connection: 'upgrade', upgrade: 'websocket', 'sec-websocket-version': '13' }

/** The user of a refused ticket, and the channel of its handshake. */
interface AboutRefused {
  readonly user: string
  readonly session: string | undefined
  readonly channel: string
}

/** The bodies of all refusals. */
const bodiesOf = ({ details = {} }: Entry): ReadonlyMap<RefusalCode, string> =>
  new Map(
    refusalCodes.map(code => [
      code,
      problemBody(code, details[code] ?? (code === 'bad_request' ? keyDetail : ticketDetails[code])),
    ]),
  )

/**
 * Decides on WebSocket handshakes before the 101. Waits for nothing except a remote replay cache.
 */
export class HandshakeHandler {
  readonly #parts: HandshakeParts
  readonly #bodies: ReadonlyMap<RefusalCode, string>
  readonly #stopwatch: Stopwatch

  constructor(parts: HandshakeParts) {
    this.#parts = parts
    this.#bodies = bodiesOf(parts.entry)
    this.#stopwatch = new Stopwatch(parts.counters.durations.handshake)
  }

  /** For `app.ws`: a request to become a WebSocket. */
  upgrade(exchange: Exchange): void {
    const startedMs = this.#stopwatch.start()
    const { server, clients } = this.#parts
    // We would read a body as frames, and a proxy would read it as the next request.
    if (exchange.head.body !== 'none')
      return server.refuse(
        exchange,
        new Refusal('bad_request', { detail: 'A WebSocket handshake has no body.' }),
      )
    const refusal = clients.proxyRefusal(exchange)
    if (refusal !== undefined) return server.refuse(exchange, refusal)
    const decision = this.#safely(() => this.#decide(exchange))
    if (typeof decision === 'string') this.#refuse(exchange, decision)
    else this.#enter(exchange, decision, startedMs)
  }

  /**
   * Handles a request to the same path without an upgrade. To uWS, this is any request without a
   * key of 24 characters.
   */
  plain(exchange: Exchange): void {
    const refusal = plainRefusal(exchange.head)
    // Most likely, a proxy does not forward the upgrade, and the page sees only 1006.
    this.#note(exchange.head, refusal.code)
    this.#parts.server.refuse(exchange, refusal)
  }

  /** If a check throws, the handshake is refused. */
  #safely<T>(check: () => T): T | RefusalCode {
    try {
      return check()
    } catch (error) {
      if (error instanceof Refusal) return error.code
      this.#parts.log.error({ err: error }, 'a handshake failed')
      return 'internal_error'
    }
  }

  /**
   * All checks except the caps and the single use of the ticket, cheapest first. Changes nothing.
   */
  #decide(exchange: Exchange): Candidate | RefusalCode {
    const { entry, isDraining, firstMessageSeconds, origins, clients } = this.#parts
    if (isDraining()) return 'draining'
    const { head } = exchange
    const fault = upgradeFault(head)
    if (fault !== undefined) return fault
    const unopened = entry.pathRefusal(head.path)
    if (unopened !== undefined) return unopened

    const { tickets, protocols } = presentedIn(head)
    if (tickets.length > 1) return 'ticket_ambiguous'
    const [text] = tickets
    if (!text && hasTokenInQuery(head.query)) return 'token_in_url'
    if (text === '' || (text === undefined && firstMessageSeconds === 0)) return 'ticket_missing'
    const protocol = head.webSocketProtocol === '' ? '' : entry.protocolOf(protocols)
    if (protocol === undefined) return 'subprotocol_missing'
    const { origin } = head
    if (origin !== '' && !origins.allows(origin, () => clients.ownOrigin(exchange))) return 'origin_forbidden'

    const shared = { channel: entry.channelOf(head.path), origin, encoding: entry.encodingOf(protocol) }
    return text === undefined
      ? this.#unauthenticated(exchange, shared, protocol)
      : this.#ticketed(exchange, shared, protocol, text)
  }

  #ticketed(
    exchange: Exchange,
    shared: SharedFields,
    protocol: string,
    text: string,
  ): Candidate | RefusalCode {
    const { admission, application, clients, clock, entry } = this.#parts
    const { channel, origin } = shared
    const nowMs = clock()
    const presented = { channel, origin, address: () => clients.address(exchange) }
    const ticket = admission.check(text, presented, nowMs)
    if (typeof ticket === 'string') return ticket
    const { user, session: named, sessionEndsAtSeconds, carried } = ticket.claims
    const data = application?.authorize({
      user,
      session: loginSessionOf(named),
      channel,
      origin,
      expires: sessionEndsAtSeconds,
      claims: carried ?? noClaims,
    })
    if (data === false) return 'channel_forbidden'
    // The application may have revoked the ticket there.
    const revoked = application && admission.revokedBy(ticket, channel)
    if (revoked !== undefined) return revoked
    // Member by member: a spread takes longer here than the MAC of the ticket.
    const session = new Session({
      channel,
      origin,
      encoding: shared.encoding,
      id: named ?? newSessionId(),
      user,
      rights: rightsOf(ticket.claims),
      issuedAtSeconds: ticket.authorizedAtSeconds,
      expiresAtSeconds: sessionEndsAtSeconds,
      address: this.#keptAddress(exchange),
      openedAtSeconds: toSeconds(nowMs),
    })
    if (carried !== undefined) session.carried = carried
    if (data !== undefined) session.data = data
    const unready = entry.prepare?.(exchange, session, ticket, protocol)
    if (unready !== undefined) return unready
    return { session, protocol, extensions: this.#extensions(exchange), ticket, nowMs }
  }

  /** A socket without a ticket, which can do nothing but authenticate by its first message. */
  #unauthenticated(exchange: Exchange, shared: SharedFields, protocol: string): Candidate {
    const { clock, firstMessageSeconds } = this.#parts
    const nowMs = clock()
    const session = new Session({
      ...shared,
      id: '',
      user: '',
      rights: noRights,
      issuedAtSeconds: 0,
      expiresAtSeconds: Math.ceil(nowMs / 1000) + firstMessageSeconds,
      address: this.#keptAddress(exchange),
      openedAtSeconds: toSeconds(nowMs),
    })
    return { session, protocol, extensions: this.#extensions(exchange), ticket: undefined, nowMs }
  }

  #keptAddress(exchange: Exchange): string {
    const { keepsAddress, clients } = this.#parts
    return keepsAddress ? packAddress(clients.address(exchange)) : ''
  }

  #extensions({ head }: Exchange): string {
    const { compression } = this.#parts
    return compression === 'off' ? '' : acceptedExtensions(head.webSocketExtensions, compression)
  }

  /**
   * Takes a slot, spends the ticket and opens the socket. Once the slot is taken, nothing can throw
   * except `res.upgrade`, and every path without a socket goes through {@link #conclude}, which
   * releases the slot.
   */
  #enter(exchange: Exchange, candidate: Candidate, startedMs: number): void {
    const { admission, slots } = this.#parts
    const { session, ticket, nowMs } = candidate
    if (!slots.take(session)) return this.#refuse(exchange, 'too_many_connections')
    const spent = ticket === undefined ? undefined : admission.spend(ticket, nowMs)
    if (spent instanceof Promise) this.#concludeLater(exchange, spent, candidate, startedMs)
    else this.#conclude(exchange, spent, candidate, startedMs)
  }

  #conclude(exchange: Exchange, refused: SpendRefusal, candidate: Candidate, startedMs: number): void {
    const { session, protocol, extensions } = candidate
    const { slots, counters, log, server } = this.#parts
    if (refused !== undefined) {
      slots.release(session)
      return this.#refuse(exchange, refused)
    }
    counters.handshakesAccepted++
    if (log.isLevelEnabled('debug'))
      log.debug({ ...aboutSession(session), ...server.requests.of(exchange) }, 'handshake accepted')
    try {
      exchange.upgrade<SocketData>({ session }, protocol, extensions)
      this.#stopwatch.stop(startedMs)
    } catch (error) {
      slots.release(session)
      throw error
    }
  }

  /**
   * After the only possible wait: the request is dead, its client may be gone, and the gate may be
   * closing.
   */
  #concludeLater(
    exchange: Exchange,
    spent: Promise<SpendRefusal>,
    candidate: Candidate,
    startedMs: number,
  ): void {
    void spent.then(refused =>
      exchange.inOwnTurn(
        () => {
          const late = refused ?? this.#safely(() => this.#recheck(candidate))
          this.#conclude(exchange, late, candidate, startedMs)
        },
        // The ticket may have been spent nevertheless: the client gets no socket.
        () => this.#parts.slots.release(candidate.session),
      ),
    )
  }

  #recheck({ ticket, session }: Candidate): RefusalCode | undefined {
    const { admission, clock, isDraining } = this.#parts
    if (isDraining()) return 'draining'
    return ticket === undefined ? undefined : admission.recheck(ticket, session.channel, clock())
  }

  /**
   * What the path and the ticket say. Nothing from a ticket that this gate did not issue, because
   * it, and the rest of the path, could be anything, even a password.
   */
  readonly #aboutRefused = ({ head }: Exchange): AboutRefused | undefined => {
    const { admission, entry } = this.#parts
    const { tickets } = presentedIn(head)
    const [text = ''] = tickets
    const claims = tickets.length === 1 ? admission.claimsOf(text) : undefined
    if (claims === undefined) return undefined
    const { user, session } = claims
    const channel = entry.pathRefusal(head.path) === undefined ? entry.channelOf(head.path) : ''
    return { user, session, channel }
  }

  #refusalFields(exchange: Exchange, code: RefusalCode): EventFields['refused'] {
    const about = this.#aboutRefused(exchange)
    return about === undefined ? { code } : { code, user: about.user, channel: about.channel }
  }

  #note(head: RequestHead, code: RefusalCode): void {
    const { admission, clock } = this.#parts
    const { tickets } = presentedIn(head)
    if (tickets.length === 1 && tickets[0]) admission.noteRefusal(tickets[0], code, clock())
  }

  #refuse(exchange: Exchange, code: RefusalCode): void {
    const { counters, events, retryAfter, server } = this.#parts
    increment(counters.handshakesRefused, code)
    server.requests.refused('handshake refused', exchange, code, undefined, this.#aboutRefused)
    if (events.isOn) events.tellSampled('refused', () => this.#refusalFields(exchange, code))
    if (!toldByTicket.has(code)) this.#note(exchange.head, code)
    const seconds = retryAfter(code)
    exchange.answer({
      status: statusLine(code),
      contentType: problemMediaType,
      headers:
        code === 'upgrade_required'
          ? upgradeHeaders
          : seconds === undefined
            ? undefined
            : { 'retry-after': String(seconds) },
      body: this.#bodies.get(code),
      // A client that is refused fails the connection (RFC 6455 section 4.1). Not waiting for that
      // saves a tenth of a refusal.
      closes: true,
    })
  }
}

const presentedIn = (head: RequestHead): PresentedTickets =>
  readPresentedTickets(head.query, head.webSocketProtocol, head.authorization)

function plainRefusal(head: RequestHead): Refusal {
  if (head.method !== 'get' && head.method !== 'head')
    return new Refusal('method_not_allowed', { headers: { allow: 'GET, HEAD' } })
  const fault = upgradeFault(head)
  return fault === 'bad_request'
    ? new Refusal('bad_request', { detail: keyDetail })
    : new Refusal('upgrade_required', { detail: upgradeDetail, headers: upgradeHeaders })
}
