import type { RefusalCode } from '../errors.js'
import { type Address, isInPrefix } from '../http/address.js'
import type { ReplayCache } from '../replay/contract.js'
import { mayOpen } from '../ticket/rights.js'
import type { TicketRefusal, VerifiedTicket } from '../ticket/verifier.js'
import { looksLikeJwt } from './ticket-carriage.js'

/** Where and by whom a ticket is presented. Who asks for the address pays for it. */
export interface Presentation {
  readonly channel: string
  /** The header `Origin`, '' where there is none. */
  readonly origin: string
  readonly address: () => Address
}

export interface AdmissionParts {
  readonly verify: (ticket: string, nowMs: number) => VerifiedTicket | TicketRefusal
  readonly isRevoked: (ticket: VerifiedTicket) => boolean
  readonly replay: ReplayCache
}

/** Decides on a ticket: first all that it says of itself, then, as the last step of whoever lets it in, its one use. */
export interface Admission {
  /** A ticket that is good here and now, or why it is not. Spends nothing. */
  check(ticket: string, presentation: Presentation, nowMs: number): VerifiedTicket | RefusalCode
  /** Spends a ticket that was checked at the same instant: undefined once it is spent, or why it can not be. */
  spend(ticket: VerifiedTicket, nowMs: number): RefusalCode | undefined
}

export function createAdmission({ verify, isRevoked, replay }: AdmissionParts): Admission {
  return {
    check(text, { channel, origin, address }, nowMs) {
      const ticket = verify(text, nowMs)
      if (typeof ticket === 'string')
        return ticket === 'ticket_invalid' && looksLikeJwt(text) ? 'token_in_url' : ticket
      if (isRevoked(ticket)) return 'token_revoked'
      const { claims } = ticket
      if (!mayOpen(claims, channel)) return 'channel_forbidden'
      if (claims.origin !== undefined && claims.origin !== origin) return 'origin_forbidden'
      if (claims.address !== undefined && !isInPrefix(address(), claims.address)) return 'address_mismatch'
      return ticket
    },
    spend(ticket, nowMs) {
      return claimRefusals[replay.claim(ticket.nonce, ticket.expiresAtMs, nowMs)]
    },
  }
}

const claimRefusals = {
  fresh: undefined,
  replayed: 'ticket_used',
  full: 'replay_cache_full',
  unavailable: 'replay_cache_unavailable',
} as const
