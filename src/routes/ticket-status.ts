import type { TicketAdmission } from '../admission/ticket-admission.js'
import type { Clock } from '../clock.js'
import { Refusal, retryAfterSeconds } from '../errors.js'
import { addressKey } from '../http/address.js'
import { parseJsonObject, requireJson } from '../http/body.js'
import type { ClientView } from '../http/client-view.js'
import type { Route } from '../http/server.js'
import { refuseUnknown } from '../http/unknown-names.js'
import type { RateLimiter } from '../limits/rate.js'
import { routes, type TicketStatusReply } from '../protocol.js'
import type { Address } from '../ticket/address.js'

export interface TicketStatusParts {
  readonly admission: TicketAdmission
  readonly limiter: RateLimiter
  readonly clients: ClientView
  readonly clock: Clock
}

/**
 * `/ws_ticket/status`: reports the state of a ticket to a page whose socket failed, because
 * browsers show scripts only close code 1006. Also reports why the ticket was refused, while that
 * is remembered. Spends nothing.
 */
export function ticketStatusRoute(parts: TicketStatusParts): Route<Address> {
  const { admission } = parts

  async function statusOf(text: string): Promise<TicketStatusReply> {
    const nowMs = parts.clock()
    const ticket = admission.verify(text, nowMs)
    if (ticket === 'ticket_expired') return { state: 'expired' }
    if (ticket === 'replay_cache_unavailable') throw new Refusal(ticket, { retryAfterSeconds: 1 })
    if (ticket === 'ticket_predates_gate') return { state: 'invalid', refused: ticket }
    if (typeof ticket === 'string') return { state: 'invalid' }
    const refused = admission.refusalOf(ticket)
    // A store that has another epoch has no such ticket, and reports it as spent.
    if (refused === 'ticket_predates_gate') return { state: 'invalid', refused }
    const isSpent = await admission.isSpent(ticket, nowMs)
    const revoked = admission.revokedBy(ticket)
    // Spent or not, this is what it is refused with.
    if (revoked !== undefined) return { state: isSpent ? 'used' : 'invalid', refused: revoked }
    if (isSpent === undefined) throw new Refusal('replay_cache_unavailable', { retryAfterSeconds: 1 })
    return isSpent ? { state: 'used' } : { state: 'live', refused }
  }

  return {
    path: routes.ticketStatus,
    methods: ['POST'],
    context: exchange => parts.clients.address(exchange),
    async handler(head, address, body) {
      // Before it counts, so that no page can use up the requests of its visitors.
      requireJson(head)
      // User names contain no control characters, so these keys never clash with those of users.
      const waitMs = parts.limiter.take(`\0${addressKey(address)}`, parts.clock())
      if (waitMs > 0)
        throw new Refusal('rate_limited', {
          detail: 'Too many requests from this address.',
          retryAfterSeconds: retryAfterSeconds(waitMs),
        })
      const members = parseJsonObject(body, head)
      refuseUnknown('member', Object.keys(members), ['ticket'])
      const { ticket } = members
      if (typeof ticket !== 'string')
        throw new Refusal('bad_request', { detail: 'The body must be {"ticket": "…"}.' })
      return { body: JSON.stringify(await statusOf(ticket)) }
    },
  }
}
