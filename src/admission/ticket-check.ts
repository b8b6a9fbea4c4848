import type { RefusalCode } from '../errors.js'
import { claimRefusals, type StoreReplayCache } from '../replay/contract.js'
import { bindingRefusal, type Presented } from '../ticket/bindings.js'
import type { TicketRefusal, VerifiedTicket } from '../ticket/verifier.js'
import { looksLikeJwt } from './ticket-carriage.js'

export interface AdmissionParts {
  readonly verify: (ticket: string, nowMs: number) => VerifiedTicket | TicketRefusal
  readonly isRevoked: (ticket: VerifiedTicket) => boolean
  readonly replay: StoreReplayCache
}

/** Decides on a ticket: first all that it says of itself, then, as the last step of whoever lets it in, its one use. */
export interface Admission {
  /** A ticket that is good here and now, or why it is not. Spends nothing. */
  check(ticket: string, presented: Presented, nowMs: number): VerifiedTicket | RefusalCode
  /**
   * Spends a ticket that was checked at the same instant: undefined once it is spent, or why it can not be. A promise
   * only where what was spent is kept elsewhere.
   */
  spend(ticket: VerifiedTicket, nowMs: number): RefusalCode | undefined | Promise<RefusalCode | undefined>
  /** After a wait for `spend`: why a ticket that is spent now must not let anybody in any more. */
  recheck(ticket: VerifiedTicket, nowMs: number): RefusalCode | undefined
}

export function createAdmission({ verify, isRevoked, replay }: AdmissionParts): Admission {
  return {
    check(text, presented, nowMs) {
      const ticket = verify(text, nowMs)
      if (typeof ticket === 'string')
        return ticket === 'ticket_invalid' && looksLikeJwt(text) ? 'token_in_url' : ticket
      if (isRevoked(ticket)) return 'token_revoked'
      return bindingRefusal(ticket.claims, presented) ?? ticket
    },
    spend(ticket, nowMs) {
      const { nonce, expiresAtMs, claims, keyId } = ticket
      const claimed = replay.claim(nonce, expiresAtMs, nowMs, claims.epoch, keyId)
      return typeof claimed === 'string'
        ? claimRefusals[claimed]
        : claimed.then(outcome => claimRefusals[outcome])
    },
    recheck(ticket, nowMs) {
      if (isRevoked(ticket)) return 'token_revoked'
      return nowMs >= ticket.claims.sessionEndsAtSeconds * 1000 ? 'ticket_expired' : undefined
    },
  }
}
