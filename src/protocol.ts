/**
 * Names on the wire: routes, parameters, subprotocols, close codes. Server and client share them,
 * so this file imports nothing.
 */

/** The routes that `ticketgate/client` uses. */
export const clientRoutes = {
  ticket: '/ws_ticket',
  ticketStatus: '/ws_ticket/status',
  renew: '/ws_ticket/renew',
  channel: '/channel/',
} as const

// Marked as pure, so that bundlers leave it out of pages. They would keep an object with a spread.
export const routes = /* @__PURE__ */ Object.assign(
  {
    auth: '/auth',
    health: '/healthz',
    ready: '/readyz',
    verify: '/verify',
    backchannelLogout: '/backchannel-logout',
    metrics: '/metrics',
    connections: '/connections',
    channels: '/channels',
    tickets: '/tickets',
    publish: '/publish',
    disconnect: '/disconnect',
    events: '/events',
  } as const,
  clientRoutes,
)

/**
 * What `/verify` reports to the proxy, and a tunnel to the upstream server, about the holder of a
 * ticket.
 */
export const ticketHeader = {
  subject: 'x-ticket-subject',
  channel: 'x-ticket-channel',
  session: 'x-ticket-session',
  expires: 'x-ticket-expires',
  /** All of this in a signed JWT. */
  assertion: 'x-ticket-assertion',
  /** The prefix of headers for the claims that the ticket carries. */
  claimPrefix: 'x-ticket-claim-',
} as const

/** What else a tunnel reports to the upstream server about the request. */
export const forwardedHeader = {
  for: 'x-forwarded-for',
  proto: 'x-forwarded-proto',
  host: 'x-forwarded-host',
  requestId: 'x-request-id',
} as const

/** The `type` of a problem (RFC 9457) that the server reports. */
export const problemType = (code: string): string => `urn:ticketgate:problem:${code}`

export const ticketParameter = 'ticket'

/** The encoding of messages on a socket; its subprotocol decides. */
export type EncodingName = 'json' | 'msgpack'

export const subprotocol = {
  json: 'ticketgate.v1.json',
  msgpack: 'ticketgate.v1.msgpack',
  /** `ticket.<ticket>` among the offered subprotocols carries the ticket. It is never echoed. */
  ticketPrefix: 'ticket.',
} as const

export const closeCode = {
  messageTooBig: 1009,
  internalError: 1011,
  draining: 1012,
  sessionExpired: 4401,
  revoked: 4403,
  authTimeout: 4408,
  /** The first message of a socket without a ticket was not `auth`. */
  authRequired: 4410,
  /** The token of the first message gives no right on the channel. */
  channelForbidden: 4411,
  rateLimited: 4429,
  /** The token of the first message cannot be checked yet. */
  keysUnavailable: 4503,
} as const

/** Further close codes with which the gate ends a tunnel. Those of both ends pass through. */
export const tunnelCloseCode = {
  /** The upstream server has chosen a subprotocol that the client was not told. */
  protocolError: 1002,
  /** The upstream server reads too slowly. */
  tryAgainLater: 1013,
  /** The upstream server is unreachable, or the connection to it was lost. */
  badGateway: 1014,
} as const

/** The requests that a client sends on a socket, by their `type`. */
export type RequestType = 'publish' | 'subscribe' | 'unsubscribe' | 'renew' | 'auth' | 'ping'

/** The first message to every socket. */
export interface WelcomeMessage {
  readonly type: 'welcome'
  readonly session: string
  readonly user: string
  /** The channel in the path. */
  readonly channel: string
  /** When the session ends, Unix seconds. */
  readonly expires: number
}

/** A reply carries the `id` of its request. */
interface Reply {
  readonly id?: string | number
}

export interface RenewedMessage extends Reply {
  readonly type: 'renewed'
  /** When the session ends now, Unix seconds. */
  readonly expires: number
}

export interface ErrorMessage extends Reply {
  readonly type: 'error'
  readonly code: string
  readonly detail: string
}

export interface OkMessage extends Reply {
  readonly type: 'ok' | 'pong'
}

/**
 * The session ends in `withinSeconds` unless the client renews it with a ticket of a fresh token.
 */
export interface RenewRequiredMessage {
  readonly type: 'renew_required'
  readonly withinSeconds: number
  /** The message of the operator. */
  readonly reason?: string
}

/**
 * The socket was unsubscribed from a channel: the operator revoked it, or the rights of a renewal do
 * not cover it.
 */
export interface UnsubscribedMessage {
  readonly type: 'unsubscribed'
  readonly channel: string
  /** The message of the operator. */
  readonly reason?: string
}

