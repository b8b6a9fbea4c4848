import type { TokenCheck, TokenDenial } from '../admission/token-check.js'
import { type Clock, toSeconds } from '../clock.js'
import { Refusal, retryAfterSeconds } from '../errors.js'
import { parseJsonObject } from '../http/body.js'
import { channelDetail } from '../http/problem.js'
import { queryValues, type RequestHead } from '../http/request.js'
import type { Route } from '../http/server.js'
import { isChannelName, routes, ticketParameter } from '../protocol.js'
import type { Counters } from '../telemetry/metrics.js'
import type { TicketClaims } from '../ticket/claims.js'
import { mayPublish, maySubscribe } from '../ticket/rights.js'
import type { TokenClaims } from '../token/claims.js'

/** What a ticket is tied to beyond its channel, and where it is to be presented. */
export interface TicketContext {
  /** Address prefix to bind to; undefined = none. */
  readonly address: Uint8Array | undefined
  /** The URL tickets are presented at, up to the path; '' = unknown. */
  readonly baseUrl: string
}

export interface TicketParts {
  readonly check: TokenCheck
  /** A ticket's text, or undefined when its claims are too large. */
  readonly issue: (claims: TicketClaims, nowMs: number) => string | undefined
  /**
   * The life of the store in which tickets are spent, where there is one.
   * @throws Refusal `replay_cache_unavailable`
   */
  readonly epoch: () => Uint8Array | undefined
  readonly ticketTtlSeconds: number
  readonly bindOrigin: boolean
  readonly context: Route<TicketContext>['context']
  readonly isDraining: () => boolean
  readonly counters: Counters
  readonly clock: Clock
}

/** `/ws_ticket`: a token for a ticket. */
export function ticketRoute(parts: TicketParts): Route<TicketContext> {
  const { check, counters, clock } = parts
  return {
    path: routes.ticket,
    methods: ['GET', 'POST'],
    context: parts.context,
    handler(head, context, body) {
      if (parts.isDraining())
        throw new Refusal('draining', {
          retryAfterSeconds: 1,
          detail: 'This server is shutting down; try again.',
        })
      const nowMs = clock()
      const token = check.identify(readBearer(head.authorization), nowMs)
      if ('code' in token) throw denied(token)
      const channel = readChannel(head, body)
      const denial = check.permit(token, channel, nowMs)
      if (denial !== undefined) throw denied(denial)
      const origin = parts.bindOrigin && head.origin !== '' ? head.origin : undefined
      const { address } = context
      const ticket = parts.issue(
        ticketClaims(token, { channel, origin, address, epoch: parts.epoch() }),
        nowMs,
      )
      if (ticket === undefined)
        throw new Refusal('channel_forbidden', {
          detail: 'The list of channels does not fit into a ticket: ask for one channel.',
        })
      counters.ticketsIssued++
      const expires = Math.min(toSeconds(nowMs) + parts.ticketTtlSeconds, token.expiresAtSeconds)
      const url =
        context.baseUrl === ''
          ? ''
          : `,"url":"${context.baseUrl}${routes.channel}${channel ?? ''}?${ticketParameter}=${ticket}"`
      // Nothing in here needs escaping: a ticket is base64url, a channel name and a base URL are checked.
      return { body: `{"ticket":"${ticket}","expires":${expires}${url}}` }
    },
  }
}

interface Bindings {
  readonly channel: string | undefined
  readonly origin: string | undefined
  readonly address: Uint8Array | undefined
  readonly epoch: Uint8Array | undefined
}

/** The claims of a ticket for the bearer of `token`. One that is bound to a channel carries no lists of others. */
function ticketClaims(token: TokenClaims, { channel, origin, address, epoch }: Bindings): TicketClaims {
  const publish = channel === undefined ? token.publish : mayPublish(token, channel) ? undefined : []
  const subscribe = channel === undefined ? token.subscribe : maySubscribe(token, channel) ? undefined : []
  return {
    user: token.user,
    sessionEndsAtSeconds: token.expiresAtSeconds,
    tokenIssuedAtSeconds: token.issuedAtSeconds,
    session: token.session,
    channel,
    publish,
    subscribe,
    origin,
    address,
    epoch,
  }
}

const bearerPattern = /^bearer +([A-Za-z0-9._~+/-]+=*) *$/i

/** The token of `Authorization: Bearer` (RFC 6750 section 2.1). */
function readBearer(authorization: string): string {
  const token = bearerPattern.exec(authorization)?.[1]
  if (token !== undefined) return token
  throw unauthorized(/^bearer\b/i.test(authorization) ? 'token_invalid' : 'token_missing')
}

const challenge = 'Bearer realm="ticketgate"'

function denied({ code, waitMs }: TokenDenial): Refusal {
  if (code === 'channel_forbidden')
    return new Refusal(code, { detail: 'The token gives no right on this channel.' })
  if (code === 'rate_limited')
    return new Refusal(code, {
      detail: 'Too many tickets for this user.',
      retryAfterSeconds: retryAfterSeconds(waitMs),
    })
  if (code === 'keys_unavailable')
    return new Refusal(code, {
      detail: 'The identity provider has not been reached yet; try again.',
      retryAfterSeconds: 1,
    })
  return unauthorized(code)
}

/** A 401 with the challenge of RFC 6750 section 3. */
function unauthorized(code: 'token_missing' | 'token_invalid' | 'token_expired' | 'token_revoked'): Refusal {
  const details = {
    token_missing: 'Send Authorization: Bearer with the token that /auth gave.',
    token_invalid: 'This is not a token of this server.',
    token_expired: 'Log in again.',
    token_revoked: 'What this token was given has ended. Log in again.',
  }
  const headers = {
    'www-authenticate':
      code === 'token_missing'
        ? challenge
        : `${challenge}, error="invalid_token", error_description="${code}"`,
  }
  return new Refusal(code, { detail: details[code], headers })
}

/** The channel asked for, in the query or the body; undefined = none in particular. */
function readChannel(head: RequestHead, body: Buffer): string | undefined {
  const values: unknown[] = queryValues(head.query, 'channel')
  if (body.length > 0) {
    const { channel } = parseJsonObject(body, head.contentType)
    if (channel !== undefined) values.push(channel)
  }
  if (values.length > 1) throw new Refusal('bad_request', { detail: 'Ask for one channel.' })
  const [channel] = values
  if (channel === undefined) return undefined
  if (typeof channel !== 'string') throw new Refusal('bad_request', { detail: 'A channel name is a string.' })
  if (!isChannelName(channel)) throw new Refusal('channel_invalid', { detail: channelDetail })
  return channel
}
