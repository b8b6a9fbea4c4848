import { toSeconds } from '../clock.js'
import type { Config } from '../config/schema.js'
import type { Keys } from '../disk/gate-keys.js'
import { routes, ticketParameter } from '../protocol.js'
import type { RedisReplayCache } from '../redis/replay.js'
import type { TicketClaims } from '../ticket/claims.js'
import { issuePacked, issueRemembered, issueTicket, type PackedClaims } from '../ticket/issuer.js'
import { mayPublish, maySubscribe } from '../ticket/rights.js'
import { newSessionId } from '../ticket/session-id.js'
import type { TokenClaims } from '../token/claims.js'

/** What a ticket is requested for, and what it is bound to. */
export interface TicketRequest {
  /** The one channel it opens; undefined = every channel of the token. */
  readonly channel: string | undefined
  readonly origin: string | undefined
  /** Address prefix, as in {@link TicketClaims.address}. */
  readonly address: Uint8Array | undefined
}

export interface IssuedTicket {
  readonly ticket: string
  /** Unix seconds. */
  readonly expires: number
  /** The session of the socket that it opens, if sockets can be renewed by it. */
  readonly session?: string
}

/**
 * claims_too_large: the token's list of channels, or its other claims, do not fit into a ticket
 * replay_cache_unavailable: the epoch of the store is unknown, so no ticket would be accepted
 */
export type IssueRefusal = 'claims_too_large' | 'replay_cache_unavailable'

export interface TicketIssuerParts {
  readonly config: Pick<Config, 'node' | 'ticketTtlSeconds' | 'tunnels'>
  readonly keys: Pick<Keys, 'signing'>
  /** The remote store in which tickets are spent, if any. */
  readonly store: Pick<RedisReplayCache, 'epoch'> | undefined
}

/** Issues tickets: to bearers of checked tokens, and on behalf of the back end. */
export class TicketIssuer {
  readonly #keys: TicketIssuerParts['keys']
  readonly #store: TicketIssuerParts['store']
  readonly #node: string
  readonly #ttlSeconds: number
  /** Whether a ticket always names a session: to renew a socket in a tunnel, its client has to. */
  readonly #namesSessions: boolean
  /** The claims of tickets that are bound to nothing, of tokens that come again and again. */
  readonly #packed = new WeakMap<TokenClaims, PackedClaims>()

  constructor({ config, keys, store }: TicketIssuerParts) {
    this.#keys = keys
    this.#store = store
    this.#node = config.node ?? ''
    this.#ttlSeconds = config.ticketTtlSeconds
    this.#namesSessions = config.tunnels.length > 0
  }

  /** @param token must give a right on the requested channel */
  issue(token: TokenClaims, asked: TicketRequest, nowMs: number): IssuedTicket | IssueRefusal {
    if (this.#store === undefined && !this.#namesSessions && isUnbound(token, asked))
      return this.#issueUnbound(token, asked, nowMs)
    const epoch = this.#store?.epoch
    const session = token.session ?? (this.#namesSessions ? newSessionId() : undefined)
    const claims = ticketClaims(token, session, asked, epoch)
    const issued = this.#sign(claims, epoch, nowMs, this.#ttlSeconds)
    if (typeof issued === 'string' || !this.#namesSessions || session === undefined) return issued
    return { ...issued, session }
  }

  /** All tickets of a token that are bound to nothing say the same. */
  #issueUnbound(token: TokenClaims, asked: TicketRequest, nowMs: number): IssuedTicket | IssueRefusal {
    const ttlSeconds = this.#ttlSeconds
    const options = { key: this.#keys.signing(), node: this.#node, nowMs, ttlSeconds }
    const packed = this.#packed.get(token)
    const ticket =
      packed === undefined
        ? issueRemembered(ticketClaims(token, token.session, asked, undefined), token, options, again => {
            this.#packed.set(token, again)
          })
        : issuePacked(packed, options)
    if (ticket === undefined) return 'claims_too_large'
    return { ticket, expires: Math.min(toSeconds(nowMs) + ttlSeconds, token.expiresAtSeconds) }
  }

  /**
   * Issues a ticket with these claims and the epoch of the store.
   * @param ttlSeconds at most the configured lifetime, for which the memory of spent tickets is
   *   sized
   */
  issueClaims(claims: TicketClaims, nowMs: number, ttlSeconds: number): IssuedTicket | IssueRefusal {
    const epoch = this.#store?.epoch
    return this.#sign({ ...claims, epoch }, epoch, nowMs, ttlSeconds)
  }

  #sign(
    claims: TicketClaims,
    epoch: Uint8Array | undefined,
    nowMs: number,
    ttlSeconds: number,
  ): IssuedTicket | IssueRefusal {
    if (this.#store !== undefined && epoch === undefined) return 'replay_cache_unavailable'
    const ticket = issueTicket(claims, { key: this.#keys.signing(), node: this.#node, nowMs, ttlSeconds })
    if (ticket === undefined) return 'claims_too_large'
    return { ticket, expires: Math.min(toSeconds(nowMs) + ttlSeconds, claims.sessionEndsAtSeconds) }
  }
}

/**
 * Whether a ticket says what its token says, and nothing else. Carried claims are for applications,
 * each of which gets its own copy.
 */
const isUnbound = ({ carried }: TokenClaims, { channel, origin, address }: TicketRequest): boolean =>
  channel === undefined && origin === undefined && address === undefined && carried === undefined

/**
 * The claims of a ticket for the bearer of `token`. If it is bound to a channel, it carries no
 * lists of others.
 */
function ticketClaims(
  token: TokenClaims,
  session: string | undefined,
  { channel, origin, address }: TicketRequest,
  epoch: Uint8Array | undefined,
): TicketClaims {
  const publish = channel === undefined ? token.publish : mayPublish(token, channel) ? undefined : []
  const subscribe = channel === undefined ? token.subscribe : maySubscribe(token, channel) ? undefined : []
  return {
    user: token.user,
    sessionEndsAtSeconds: token.expiresAtSeconds,
    tokenIssuedAtSeconds: token.issuedAtSeconds,
    session,
    channel,
    publish,
    subscribe,
    origin,
    address,
    epoch,
    carried: token.carried,
  }
}

/** The base of socket URLs, derived from the HTTP URL of the gate. */
export const socketBase = (url: string): string => url.replace(/^http/, 'ws').replace(/\/+$/, '')

/**
 * The URL to open with a ticket.
 * @param base up to the path, such as `wss://example.com`
 */
export const ticketUrl = (base: string, channel: string | undefined, ticket: string): string =>
  `${base}${routes.channel}${channel ?? ''}?${ticketParameter}=${ticket}`
