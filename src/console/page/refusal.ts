import { routes, type TicketStatusReply } from '../../protocol.js'
import { make, status, type WireLine } from './dom.js'
import { ask } from './http.js'

/** What a page can learn about a failed handshake. */
export interface HandshakeRefusal {
  readonly lines: readonly WireLine[]
  /** In one sentence. */
  readonly reason: string
  /** Whether the ticket is still valid and may be presented again. */
  readonly isLive: boolean
}

/** The states of a ticket, by the code of its refusal. */
const states: Readonly<Record<string, string>> = {
  used: 'ticket_used: a ticket works once.',
  expired: 'ticket_expired: a ticket is valid for seconds only.',
  invalid: 'ticket_invalid: this server has not issued it since its last start.',
}

/** Advice by code, for refusals that do not spend the ticket. */
const advice: Readonly<Record<string, string>> = {
  address_mismatch: 'the ticket was issued for another network address.',
  channel_forbidden: 'the ticket is for another channel, or its user has no right on this one.',
  draining: 'the server is shutting down. Try again with a new ticket.',
  origin_forbidden: 'pages of this origin may not connect. TICKETGATE_ORIGINS has to name it.',
  replay_cache_full: 'too many tickets were used lately. Try again in a moment.',
  replay_cache_unavailable: 'the server cannot tell right now whether a ticket was used. Try again.',
  ticket_predates_gate: 'the ticket is older than the memory of spent tickets. Take a new one.',
  token_revoked: 'the session of this ticket has been revoked. Log in again.',
  too_many_connections: 'a limit on open sockets is reached. Close one, or wait.',
}

const unknown =
  'The ticket is still valid: it did not reach the gate. Is there a proxy in between that does not forward upgrades?'

/** A page sees only a close code, so it asks the server for the reason. */
export async function refusalOf(ticket: string, closeCode: number): Promise<HandshakeRefusal> {
  const seen: WireLine[] = [
    ['←', status('refused before the handshake: no WebSocket')],
    ['seen', `close code ${closeCode}, which is all that a page learns`],
  ]
  const reply = await ask('POST', routes.ticketStatus, { json: { ticket } }).catch(() => undefined)
  if (reply?.status !== 200)
    return { lines: seen, reason: 'The server does not say why: is it still running?', isLive: false }
  const { state, refused } = reply.body as Partial<TicketStatusReply>
  const said = refused === undefined ? String(state) : `${state}, refused: ${refused}`
  const reason = refused === undefined ? (states[String(state)] ?? unknown) : refusedReason(refused)
  return {
    lines: [
      ...seen,
      ['asked', `POST ${routes.ticketStatus}: ${said}`],
      ['reason', make('strong', {}, reason)],
    ],
    reason,
    isLive: state === 'live',
  }
}

const refusedReason = (code: string): string =>
  advice[code] === undefined ? code : `${code}: ${advice[code]}`
