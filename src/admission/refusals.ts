import type { Clock } from '../clock.js'
import { type RefusalCode, retryAfterSeconds } from '../errors.js'
import { channelDetail } from '../http/problem.js'
import { subprotocol } from '../protocol.js'
import type { StoreReplayCache } from '../replay/contract.js'

export const upgradeDetail = 'Open this as a WebSocket, version 13.'

export const keyDetail = 'Sec-WebSocket-Key must be 16 bytes in base64 (RFC 6455 section 4.1).'

/** Details for people: what to do about a refusal. */
export const ticketDetails: Partial<Record<RefusalCode, string>> = {
  channel_invalid: channelDetail,
  subprotocol_missing: `Offer ${subprotocol.json} or ${subprotocol.msgpack} besides the ticket: browsers drop connections without one.`,
  ticket_ambiguous: 'Present one ticket: in the query, among the subprotocols, or in Authorization.',
  token_in_url:
    'This is a token, and tokens do not belong in URLs. Exchange it for a ticket: GET /ws_ticket with Authorization: Bearer.',
  ticket_missing: 'Open wss://HOST/channel/NAME?ticket=… with a ticket from /ws_ticket.',
  ticket_invalid: 'This ticket was not issued here, or before the server restarted. Get a new one.',
  ticket_expired: 'Tickets expire within seconds. Get a new one for every attempt.',
  ticket_used: 'A ticket works once. Get a new one for every attempt.',
  token_revoked: 'The session of this ticket has been revoked. Log in again.',
  ticket_predates_gate:
    'This ticket is older than the memory of spent tickets. Get a new one in a few seconds.',
  wrong_node: 'This ticket is for another gate, which it names. It is not spent.',
  origin_forbidden:
    'Pages of this origin may not connect, or the ticket is for another origin. The operator can add origins to TICKETGATE_ORIGINS.',
  channel_forbidden: 'The ticket gives no right on this channel.',
  address_mismatch: 'The ticket was issued to another network address. Get a new one.',
  upgrade_required: upgradeDetail,
  replay_cache_full: 'Too many tickets were used recently. This one is not spent; try again.',
  replay_cache_unavailable:
    'Whether this ticket was used is currently unknown. Try again. If it is refused then, get a new one.',
  upstream_unavailable: 'The upstream server is unreachable. This ticket is not spent; try again.',
  draining: 'This server is shutting down. Get a new ticket and try again.',
}

/** Codes that pass by themselves, and when to try again. */
const usualSeconds: Partial<Record<RefusalCode, number>> = {
  too_many_connections: 5,
  replay_cache_unavailable: 1,
  upstream_unavailable: 2,
  draining: 1,
}

/** For `Retry-After`: the estimated number of seconds until a code has passed by itself. */
export type RetryAfter = (code: RefusalCode) => number | undefined

/**
 * @param replay tells how long a full cache stays full
 * @param earliestOutsideMs the least `issuedAt` of outside minters' tickets, Unix milliseconds
 */
export const createRetryAfter =
  (replay: Pick<StoreReplayCache, 'roomInMs'>, earliestOutsideMs: number, clock: Clock): RetryAfter =>
  code => {
    if (code === 'replay_cache_full') return retryAfterSeconds(replay.roomInMs(clock()))
    if (code === 'ticket_predates_gate') return retryAfterSeconds(Math.max(0, earliestOutsideMs - clock()))
    return usualSeconds[code]
  }
