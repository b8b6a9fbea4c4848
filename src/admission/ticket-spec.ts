import { toSeconds } from '../clock.js'
import type { Config } from '../config/schema.js'
import { isShowable, listed } from '../http/unknown-names.js'
import { expectationOf, type NewTicket } from '../library/holder.js'
import type { TicketClaims } from '../ticket/claims.js'
import { packNetwork } from '../ticket/network.js'

/**
 * A ticket that a back end requests for a user it has authenticated. An absent member means no such
 * restriction.
 */
export interface TicketSpec extends Omit<NewTicket, 'expires' | 'issued' | 'address'> {
  /** When the session that the ticket opens ends, Unix seconds. This, or `sessionSeconds`. */
  readonly expires?: number | undefined
  /** Likewise, in seconds from now. */
  readonly sessionSeconds?: number | undefined
  /**
   * The network it may be presented from: an address, of which `bindAddressBits` apply, or a CIDR.
   */
  readonly address?: string | undefined
  /** How long the ticket lives: 1 to the `ticketTtlSeconds` of the gate, which is the default. */
  readonly ttlSeconds?: number | undefined
}

/** The result of reading a spec. */
export interface SpecifiedTicket {
  readonly claims: TicketClaims & { readonly tokenIssuedAtSeconds: number }
  readonly ttlSeconds: number
}

/** What is wrong with a spec, for people. It names the member. */
export interface SpecFault {
  readonly fault: string
}

const names = [
  'user',
  'expires',
  'sessionSeconds',
  'channel',
  'publish',
  'subscribe',
  'session',
  'origin',
  'address',
  'claims',
  'ttlSeconds',
] as const satisfies readonly (keyof TicketSpec)[]

/** Members that are copied into the ticket unchanged. */
const copied = ['user', 'channel', 'publish', 'subscribe', 'session', 'origin', 'address', 'claims'] as const

const isNumberIn = (value: unknown, least: number, most: number): value is number =>
  Number.isInteger(value) && Number(value) >= least && Number(value) <= most

// A larger value would mean milliseconds.
const lastSecond = 2 ** 32 - 1

/** Reads a spec, which may be any JSON value. */
export function readTicketSpec(
  spec: Readonly<Record<string, unknown>>,
  { ticketTtlSeconds, bindAddressBits }: Pick<Config, 'ticketTtlSeconds' | 'bindAddressBits'>,
  nowMs: number,
): SpecifiedTicket | SpecFault {
  const unknown = Object.keys(spec).find(name => !(names as readonly string[]).includes(name))
  if (unknown !== undefined)
    return {
      fault: `${isShowable(unknown) ? unknown : 'a member'} does not exist: there are ${listed(names)}`,
    }
  for (const name of copied) {
    const expectation = expectationOf(name, spec[name])
    if (expectation !== undefined) return { fault: `${name} must be ${expectation}` }
  }
  const expires = readEnd(spec, toSeconds(nowMs))
  if (typeof expires !== 'number') return expires
  const { ttlSeconds = ticketTtlSeconds } = spec
  if (!isNumberIn(ttlSeconds, 1, ticketTtlSeconds))
    return {
      fault: `ttlSeconds must be a whole number from 1 to ${ticketTtlSeconds} (TICKETGATE_TICKET_TTL_SECONDS)`,
    }
  // All of these were checked above.
  const { user, channel, publish, subscribe, session, origin, address, claims } =
    spec as unknown as TicketSpec
  return {
    claims: {
      user,
      sessionEndsAtSeconds: expires,
      tokenIssuedAtSeconds: toSeconds(nowMs),
      session,
      channel,
      publish,
      subscribe,
      origin,
      address: address === undefined ? undefined : packNetwork(address, bindAddressBits),
      carried: claims,
    },
    ttlSeconds,
  }
}

/** When the session ends, Unix seconds. */
function readEnd(
  { expires, sessionSeconds }: Readonly<Record<string, unknown>>,
  nowSeconds: number,
): number | SpecFault {
  if ((expires === undefined) === (sessionSeconds === undefined))
    return { fault: 'exactly one of expires and sessionSeconds is required' }
  if (sessionSeconds === undefined)
    return isNumberIn(expires, nowSeconds + 1, lastSecond)
      ? expires
      : { fault: 'expires must be whole Unix seconds in the future' }
  return isNumberIn(sessionSeconds, 1, lastSecond - nowSeconds)
    ? nowSeconds + sessionSeconds
    : { fault: 'sessionSeconds must be a whole number of seconds, 1 or more' }
}
