import type { HttpRequest, HttpResponse, us_socket_context_t } from 'uWebSockets.js'
import { keyDetail, type RetryAfter, ticketDetails, upgradeDetail } from '../admission/refusals.js'
import { hasTokenInQuery, readCarriage } from '../admission/ticket-carriage.js'
import type { Admission } from '../admission/ticket-check.js'
import type { Clock } from '../clock.js'
import { Refusal, type RefusalCode, refusalCodes } from '../errors.js'
import { addressKey } from '../http/address.js'
import { endAnswer } from '../http/end-answer.js'
import type { OriginPolicy } from '../http/origins.js'
import { problemBody, problemType, statusLine } from '../http/problem.js'
import { type ClientView, fieldValues, framingOf, queryOf } from '../http/request.js'
import type { Server } from '../http/server.js'
import type { ConnectionCaps } from '../limits/caps.js'
import { isChannelName, routes, subprotocol } from '../protocol.js'
import type { Log } from '../telemetry/log.js'
import { type Counters, increment } from '../telemetry/metrics.js'
import type { VerifiedTicket } from '../ticket/verifier.js'
import { type Encoding, encodings } from '../wire/encoding.js'
import type { Embedding } from './application.js'
import { type Lobby, newSessionId } from './first-message.js'
import { addressKeyOf, noRights, packAddress, rightsOf, Session, type SocketData } from './session.js'
import { upgradeFault } from './upgrade-request.js'

export interface GateParts {
  readonly admission: Admission
  readonly retryAfter: RetryAfter
  readonly origins: OriginPolicy
  readonly clients: ClientView
  readonly server: Server
  readonly caps: ConnectionCaps
  /** Whether sockets keep the address of their client: asking for it is not free. */
  readonly keepsAddress: boolean
  /** First-message auth, where it is on. */
  readonly firstMessage: { readonly lobby: Lobby; readonly seconds: number } | undefined
  readonly embedding: Embedding | undefined
  /** Whether compression is negotiated. */
  readonly compresses: boolean
  readonly isDraining: () => boolean
  readonly counters: Counters
  readonly log: Log
  readonly clock: Clock
}

/** What a handshake is decided on. Addresses and our own origin cost something, so they are asked for. */
interface Handshake {
  readonly path: string
  readonly query: string
  readonly upgrade: string
  readonly connection: string
  readonly version: string
  readonly key: string
  readonly protocols: string
  readonly origin: string
  readonly ownOrigin: () => string
  readonly address: () => Uint8Array
}

interface Admitted {
  readonly session: Session
  /** The subprotocol to echo, '' for none. */
  readonly protocol: string
}

/** The field may come in several lines (RFC 6455 section 11.3.4), and a ticket may be in each. */
const offeredProtocols = (req: HttpRequest): string =>
  req.getHeader('sec-websocket-protocol') === '' ? '' : fieldValues(req, 'sec-websocket-protocol').join(',')

type Decision = Admitted | RefusalCode

/** What may be spoken on a socket, by its subprotocol. */
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

/**
 * The gate: a uWS upgrade handler that decides before the 101, and waits on nothing but a store elsewhere.
 */