/** What the server sends unasked once a socket is open. */
export type NoticeMessage = RenewRequiredMessage | UnsubscribedMessage

export type ReplyMessage = RenewedMessage | ErrorMessage | OkMessage

/** The reply of `/ws_ticket`. */
export interface TicketReply {
  readonly ticket: string
  /** When the ticket expires, Unix seconds. */
  readonly expires: number
  /** The complete WebSocket URL to open, if the server knows its own. */
  readonly url?: string
  /** The session of the socket that it opens, of a server that can renew it by `/ws_ticket/renew`. */
  readonly session?: string
  /** When that session ends, Unix seconds. */
  readonly sessionExpires?: number
}

/** The reply of `/ws_ticket/renew`. */
export interface RenewReply {
  /** When the sockets that were extended end, Unix seconds. */
  readonly expires: number
  /** The session that they belong to now, if it is known. */
  readonly session?: string | undefined
  /** How many sockets of the gate that was asked were extended. */
  readonly extended: number
  /** Whether the other gates were told: they do not say how many sockets they have extended. */
  readonly forwarded: boolean
}

/** The state of a ticket, as `/ws_ticket/status` reports it. */
export type TicketState = 'live' | 'used' | 'expired' | 'invalid'

/** The reply of `/ws_ticket/status`. */
export interface TicketStatusReply {
  readonly state: TicketState
  /**
   * The code with which a ticket that is unspent, or whose session was revoked, was last refused, or
   * would be refused.
   */
  readonly refused?: string | undefined
}

/** The close reason that tells a client when to reconnect. */
export const retryAfterReason = (waitMs: number): string => `retry_after_ms=${Math.ceil(waitMs)}`

/** The wait that a close reason asks for, in milliseconds; undefined if none. */
export function retryAfterIn(reason: string): number | undefined {
  const digits = /retry_after_ms=(\d{1,9})/.exec(reason)?.[1]
  return digits === undefined ? undefined : Number(digits)
}

/** The most bytes of UTF-8 in the reason of a close frame (RFC 6455 section 5.5). */
export const maxCloseReasonBytes = 123

/** Codes of the in-band `error` message. */
export const messageError = {
  malformed: 'bad_message',
  unknownType: 'unknown_type',
  channelInvalid: 'channel_invalid',
  channelForbidden: 'channel_forbidden',
  tooManyChannels: 'too_many_channels',
  publishQueueFull: 'publish_queue_full',
  userMismatch: 'user_mismatch',
} as const

const plainNames = /^[ -~]{1,256}$/
const channelNames = /^[A-Za-z0-9._~:@-]{0,128}$/
const channelPatterns = /^[A-Za-z0-9._~:@-]{0,128}\*?$/

/** The form of a channel name, for error messages. */
export const channelNameForm = '0 to 128 of A-Z a-z 0-9 . _ ~ : @ -'

/**
 * A channel name: 0 to 128 of `A-Z a-z 0-9 . _ ~ : @ -`. The empty name is a channel like any
 * other.
 */
export const isChannelName = (name: string): boolean => channelNames.test(name)

/** A channel name, or the start of one followed by `*`. */
export const isChannelPattern = (pattern: string): boolean => channelPatterns.test(pattern)

// Neither the types of the DOM nor those of Node are available here, so no TextEncoder.
const utf8Length = (text: string): number => encodeURIComponent(text).replace(/%../g, '.').length

/** A user name, the `sub` of tokens: 1 to 256 bytes of UTF-8 without control characters. */
export const isUserName = (name: string): boolean =>
  plainNames.test(name) ||
  // Lone surrogates (Cs) have no UTF-8 form: two such names would become one.
  (name !== '' && !/[\p{Cc}\p{Cs}]/u.test(name) && utf8Length(name) <= 256)

/** The id of a login session: 1 to 128 visible ASCII characters, as OpenID providers make them. */
export const isSessionId = (id: string): boolean => /^[!-~]{1,128}$/.test(id)

/** The id of one open socket, as the admin listener names it. */
export const isSocketId = (id: string): boolean => /^[A-Za-z0-9_-]{8}\.\d{1,16}$/.test(id)

/** The most bytes of UTF-8 in the message with which an operator ends something. */
export const maxRevocationReasonBytes = 100

/** A message of the operator to clients: 1 to 100 bytes of UTF-8 without control characters. */
export const isRevocationReason = (reason: string): boolean =>
  reason !== '' && !/[\p{Cc}\p{Cs}]/u.test(reason) && utf8Length(reason) <= maxRevocationReasonBytes

/** Whether a value that JSON.parse returned is an object: neither null nor an array. */
export const isJsonObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
