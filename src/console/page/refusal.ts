import { routes, type TicketStatusReply } from '../../protocol.js'
import { make, status, type WireLine } from './dom.js'
import { ask } from './http.js'

/** What a page can learn of a handshake that failed. */
export interface HandshakeRefusal {
  readonly lines: readonly WireLine[]
  /** In one sentence. */
  readonly reason: string
  /** Whether the ticket is still good, so that it may be presented again. */
  readonly isLive: boolean
}

/** What became of a ticket, in the words of the code with which the gate refuses it. */
const states: Readonly<Record<string, string>> = {
  used: 'ticket_used: it works once.',
  expired: 'ticket_expired: it lives for seconds.',
  invalid: 'ticket_invalid: this server did not issue it, or not since its last start.',
}

/** What to do about the codes with which a ticket is refused that is not spent. */
const advice: Readonly<Record<string, string>> = {
  address_mismatch: 'the ticket was issued to another network address.',
  channel_forbidden: 'the ticket is for another channel, or its user has no right on this one.',
  draining: 'the server is shutting down. Try again with a new ticket.',
  origin_forbidden: 'pages of this origin may not connect, until TICKETGATE_ORIGINS names it.',
  replay_cache_full: 'too many tickets were used lately. Try again in a moment.',
  replay_cache_unavailable: 'whether tickets were used is not known at the moment. Try again.',
  ticket_predates_gate: 'the ticket is older than the memory of spent tickets. Take a new one.',
  token_revoked: 'the session of this ticket has been revoked. Log in again.',
  too_many_connections: 'a limit on open sockets is reached. Close one, or wait.',
}

const unknown =
  'Not the ticket, which is still good and did not come to the gate: is there a proxy in between that does not pass upgrades on?'

/** A page sees a close code and nothing else, so it asks for the reason. */
export async function refusalOf(ticket: string, closeCode: number): Promise<HandshakeRefusal> {
  const seen: WireLine[] = [
    ['←', status('refused before the handshake: no WebSocket')],
    ['seen', `close code ${closeCode}, which is all that a page is told`],
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