export function createGateKeeper(parts: GateParts) {
  const { admission, retryAfter, origins, clients, caps, embedding, counters, log, clock } = parts

  /**
   * The checks, cheapest first. A refused ticket is not spent, so the claim is the last one and nothing that
   * can fail stands between it and the 101.
   */
  function decide(handshake: Handshake): Decision | Promise<Decision> {
    if (parts.isDraining()) return 'draining'
    const fault = upgradeFault(handshake)
    if (fault !== undefined) return fault
    const channel = handshake.path.slice(routes.channel.length)
    if (!isChannelName(channel)) return 'channel_invalid'

    const { tickets, protocols } = readCarriage(handshake.query, handshake.protocols)
    if (tickets.length > 1) return 'ticket_ambiguous'
    const [text] = tickets
    if (text === undefined || text === '') {
      if (hasTokenInQuery(handshake.query)) return 'token_in_url'
      if (text === '' || parts.firstMessage === undefined) return 'ticket_missing'
    }
    const protocol = protocols.find(name => encodingOf.has(name)) ?? ''
    if (protocol === '' && handshake.protocols !== '') return 'subprotocol_missing'
    if (handshake.origin !== '' && !origins.allows(handshake.origin, handshake.ownOrigin))
      return 'origin_forbidden'

    const nowMs = clock()
    if (text === undefined) return receive(handshake, channel, protocol, nowMs)
    const ticket = admission.check(
      text,
      { channel, origin: handshake.origin, address: handshake.address },
      nowMs,
    )
    if (typeof ticket === 'string') return ticket
    const { claims } = ticket
    const data = embedding?.authorize({
      user: claims.user,
      session: claims.session,
      channel,
      origin: handshake.origin,
      expires: claims.sessionEndsAtSeconds,
    })
    if (data === false) return 'channel_forbidden'
    const address = parts.keepsAddress ? handshake.address() : undefined
    const addressCounted = address === undefined ? '' : addressKey(address)
    if (!caps.enter(claims.user, addressCounted)) return 'too_many_connections'

    const conclude = (refused: RefusalCode | undefined): Decision => {
      if (refused === undefined) return admit(ticket, channel, protocol, handshake.origin, address, data)
      caps.leave(claims.user, addressCounted)
      return refused
    }
    const refused = admission.spend(ticket, nowMs)
    if (!(refused instanceof Promise)) return conclude(refused)
    return refused.then(
      late => conclude(late ?? admission.recheck(ticket, clock())),
      error => conclude(failed(error)),
    )
  }

  function admit(
    { claims, authorizedAtSeconds }: VerifiedTicket,
    channel: string,
    protocol: string,
    origin: string,
    address: Uint8Array | undefined,
    data: unknown,
  ): Admitted {
    const session = new Session({
      id: claims.session ?? newSessionId(),
      user: claims.user,
      channel,
      rights: rightsOf(claims),
      issuedAtSeconds: authorizedAtSeconds,
      expiresAtSeconds: claims.sessionEndsAtSeconds,
      encoding: encodingOf.get(protocol) ?? encodings.json,
      origin,
      address: address === undefined ? '' : packAddress(address),
    })
    if (data !== undefined) session.data = data
    return { session, protocol }
  }

  /** Lets in a socket without a ticket, to say who it is in its first message. It can do nothing else. */
  function receive(
    handshake: Handshake,
    channel: string,
    protocol: string,
    nowMs: number,
  ): Admitted | RefusalCode {
    if (parts.firstMessage === undefined) return 'ticket_missing'
    const address = parts.keepsAddress ? handshake.address() : undefined
    if (!parts.firstMessage.lobby.enter(address === undefined ? '' : addressKey(address)))
      return 'too_many_connections'
    const session = new Session({
      id: '',
      user: '',
      channel,
      rights: noRights,
      issuedAtSeconds: 0,
      expiresAtSeconds: Math.ceil(nowMs / 1000) + parts.firstMessage.seconds,
      encoding: encodingOf.get(protocol) ?? encodings.json,
      origin: handshake.origin,
      address: address === undefined ? '' : packAddress(address),
    })
    return { session, protocol }
  }

  /** A check that throws lets nobody in. */
  function decideSafely(handshake: Handshake): Decision | Promise<Decision> {
    try {
      return decide(handshake)
    } catch (error) {
      return failed(error)
    }
  }

  function failed(error: unknown): RefusalCode {
    if (error instanceof Refusal) return error.code
    log.error({ err: error }, 'a handshake failed')
    return 'internal_error'
  }

  function refuse(res: HttpResponse, code: RefusalCode): void {
    increment(counters.handshakesRefused, code)
    if (log.isLevelEnabled('debug')) log.debug({ code }, 'handshake refused')
    res.writeStatus(statusLine(code))
    res.writeHeader('content-type', problemType).writeHeader('cache-control', 'no-store')
    const seconds = retryAfter(code)
    if (seconds !== undefined) res.writeHeader('retry-after', String(seconds))
    if (code === 'upgrade_required')
      for (const [name, value] of Object.entries(upgradeHeaders)) res.writeHeader(name, value)
    // A client that is refused fails the connection (RFC 6455 section 4.1). Not to wait for that saves a tenth of a refusal.
    endAnswer(res, bodies.get(code) ?? '', true)
  }

  function accept(
    res: HttpResponse,
    { session, protocol }: Admitted,
    key: string,
    extensions: string,
    context: us_socket_context_t,
  ): void {
    counters.handshakesAccepted++
    if (log.isLevelEnabled('debug'))
      log.debug({ user: session.user, channel: session.channel, session: session.id }, 'handshake accepted')
    res.upgrade<SocketData>({ session }, key, protocol, extensions, context)
  }

  /** The one wait there may be, for a store elsewhere: the request is dead after it, and its client may be gone. */
  function acceptLater(
    res: HttpResponse,
    decision: Promise<Decision>,
    key: string,
    extensions: string,
    context: us_socket_context_t,
  ): void {
    let aborted = false
    res.onAborted(() => {
      aborted = true
    })
    const conclude = (decided: Decision): void => {
      if (aborted) {
        // Its ticket may be spent all the same: nobody is told, so nobody is in.
        if (typeof decided !== 'string') caps.leave(decided.session.user, addressKeyOf(decided.session))
        return
      }
      res.cork(() => {
        if (typeof decided === 'string') refuse(res, decided)
        else accept(res, decided, key, extensions, context)
      })
    }
    decision.then(conclude, error => conclude(failed(error)))
  }

  return {
    /** For `app.ws`: a request that asks to become a WebSocket. */
    upgrade(res: HttpResponse, req: HttpRequest, context: us_socket_context_t): void {
      // A body here would be read as frames by us and as a next request by a proxy.
      if (framingOf(req) !== 'none') {
        parts.server.refuse(
          res,
          req,
          new Refusal('bad_request', { detail: 'A WebSocket handshake has no body.' }),
        )
        return
      }
      const key = req.getHeader('sec-websocket-key')
      const admitted = decideSafely({
        path: req.getUrl(),
        query: queryOf(req),
        upgrade: req.getHeader('upgrade'),
        connection: req.getHeader('connection'),
        version: req.getHeader('sec-websocket-version'),
        key,
        protocols: offeredProtocols(req),
        origin: req.getHeader('origin'),
        ownOrigin: () => clients.ownOrigin(res, req),
        address: () => clients.address(res, req),
      })
      if (typeof admitted === 'string') return refuse(res, admitted)
      // Compression is the only extension there is.
      const extensions = parts.compresses ? req.getHeader('sec-websocket-extensions') : ''
      if (admitted instanceof Promise) return acceptLater(res, admitted, key, extensions, context)
      accept(res, admitted, key, extensions, context)
    },
    /** For the same path without an upgrade, which to uWS is one without a key of 24 characters. */
    plain(res: HttpResponse, req: HttpRequest): void {
      parts.server.refuse(res, req, plainRefusal(req))
    },
  }
}
