// routes/: one HTTP route per file: reads the request, asks admission, writes the reply. No state
// of its own.

import { type IssueRefusal, socketBase, type TicketIssuer, ticketUrl } from '../admission/ticket-issuer.js'
import type { TokenCheck } from '../admission/token-check.js'
import type { Clock } from '../clock.js'
import type { Config } from '../config/schema.js'
import { Refusal } from '../errors.js'
import { maxBodyBytes, parseJsonObject } from '../http/body.js'
import type { ClientView } from '../http/client-view.js'
import { channelDetail } from '../http/problem.js'
import type { RequestHead } from '../http/request.js'
import type { RequestLog } from '../http/request-log.js'
import type { Route } from '../http/server.js'
import { refuseUnknown } from '../http/unknown-names.js'
import { isChannelName, routes } from '../protocol.js'
import { Stopwatch } from '../telemetry/durations.js'
import type { Log } from '../telemetry/log.js'
import type { Counters } from '../telemetry/metrics.js'
import { type Address, prefixOf } from '../ticket/address.js'
import { denied, readToken } from './bearer.js'

/** What is read from the connection while the request is alive. */
export interface TicketContext {
  /** The address prefix to bind the ticket to; undefined = none. */
  readonly address: Uint8Array | undefined
  /** The base of the URL at which tickets are presented; '' = unknown. */
  readonly baseUrl: string
  /** For the log, if issued tickets are logged. */
  readonly about: object | undefined
}

export interface TicketRouteParts {
  readonly config: Pick<Config, 'bind' | 'bindAddressBits' | 'maxTokenBytes' | 'publicUrl' | 'production'>
  readonly check: TokenCheck
  readonly issuer: TicketIssuer
  readonly clients: ClientView
  readonly isDraining: () => boolean
  readonly counters: Counters
  readonly clock: Clock
  readonly log: Log
  readonly requests: RequestLog
}

/** `/ws_ticket`: exchanges a token for a ticket. */
export function ticketRoute(parts: TicketRouteParts): Route<TicketContext> {
  const { check, issuer, counters, clock, log } = parts
  const stopwatch = new Stopwatch(counters.durations.ticket)
  const bindsOrigin = parts.config.bind.includes('origin')
  return {
    path: routes.ticket,
    methods: ['GET', 'POST'],
    isHot: true,
    context: contextReader(parts),
    // An oversized token gets another refusal than an oversized body.
    maxBodyBytes: parts.config.maxTokenBytes + maxBodyBytes,
    handler(head, { address, baseUrl, about }, body) {
      const startedMs = stopwatch.start()
      if (parts.isDraining())
        throw new Refusal('draining', {
          retryAfterSeconds: 1,
          detail: 'This server is shutting down; try again.',
        })
      const nowMs = clock()
      const asked = body.length > 0 ? parseJsonObject(body, head) : {}
      const token = check.identify(readToken(head.authorization, asked.token), nowMs)
      if ('code' in token) throw denied(token)
      if (body.length > 0) refuseUnknown('member', Object.keys(asked), ['channel', 'token'])
      const channel = readChannel(head, asked.channel)
      const refusal = check.permit(token, channel, nowMs)
      if (refusal !== undefined) throw denied(refusal)
      const origin = bindsOrigin && head.origin !== '' ? head.origin : undefined
      const issued = issuer.issue(token, { channel, origin, address }, nowMs)
      if (typeof issued === 'string') throw notIssued(issued, channel)
      counters.ticketsIssued++
      const { ticket, expires, session } = issued
      const url = baseUrl === '' ? '' : `,"url":"${ticketUrl(baseUrl, channel, ticket)}"`
      stopwatch.stop(startedMs)
      if (about !== undefined)
        log.debug({ user: token.user, session: token.session, channel, ...about }, 'ticket issued')
      // None of these values needs escaping: a ticket is base64url; channel name and base URL are
      // validated.
      const renewable = session === undefined ? '' : renewableBy(session, token.expiresAtSeconds)
      return { body: `{"ticket":"${ticket}","expires":${expires}${url}${renewable}}` }
    },
  }
}

/** What a client needs to renew a socket in a tunnel. */
const renewableBy = (session: string, expires: number): string =>
  `,"session":${JSON.stringify(session)},"sessionExpires":${expires}`

/**
 * Reads what a ticket is bound to and where it will be presented. Disabled options cost nothing.
 */
function contextReader({
  config,
  clients,
  log,
  requests,
}: TicketRouteParts): Route<TicketContext>['context'] {
  const bindsAddress = config.bind.includes('address')
  const { v4, v6 } = config.bindAddressBits
  const bound = (address: Address): Uint8Array => prefixOf(address, address.length === 4 ? v4 : v6)
  const publicBase = config.publicUrl === undefined ? undefined : socketBase(config.publicUrl)
  let isTold = log.isLevelEnabled('debug')
  log.on('level-change', () => {
    isTold = log.isLevelEnabled('debug')
  })
  return exchange => ({
    address: bindsAddress ? bound(clients.address(exchange)) : undefined,
    baseUrl: publicBase ?? (config.production ? '' : clients.ownOrigin(exchange).replace(/^http/, 'ws')),
    about: isTold ? requests.of(exchange) : undefined,
  })
}

const notIssued = (reason: IssueRefusal, channel: string | undefined): Refusal =>
  reason === 'claims_too_large'
    ? new Refusal('channel_forbidden', {
        detail:
          channel === undefined
            ? 'The list of channels does not fit into a ticket: request a ticket for one channel.'
            : 'The user, the session and the claims of the token do not fit into a ticket, even for one channel.',
      })
    : new Refusal(reason, {
        detail: 'No ticket would be accepted right now; try again.',
        retryAfterSeconds: 1,
      })

/** The requested channel, from the query or the body; undefined = none in particular. */
function readChannel(head: RequestHead, inBody: unknown): string | undefined {
  const values: unknown[] = channelsInQuery(head.query)
  if (inBody !== undefined) values.push(inBody)
  if (values.length > 1) throw new Refusal('bad_request', { detail: 'Request one channel only.' })
  const [channel] = values
  if (channel === undefined) return undefined
  if (typeof channel !== 'string')
    throw new Refusal('bad_request', { detail: 'The channel must be a string.' })
  if (!isChannelName(channel)) throw new Refusal('channel_invalid', { detail: channelDetail })
  return channel
}

// Fast path for queries that need no decoding.
const plainQuery = /^channel=([A-Za-z0-9._~:@-]*)$/

/**
 * Query builders encode more than necessary (WHATWG URL, section 5.1): `a%3Ab` is the channel `a:b`
 * here.
 */
function channelsInQuery(query: string): string[] {
  if (query === '') return []
  const plain = plainQuery.exec(query)?.[1]
  if (plain !== undefined) return [plain]
  const all = new URLSearchParams(query)
  refuseUnknown('parameter', all.keys(), ['channel'])
  return all.getAll('channel')
}
