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
  /** Where tickets are presented, up to the path; '' = unknown. */
  readonly baseUrl: () => string
  readonly clock: Clock
}

type Members = Readonly<Record<string, unknown>>

/** What is wrong with one of several specs. */
export interface SpecListFault extends SpecFault {
  /** Its place among them. */
  readonly at: number
}

// A revocation covers the second in which it was made, and where the clocks of other nodes may be
// ahead, the next one.
const longestWaitMs = 2500

const tooLarge = `the claims must take at most ${maxClaimsBytes} bytes when packed: name fewer channels`

/**
 * Issues tickets at the word of the back end, which knows its users by means of its own: there is
 * no token to check. They are signed as the gate's own.
 */
export class BackEndIssuer {
  readonly #parts: BackEndIssuerParts
  #issued = 0

  constructor(parts: BackEndIssuerParts) {
    this.#parts = parts
  }

  /** How many tickets there were so far. */
  get issued(): number {
    return this.#issued
  }

  /**
   * Issues a ticket for each spec, or for none where one of them is faulty.
   * @throws Refusal `draining`, `replay_cache_unavailable`, or `login_busy` for a user who was
   *   disconnected just now
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
      // To date a ticket ahead instead would not do: the next revocation might not reach that date.
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
