import { type Clock, clock as processClock, toSeconds } from '../clock.js'
import { maxClaimsBytes } from '../ticket/claims.js'
import { isNodeName, maxTtlSeconds, minTtlSeconds } from '../ticket/codec.js'
import { issueTicket } from '../ticket/issuer.js'
import { claimsOf, type NewTicket } from './holder.js'
import { requireMembers, requireThat } from './misuse.js'
import { BootKey, readSigningKey, type SigningKey } from './signing-keys.js'

/** Options of {@link createIssuer}. */
export interface IssuerOptions {
  /** Signs the tickets: {@link createBootKey} where the same process verifies them, else a configured key. */
  readonly key: SigningKey
  /**
   * The verifier that the tickets are for: 1 to 32 of `a-z 0-9 -`. Required with a configured key, since
   * spent tickets are remembered by one verifier.
   */
  readonly node?: string | undefined
  /**
   * Lifetime of a ticket: 1 to 3600. It must last from the reply to one request to the start of the next.
   * @default 10
   */
  readonly ttlSeconds?: number | undefined
  /**
   * The time in Unix milliseconds.
   * @default the clock of the process, which never goes backwards; with a configured key, that of the system
   */
  readonly clock?: Clock | undefined
}

export interface IssuedTicket {
  /** Goes into a URL, `?ticket=…`, as it is. It is a secret until it is used. */
  readonly ticket: string
  /** When it expires, Unix seconds. */
  readonly expires: number
}

export interface Issuer {
  /**
   * Returns a fresh ticket. Decide first whether its holder may have it: only the form is checked here.
   * @param options.ttlSeconds overrides that of the issuer
   * @throws TypeError that names the claim or option that is missing, unknown or wrong, or says that the
   *   claims are too large for a ticket (512 bytes packed): then name fewer channels
   */
  issue(claims: NewTicket, options?: { readonly ttlSeconds?: number | undefined }): IssuedTicket
}

const isTtl = (value: unknown): boolean =>
  Number.isInteger(value) && Number(value) >= minTtlSeconds && Number(value) <= maxTtlSeconds
const ttlExpectation = `${minTtlSeconds} to ${maxTtlSeconds}, whole`

/**
 * Issues single-use tickets, without any I/O.
 *
 * @example One process issues and verifies
 * ```js
 * const key = createBootKey()
 * const issuer = createIssuer({ key })
 * const verifier = createVerifier({ keys: [key] })
 * const { ticket, expires } = issuer.issue({ user: 'maggie', expires: sessionEnd, channel: 'lobby' })
 * ```
 *
 * @example A back end issues for a gate elsewhere
 * ```js
 * const issuer = createIssuer({ key: process.env.TICKET_KEY, node: 'gate-1' })
 * ```
 * @throws TypeError that names the option that is missing, unknown or wrong
 */
export function createIssuer(options: IssuerOptions): Issuer {
  requireMembers(options, 'options', ['key', 'node', 'ttlSeconds', 'clock'])
  const { node = '', ttlSeconds: usualTtlSeconds = 10 } = options
  requireThat(node === '' || isNodeName(node), 'node', '1 to 32 of a-z 0-9 -')
  requireThat(isTtl(usualTtlSeconds), 'ttlSeconds', ttlExpectation)
  const [key] = readSigningKey(options.key, node, 'key')
  requireThat(key !== undefined, 'key', 'a boot key or a configured key')
  const isOutside = !(options.key instanceof BootKey)
  requireThat(!isOutside || node !== '', 'node', 'the name of the verifier when the key is a configured one')
  // For verifiers elsewhere the clock must be right, even after the whole machine was paused.
  const clock = options.clock ?? (isOutside ? Date.now : processClock)
  requireThat(typeof clock === 'function', 'clock', 'a function')

  return {
    issue(claims, issueOptions = {}) {
      requireMembers(issueOptions, 'options', ['ttlSeconds'])
      const { ttlSeconds = usualTtlSeconds } = issueOptions
      requireThat(isTtl(ttlSeconds), 'ttlSeconds', ttlExpectation)
      const nowMs = clock()
      requireThat(nowMs >= 0 && nowMs < 2 ** 48, 'clock', 'a function that returns Unix milliseconds')
      const ticket = issueTicket(claimsOf(claims), { key, node, nowMs, ttlSeconds })
      requireThat(ticket !== undefined, 'claims', `at most ${maxClaimsBytes} bytes when packed`)
      return { ticket, expires: Math.min(toSeconds(nowMs) + ttlSeconds, claims.expires) }
    },
  }
}
