import type { LogoutOutcome } from '../admission/logouts.js'
import type { Clock } from '../clock.js'
import type { Config } from '../config/schema.js'
import { Refusal, retryAfterSeconds } from '../errors.js'
import { addressKey } from '../http/address.js'
import { maxBodyBytes, parseForm } from '../http/body.js'
import type { ClientView } from '../http/client-view.js'
import type { Route } from '../http/server.js'
import type { FailureLimit } from '../limits/failure-limit.js'
import { routes } from '../protocol.js'
import type { Issuers } from '../providers/issuers.js'
import type { Log } from '../telemetry/log.js'
import { type Counters, increment } from '../telemetry/metrics.js'
import type { Address } from '../ticket/address.js'
import type { LogoutOrder } from '../token/logout-token.js'
import { codeOf, refuse, type TokenReason, type TokenRefusal } from '../token/refusal.js'

/** Carries out a verified logout token. Resolves once it is in force in every thread. */
export type LogOut = (order: LogoutOrder) => Promise<LogoutOutcome>

export interface BackchannelLogoutParts {
  readonly config: Pick<Config, 'maxTokenBytes'>
  readonly issuers: Pick<Issuers, 'acceptLogouts' | 'logoutTokens'>
  /** Holds off addresses whose signatures fail too often, by {@link logoutFailureRate}. */
  readonly failures: FailureLimit
  readonly logOut: LogOut
  readonly clients: ClientView
  readonly counters: Pick<Counters, 'logouts'>
  readonly clock: Clock
  readonly log: Log
}

/**
 * How often an address may fail. Providers fail less often than that, and an attacker cannot make us
 * verify many tokens.
 */
export const logoutFailureRate = { count: 60, seconds: 60 }

/**
 * The reasons that count as a failure of the sender: everything up to the signature was right. All
 * others cost little, and a provider may send tokens of strangers from its addresses.
 */
const failureReasons: ReadonlySet<TokenReason> = new Set(['signature', 'key_unknown', 'replayed'])

/**
 * `/backchannel-logout`: an identity provider reports that a user has logged out (OpenID Connect
 * Back-Channel Logout 1.0, section 2.5).
 */
export function backchannelLogoutRoute(parts: BackchannelLogoutParts): Route<Address> {
  const { config, issuers, failures, counters, clock, log } = parts
  const warned = new Set<string>()

  /**
   * Logs the first refusal for each reason as a warning: if logout tokens of a provider are
   * refused, its users stay logged in.
   */
  function refused(address: string, { reason, waitMs, hint }: TokenRefusal, nowMs: number): Refusal {
    increment(counters.logouts, reason)
    log[warned.has(reason) ? 'debug' : 'warn']({ reason, hint }, 'logout token refused')
    warned.add(reason)
    if (codeOf(reason) === 'keys_unavailable')
      return new Refusal('keys_unavailable', {
        detail: 'The key of this token is not known yet; try again.',
        retryAfterSeconds: retryAfterSeconds(waitMs),
      })
    if (failureReasons.has(reason)) failures.failed(address, nowMs)
    return new Refusal('logout_token_invalid', {
      detail: 'This is not an unused logout token for this server. The log says why.',
    })
  }

  async function carryOut(address: string, order: LogoutOrder, nowMs: number): Promise<void> {
    const outcome = await parts.logOut(order)
    if (outcome === 'replayed') throw refused(address, refuse('replayed'), nowMs)
    if (outcome === 'full')
      throw new Refusal('revocations_full', {
        detail: 'The limit on revocations is reached. Nothing was done.',
      })
    if (outcome === 'failed') throw new Refusal('internal_error')
    increment(counters.logouts, 'done')
    log.info('user' in order.subject ? 'a user logged out' : 'a session logged out')
  }

  return {
    path: routes.backchannelLogout,
    methods: ['POST'],
    context: exchange => parts.clients.address(exchange),
    maxBodyBytes: config.maxTokenBytes + maxBodyBytes,
    async handler(head, from, body) {
      if (!issuers.acceptLogouts) throw new Refusal('not_found')
      const nowMs = clock()
      const address = addressKey(from)
      const waitMs = failures.waitMs(address, nowMs)
      if (waitMs > 0)
        throw new Refusal('rate_limited', {
          detail: 'Too many logout tokens from this address had an invalid signature, or were used before.',
          retryAfterSeconds: retryAfterSeconds(waitMs),
        })
      const [token, ...others] = parseForm(body, head.contentType).getAll('logout_token')
      if (token === undefined || others.length > 0)
        throw new Refusal('bad_request', { detail: 'Send one logout_token.' })
      const order = issuers.logoutTokens.verify(token, nowMs)
      if ('reason' in order) throw refused(address, order, nowMs)
      await carryOut(address, order, nowMs)
      return { body: '{}' }
    },
  }
}
