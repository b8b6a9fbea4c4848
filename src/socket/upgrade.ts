import type { HttpRequest, HttpResponse, us_socket_context_t } from 'uWebSockets.js'
import type { Clock } from '../clock.js'
import { Refusal, type RefusalCode, refusalCodes } from '../errors.js'
import { addressKey } from '../http/address.js'
import type { OriginPolicy } from '../http/origins.js'
import { problemBody, problemType, statusLine } from '../http/problem.js'
import { type ClientView, fieldValues, framingOf, queryOf } from '../http/request.js'
import type { Server } from '../http/server.js'
import { channelDetail } from '../http/ticket.js'
import type { ConnectionCaps } from '../ops/caps.js'
import type { Log } from '../ops/log.js'
import { type Counters, increment } from '../ops/metrics.js'
import { retryAfterSeconds as retrySeconds } from '../ops/rate.js'
import { isChannelName, routes, subprotocol } from '../protocol.js'
import type { ReplayCache } from '../replay/contract.js'
import type { Admission } from './admission.js'
import type { Embedding } from './connection.js'
import { type Encoding, encodings } from './encoding.js'
import { type Lobby, newSessionId } from './first-message.js'
import {
  createSession,
  noRights,
  packAddress,
  rightsOf,
  type Session,
  type SocketData,
  shared,
} from './session.js'
import { hasTokenInQuery, readCarriage } from './ticket-carriage.js'

