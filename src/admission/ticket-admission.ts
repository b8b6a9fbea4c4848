// admission/: who gets in: checking tokens and tickets, spending, issuing. No requests, no sockets.

import type { RefusalCode } from '../errors.js'
import { outcomeRefusals, type StoreReplayCache } from '../replay/contract.js'
import { type Durations, observe } from '../telemetry/durations.js'
import type { Log } from '../telemetry/log.js'
import { bindingRefusal, type Presented } from '../ticket/bindings.js'
import type { TicketClaims } from '../ticket/claims.js'
import type { KeyRing } from '../ticket/key-ring.js'
import {
  type TicketPolicy,
  type TicketRefusal,
  type VerifiedTicket,
  verifyTicket,
} from '../ticket/verifier.js'
import type { Revocations } from '../token/revocation.js'
import { looksLikeJwt } from './presented-tickets.js'
import type { RefusalMemory } from './refusal-memory.js'

export interface TicketAdmissionParts {
  /** The current verification keys, and the policy for tickets. */
  readonly keys: { readonly ring: () => KeyRing; readonly policy: TicketPolicy }
  readonly revocations: Pick<Revocations, 'covers' | 'onChannel'>
  readonly replay: Pick<StoreReplayCache, 'spend' | 'has'>
  /** Records how long a remote store took to spend a ticket. */
  readonly spendDurations: Durations
  readonly refusals: RefusalMemory
  readonly log: Log
}

/**
 * Refusals that are not recorded: the ticket itself shows why it is refused, or there is no single
 * ticket.
 */
export const toldByTicket: ReadonlySet<RefusalCode> = new Set<RefusalCode>([
  'ticket_ambiguous',
  'ticket_expired',
  'ticket_invalid',
  'ticket_missing',
  'ticket_used',
  'token_in_url',
  'wrong_node',
])

/** The start of Unix time: then no ticket has expired, and none is too young. */
const ofAnyTime = {
  skewMs: Number.POSITIVE_INFINITY,
  earliestOutsideMs: Number.NEGATIVE_INFINITY,
  outsideUntilMs: Number.POSITIVE_INFINITY,
} as const

/** Undefined if the ticket was spent; otherwise why not. */
export type SpendRefusal = RefusalCode | undefined

/**
 * Decides whether a ticket admits its holder: checks all that it says, then, as the last step
 * before the socket opens, spends it.
 */
export class TicketAdmission {
  readonly #parts: TicketAdmissionParts

  constructor(parts: TicketAdmissionParts) {
    this.#parts = parts
  }

  /** Returns a ticket whose MAC, time and node are valid, or why it is refused. Spends nothing. */
  verify(text: string, nowMs: number): VerifiedTicket | TicketRefusal {
    const { ring, policy } = this.#parts.keys
    return verifyTicket(text, ring(), nowMs, policy)
  }

  /** What a ticket says if its MAC is valid, expired or not: for the log only. */
  claimsOf(text: string): TicketClaims | undefined {
    const { ring, policy } = this.#parts.keys
    const ticket = verifyTicket(text, ring(), 0, { ...policy, ...ofAnyTime })
    return typeof ticket === 'string' ? undefined : ticket.claims
  }

  /** Returns the revocation that covers a ticket, if there is one. */
  revokedBy(
    { claims, authorizedAtSeconds }: VerifiedTicket,
    channel: string | undefined = claims.channel,
  ): 'token_revoked' | 'channel_forbidden' | undefined {
    const { revocations } = this.#parts
    const authority = {
      user: claims.user,
      session: claims.session,
      issuedAtSeconds: authorizedAtSeconds,
    }
    if (revocations.covers(authority)) return 'token_revoked'
    if (channel === undefined || revocations.onChannel(authority, channel) === undefined) return undefined
    return 'channel_forbidden'
  }

  /** Whether a ticket was spent. Undefined if unknown. A promise only with a remote store. */
  isSpent(
    { nonce, expiresAtMs, claims, keyId }: VerifiedTicket,
    nowMs: number,
  ): boolean | undefined | Promise<boolean | undefined> {
    return this.#parts.replay.has(nonce, expiresAtMs, nowMs, claims.epoch, keyId)
  }

  /** Returns a ticket that is valid here and now, or why it is refused. Spends nothing. */
  check(text: string, presented: Presented, nowMs: number): VerifiedTicket | RefusalCode {
    const ticket = this.verify(text, nowMs)
    if (typeof ticket === 'string')
      return ticket === 'ticket_invalid' && looksLikeJwt(text) ? 'token_in_url' : ticket
    const revoked = this.revokedBy(ticket, presented.channel)
    return revoked ?? bindingRefusal(ticket.claims, presented) ?? ticket
  }

  /**
   * Spends a ticket that was checked at the same instant. Returns a promise only with a remote
   * store. Never throws or rejects: if the replay cache fails, that is logged and the ticket
   * refused (`internal_error`).
   */
  spend(
    { nonce, expiresAtMs, claims, keyId }: VerifiedTicket,
    nowMs: number,
  ): SpendRefusal | Promise<SpendRefusal> {
    try {
      const outcome = this.#parts.replay.spend(nonce, expiresAtMs, nowMs, claims.epoch, keyId)
      if (typeof outcome === 'string') return outcomeRefusals[outcome]
      const startedMs = performance.now()
      return outcome.then(
        late => {
          observe(this.#parts.spendDurations, performance.now() - startedMs)
          return outcomeRefusals[late]
        },
        error => this.#failed(error),
      )
    } catch (error) {
      return this.#failed(error)
    }
  }

  /** Returns why a ticket no longer admits its holder after the wait for `spend`. */
  recheck(ticket: VerifiedTicket, channel: string | undefined, nowMs: number): RefusalCode | undefined {
    const revoked = this.revokedBy(ticket, channel)
    if (revoked !== undefined) return revoked
    return nowMs >= ticket.claims.sessionEndsAtSeconds * 1000 ? 'ticket_expired' : undefined
  }

  /**
   * Records the code with which a ticket was refused, so that its holder can ask for it. Does
   * nothing unless the MAC is valid.
   */
  noteRefusal(text: string, code: RefusalCode, nowMs: number): void {
    const ticket = this.verify(text, nowMs)
    if (typeof ticket !== 'string') this.#parts.refusals.note(ticket.nonce, code)
  }

  /** The code with which a ticket was last refused, if it is remembered. */
  refusalOf({ nonce }: VerifiedTicket): RefusalCode | undefined {
    return this.#parts.refusals.find(nonce)
  }

  #failed(error: unknown): RefusalCode {
    this.#parts.log.error({ err: error }, 'the replay cache failed')
    return 'internal_error'
  }
}
