import { type Clock, clock as processClock, toSeconds } from '../clock.js'
import { maxClaimsBytes } from '../ticket/claims.js'
import { isNodeName, maxTtlSeconds, minTtlSeconds } from '../ticket/codec.js'
import { issueTicket } from '../ticket/issuer.js'
import { claimsOf, type NewTicket } from './holder.js'
import { requireMembers, requireThat } from './misuse.js'
import { BootKey, readSigningKey, type SigningKey } from './signing-keys.js'

/** Options of {@link createIssuer}. */
export interface IssuerOptions {
  /**
   * Signs the tickets: {@link createBootKey} where the same process verifies them, else a
   * configured key.
   */
  readonly key: SigningKey
  /**
   * The verifier that the tickets are for: 1 to 32 of `a-z 0-9 -`. Required with a configured key,
   * since spent tickets are remembered by one verifier; not allowed with an `epoch`.
   */
  readonly node?: string | undefined
  /**
   * For gates that keep spent tickets in Redis: the first 32 characters of its key
   * `ticketgate:epoch`, or a function that returns them. They change whenever Redis may have
   * forgotten something, so read them about once a second. Requires a configured key.
   */
  readonly epoch?: string | (() => string) | undefined
  /**
   * Lifetime of a ticket: 1 to 3600. It must last from the reply to one request to the start of the
   * next.
   * @default 10
   */
  readonly ttlSeconds?: number | undefined
  /**
   * The time in Unix milliseconds.
   * @default the clock of the process, which never goes backwards; with a configured key, that of
   *   the system
   */
  readonly clock?: Clock | undefined
}

export interface IssuedTicket {
  /** Goes into a URL, `?ticket=…`, unescaped. It is a secret until it is used. */
  readonly ticket: string
  /** When it expires, Unix seconds. */
  readonly expires: number
}

export interface Issuer {
  /**
   * Returns a fresh ticket. Decide first whether its holder may have it: only the form is checked
   * here.
   * @param options.ttlSeconds overrides that of the issuer
   * @throws TypeError that names the claim or option that is missing, unknown or wrong, or says
   *   that the claims are too large for a ticket (512 bytes packed): then name fewer channels
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
 * const { ticket } = issuer.issue({ user: 'maggie', expires: sessionEnd, channel: 'lobby' })
 * ```
 *
 * @example A back end issues for a gate elsewhere
 * ```js
 * const issuer = createIssuer({ key: process.env.TICKET_KEY, node: 'gate-1' })
 * ```
 *
 * @example A back end issues for all gates that share a Redis
 * ```js
 * let epoch = await redis.getrange('ticketgate:epoch', 0, 31)
 * setInterval(async () => {
 *   epoch = await redis.getrange('ticketgate:epoch', 0, 31)
 * }, 1000)
 * const issuer = createIssuer({ key: process.env.TICKET_KEY, epoch: () => epoch })
 * ```
 * @throws TypeError that names the option that is missing, unknown or wrong
 */
export function createIssuer(options: IssuerOptions): Issuer {
  requireMembers(options, 'options', ['key', 'node', 'epoch', 'ttlSeconds', 'clock'])
  const { node = '', ttlSeconds: usualTtlSeconds = 10 } = options
  requireThat(node === '' || isNodeName(node), 'node', '1 to 32 of a-z 0-9 -')
  requireThat(isTtl(usualTtlSeconds), 'ttlSeconds', ttlExpectation)
  const [key] = readSigningKey(options.key, node, 'key')
  requireThat(key !== undefined, 'key', 'a boot key or a configured key')
  const isOutside = !(options.key instanceof BootKey)
  const epochOf = readEpoch(options.epoch)
  requireThat(isOutside || epochOf === undefined, 'key', 'a configured key when there is an epoch')
  requireThat(
    !isOutside || node !== '' || epochOf !== undefined,
    'node',
    'the name of the verifier when the key is a configured one',
  )
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
      const said = claimsOf(claims)
      const ticket = issueTicket(epochOf === undefined ? said : { ...said, epoch: epochOf() }, {
        key,
        node,
        nowMs,
        ttlSeconds,
      })
      requireThat(ticket !== undefined, 'claims', `at most ${maxClaimsBytes} bytes when packed`)
      return { ticket, expires: Math.min(toSeconds(nowMs) + ttlSeconds, claims.expires) }
    },
  }
}

const isEpoch = (value: unknown): value is string => typeof value === 'string' && /^[0-9a-f]{32}$/.test(value)
const epochExpectation = '32 hexadecimal digits, in lower case'

/** The epoch at the time of each ticket; undefined for tickets without one. */
function readEpoch(epoch: IssuerOptions['epoch']): (() => Uint8Array) | undefined {
  if (epoch === undefined) return undefined
  const current = typeof epoch === 'function' ? epoch : () => epoch
  requireThat(typeof epoch === 'function' || isEpoch(epoch), 'epoch', `${epochExpectation}, or a function`)
  return () => {
    const text: unknown = current()
    requireThat(isEpoch(text), 'epoch()', epochExpectation)
    return Buffer.from(text, 'hex')
  }
}