export interface GateParts {
  readonly admission: Admission
  /** Asked how long a full cache stays full. */
  readonly replay: Pick<ReplayCache, 'roomInMs'>
  readonly origins: OriginPolicy
  readonly clients: ClientView
  readonly server: Server
  readonly caps: ConnectionCaps
  /** The least `issuedAt` of tickets of outside minters, Unix milliseconds. */
  readonly earliestOutsideMs: number
  /** Whether anything goes by the address of an open socket: asking for it is not free. */
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

const asksToUpgrade = /(?:^|[, \t])upgrade(?:$|[, \t])/i

/** The field may come in several lines (RFC 6455 section 11.3.4), and a ticket may be in each. */
const offeredProtocols = (req: HttpRequest): string =>
  req.getHeader('sec-websocket-protocol') === '' ? '' : fieldValues(req, 'sec-websocket-protocol').join(',')

/** What may be spoken on a socket, by its subprotocol. */
const encodingOf: ReadonlyMap<string, Encoding> = new Map([
  [subprotocol.json, encodings.json],
  [subprotocol.msgpack, encodings.msgpack],
])

const upgradeDetail = 'Open this as a WebSocket, version 13.'
const upgradeHeaders = { upgrade: 'websocket', 'sec-websocket-version': '13' }

/** Everything that is not in a code, for people: what to do about it. */
const details: Partial<Record<RefusalCode, string>> = {
  channel_invalid: channelDetail,
  subprotocol_missing: `Offer ${subprotocol.json} or ${subprotocol.msgpack} beside the ticket: a browser drops a connection without one.`,
  ticket_ambiguous: 'Present one ticket, in the query or among the subprotocols.',
  token_in_url:
    'This is a token, and tokens do not belong in URLs. Trade it for a ticket: GET /ws_ticket with Authorization: Bearer.',
  ticket_missing: 'Open wss://HOST/channel/NAME?ticket=… with a ticket from /ws_ticket.',
  ticket_invalid: 'This ticket was not issued here, or not in this life of the server. Take a new one.',
  ticket_expired: 'Tickets live for seconds. Take a new one for every attempt.',
  ticket_used: 'A ticket works once. Take a new one for every attempt.',
  token_revoked: 'What this ticket was traded for has ended. Log in again.',
  ticket_predates_gate:
    'This ticket was issued before the gate could know what was spent. Take a new one in some seconds.',
  wrong_node: 'This ticket names another gate, which alone may accept it. It is not spent.',
  origin_forbidden:
    'Pages of this origin may not connect, or the ticket was issued to another; the operator can add it to TICKETGATE_ORIGINS.',
  channel_forbidden: 'The ticket gives no right on this channel.',
  address_mismatch: 'The ticket was issued to another network address. Take a new one.',
  upgrade_required: upgradeDetail,
  replay_cache_full: 'Too many tickets were used lately. This one is not spent; try again.',
  replay_cache_unavailable: 'Whether this ticket was used can not be told now. It is not spent; try again.',
  draining: 'This server is shutting down. The ticket is not spent, but take a new one and try again.',
}

const bodies = new Map(refusalCodes.map(code => [code, problemBody(code, details[code])]))

/** Codes that pass by themselves, and when to try again. */
const retryAfterSeconds: Partial<Record<RefusalCode, number>> = {
  too_many_connections: 5,
  replay_cache_unavailable: 1,
  draining: 1,
}

/**
 * The gate: a uWS upgrade handler that decides before the 101, without waiting on anything.
 */
export function createGateKeeper(parts: GateParts) {
  const { admission, replay, origins, clients, caps, embedding, counters, log, clock } = parts

  /**
   * The checks, cheapest first. A refused ticket is not spent (I5), so the claim is the last one and nothing that
   * can fail stands between it and the 101.
   */
  function decide(handshake: Handshake): Admitted | RefusalCode {
    if (parts.isDraining()) return 'draining'
    if (handshake.version !== '13' || handshake.upgrade.toLowerCase() !== 'websocket')
      return 'upgrade_required'
    // Without it a proxy passes on a plain request, and would take what follows for more of them (RFC 6455 section 4.2.1).
    if (!asksToUpgrade.test(handshake.connection)) return 'upgrade_required'
    const channel = handshake.path.slice(routes.channel.length)
    if (!isChannelName(channel)) return 'channel_invalid'

    const { tickets, protocols } = readCarriage(handshake.query, handshake.protocols)
    if (tickets.length > 1) return 'ticket_ambiguous'
    const [text] = tickets
    const isUnidentified = text === undefined && parts.firstMessage !== undefined
    if (!isUnidentified && (text === undefined || text === ''))
      return hasTokenInQuery(handshake.query) ? 'token_in_url' : 'ticket_missing'
    if (isUnidentified && hasTokenInQuery(handshake.query)) return 'token_in_url'
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

    const refused = admission.spend(ticket, nowMs)
    if (refused !== undefined) {
      caps.leave(claims.user, addressCounted)
      return refused
    }
    const session = createSession({
      id: claims.session ?? newSessionId(),
      user: claims.user,
      channel: shared(channel),
      rights: rightsOf(claims),
      issuedAtSeconds: ticket.authorizedAtSeconds,
      expiresAtSeconds: claims.sessionEndsAtSeconds,
      encoding: encodingOf.get(protocol) ?? encodings.json,
      origin: shared(handshake.origin),
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
    const address = parts.keepsAddress ? packAddress(handshake.address()) : ''
    if (!parts.firstMessage.lobby.enter()) return 'too_many_connections'
    const session = createSession({
      id: '',
      user: '',
      channel: shared(channel),
      rights: noRights,
      issuedAtSeconds: 0,
      expiresAtSeconds: Math.ceil(nowMs / 1000) + parts.firstMessage.seconds,
      encoding: encodingOf.get(protocol) ?? encodings.json,
      origin: shared(handshake.origin),
      address,
    })
    return { session, protocol }
  }

  /** For `Retry-After`: when a code will have passed by itself, as far as can be told. */
  function waitSeconds(code: RefusalCode): number | undefined {
    if (code === 'replay_cache_full') return retrySeconds(replay.roomInMs(clock()))
    if (code === 'ticket_predates_gate') return retrySeconds(parts.earliestOutsideMs - clock())
    return retryAfterSeconds[code]
  }

  /** A check that throws lets nobody in. */
  function decideSafely(handshake: Handshake): Admitted | RefusalCode {
    try {
      return decide(handshake)
    } catch (error) {
      if (error instanceof Refusal) return error.code
      log.error({ err: error }, 'a handshake failed')
      return 'internal_error'
    }
  }

  function refuse(res: HttpResponse, code: RefusalCode): void {
    increment(counters.handshakesRefused, code)
    if (log.isLevelEnabled('debug')) log.debug({ code }, 'handshake refused')
    res.writeStatus(statusLine(code))
    res.writeHeader('content-type', problemType).writeHeader('cache-control', 'no-store')
    const seconds = waitSeconds(code)
    if (seconds !== undefined) res.writeHeader('retry-after', String(seconds))
    if (code === 'upgrade_required')
      for (const [name, value] of Object.entries(upgradeHeaders)) res.writeHeader(name, value)
    // A client that is refused fails the connection (RFC 6455 section 4.1). Not to wait for that saves a tenth of a refusal.
    res.end(bodies.get(code), true)
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
      const admitted = decideSafely({
        path: req.getUrl(),
        query: queryOf(req),
        upgrade: req.getHeader('upgrade'),
        connection: req.getHeader('connection'),
        version: req.getHeader('sec-websocket-version'),
        protocols: offeredProtocols(req),
        origin: req.getHeader('origin'),
        ownOrigin: () => clients.ownOrigin(res, req),
        address: () => clients.address(res, req),
      })
      if (typeof admitted === 'string') {
        refuse(res, admitted)
        return
      }
      const { session, protocol } = admitted
      counters.handshakesAccepted++
      if (log.isLevelEnabled('debug'))
        log.debug({ user: session.user, channel: session.channel, session: session.id }, 'handshake accepted')
      // Compression is the only extension there is.
      const extensions = parts.compresses ? req.getHeader('sec-websocket-extensions') : ''
      res.upgrade<SocketData>({ session }, req.getHeader('sec-websocket-key'), protocol, extensions, context)
    },
    /** For the same path without an upgrade. */
    plain(res: HttpResponse, req: HttpRequest): void {
      const refusal =
        req.getMethod() === 'get'
          ? new Refusal('upgrade_required', { detail: upgradeDetail, headers: upgradeHeaders })
          : new Refusal('method_not_allowed', { headers: { allow: 'GET' } })
      parts.server.refuse(res, req, refusal)
    },
  }
}
