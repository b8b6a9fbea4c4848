import type { Clock } from '../clock.js'
import { type RefusalCode, retryAfterSeconds } from '../errors.js'
import { channelDetail } from '../http/problem.js'
import { subprotocol } from '../protocol.js'
import type { StoreReplayCache } from '../replay/contract.js'

export const upgradeDetail = 'Open this as a WebSocket, version 13.'

export const keyDetail = 'Sec-WebSocket-Key must be 16 bytes in base64 (RFC 6455 section 4.1).'

/** Everything that is not in a code, for people: what to do about it. */
export const ticketDetails: Partial<Record<RefusalCode, string>> = {
  channel_invalid: channelDetail,
  subprotocol_missing: `Offer ${subprotocol.json} or ${subprotocol.msgpack} beside the ticket: a browser drops a connection without one.`,
  ticket_ambiguous: 'Present one ticket: in the query, among the subprotocols, or in Authorization.',
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
  replay_cache_unavailable:
    'Whether this ticket was used can not be told now. Try again; if it is refused then, take a new one.',
  upstream_unavailable: 'The server behind cannot be reached now. This ticket is not spent; try again.',
  draining: 'This server is shutting down. Take a new ticket and try again.',
}

/** Codes that pass by themselves, and when to try again. */
const usualSeconds: Partial<Record<RefusalCode, number>> = {
  too_many_connections: 5,
  replay_cache_unavailable: 1,
  upstream_unavailable: 2,
  draining: 1,
}

/** For `Retry-After`: when a code will have passed by itself, in seconds, as far as can be told. */
export type RetryAfter = (code: RefusalCode) => number | undefined

/**
 * @param replay asked how long a full cache stays full
 * @param earliestOutsideMs the least `issuedAt` of tickets of outside minters, Unix milliseconds
 */
export const createRetryAfter =
  (replay: Pick<StoreReplayCache, 'roomInMs'>, earliestOutsideMs: number, clock: Clock): RetryAfter =>
  code => {
    if (code === 'replay_cache_full') return retryAfterSeconds(replay.roomInMs(clock()))
    if (code === 'ticket_predates_gate') return retryAfterSeconds(Math.max(0, earliestOutsideMs - clock()))
    return usualSeconds[code]
  }
