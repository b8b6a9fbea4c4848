import { setTimeout as delay } from 'node:timers/promises'
import { type Clock, toSeconds } from '../clock.js'
import type { Config } from '../config/schema.js'
import { Refusal } from '../errors.js'
import type { TicketReply } from '../protocol.js'
import { maxClaimsBytes } from '../ticket/claims.js'
import type { Revocations } from '../token/revocation.js'
import { type TicketIssuer, ticketUrl } from './ticket-issuer.js'
import { readTicketSpec, type SpecFault, type SpecifiedTicket } from './ticket-spec.js'

export interface BackEndIssuerParts {
  readonly config: Pick<Config, 'ticketTtlSeconds' | 'bindAddressBits'>
  readonly issuer: TicketIssuer
  readonly revocations: Pick<Revocations, 'covers' | 'onChannel'>
  readonly isDraining: () => boolean
  /** The base of socket URLs, up to the path; '' if unknown. */
  readonly baseUrl: () => string
  readonly clock: Clock
}

type Members = Readonly<Record<string, unknown>>

/** What is wrong with one of several specs. */
export interface SpecListFault extends SpecFault {
  /** Its index in the list. */
  readonly at: number
}

// A revocation covers the second in which it was made, and where the clocks of other nodes may be
// ahead, the next one.
const longestWaitMs = 2500

const tooLarge = `the claims must take at most ${maxClaimsBytes} bytes when packed: name fewer channels`

/**
 * Issues tickets on behalf of the back end, which authenticates its users itself, so there is no
 * token to check. They are signed with the gate's own key.
 */
export class BackEndIssuer {
  readonly #parts: BackEndIssuerParts
  #issued = 0

  constructor(parts: BackEndIssuerParts) {
    this.#parts = parts
  }

  /** How many tickets have been issued so far. */
  get issued(): number {
    return this.#issued
  }

  /**
   * Issues a ticket for each spec, or none at all if one of them is invalid.
   * @throws Refusal `draining`, `replay_cache_unavailable`, or `login_busy` for a user who was
   *   disconnected a moment ago
   */
  async issue(specs: readonly Members[]): Promise<readonly TicketReply[] | SpecListFault> {
    const startedMs = performance.now()
    for (;;) {
      if (this.#parts.isDraining())
        throw new Refusal('draining', {
          retryAfterSeconds: 1,
          detail: 'This server is shutting down; try again.',
        })
      const nowMs = this.#parts.clock()
      const specified = this.#read(specs, nowMs)
      if ('fault' in specified) return specified
      if (!this.#isRevoked(specified)) return this.#issueAll(specified, nowMs)
      if (performance.now() - startedMs > longestWaitMs)
        throw new Refusal('login_busy', {
          detail: 'This user was logged out everywhere just now. Try again.',
          retryAfterSeconds: 1,
        })
      // Dating the ticket ahead would not help: the next revocation might not cover that date.
      await delay(Math.ceil((toSeconds(nowMs) + 1) * 1000 - nowMs))
    }
  }

  #read(specs: readonly Members[], nowMs: number): readonly SpecifiedTicket[] | SpecListFault {
    const all: SpecifiedTicket[] = []
    for (const spec of specs) {
      const specified = readTicketSpec(spec, this.#parts.config, nowMs)
      if ('fault' in specified) return { fault: specified.fault, at: all.length }
      all.push(specified)
    }
    return all
  }

  #isRevoked(specified: readonly SpecifiedTicket[]): boolean {
    const { revocations } = this.#parts
    return specified.some(({ claims: { user, session, channel, tokenIssuedAtSeconds } }) => {
      const authority = { user, session, issuedAtSeconds: tokenIssuedAtSeconds }
      if (revocations.covers(authority)) return true
      return channel !== undefined && revocations.onChannel(authority, channel) !== undefined
    })
  }

  #issueAll(specified: readonly SpecifiedTicket[], nowMs: number): readonly TicketReply[] | SpecListFault {
    const { issuer, baseUrl } = this.#parts
    const base = baseUrl()
    const replies: TicketReply[] = []
    for (const { claims, ttlSeconds } of specified) {
      const issued = issuer.issueClaims(claims, nowMs, ttlSeconds)
      if (issued === 'claims_too_large') return { fault: tooLarge, at: replies.length }
      if (typeof issued === 'string')
        throw new Refusal(issued, {
          detail: 'No ticket would be accepted now; try again.',
          retryAfterSeconds: 1,
        })
      const { ticket, expires } = issued
      replies.push(base === '' ? issued : { ticket, expires, url: ticketUrl(base, claims.channel, ticket) })
    }
    this.#issued += replies.length
    return replies
  }
}
