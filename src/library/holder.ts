import { isChannelName, isJsonObject, isSessionId, isUserName } from '../protocol.js'
import {
  areCarriedNames,
  type CarriedClaims,
  carriedNameForm,
  fitIntoTicket,
  isClaimValue,
  maxCarriedBytes,
} from '../ticket/carried-claims.js'
import type { TicketClaims } from '../ticket/claims.js'
import { type AddressLike, packNetwork } from '../ticket/network.js'
import { serializedOrigin } from '../ticket/origin.js'
import { isChannelPatterns } from '../ticket/rights.js'
import { requireMembers, requireThat } from './misuse.js'

/**
 * What a ticket says about its holder. An absent or undefined member restricts nothing.
 */
export interface TicketHolder {
  /** The user: 1 to 256 bytes without control characters. */
  readonly user: string
  /** When the authority behind the ticket ends, Unix seconds: the socket must be closed then. */
  readonly expires: number
  /** When that authority was given, such as the `iat` of a token, Unix seconds: for revocation. */
  readonly issued?: number | undefined
  /** The login session: 1 to 128 visible ASCII characters. */
  readonly session?: string | undefined
  /** The one channel it opens: 0 to 128 of `A-Z a-z 0-9 . _ ~ : @ -`. */
  readonly channel?: string | undefined
  /** Channels it may publish to: names, or prefixes followed by `*`. An empty list means none. */
  readonly publish?: readonly string[] | undefined
  /** Channels it may subscribe to, in the same form. */
  readonly subscribe?: readonly string[] | undefined
  /**
   * Further claims about its holder, by name: text, finite numbers, booleans and lists of text, at
   * most 256 bytes packed. A name is a letter, then up to 31 of `A-Z a-z 0-9 _ -`. Names that
   * differ only in case, or in `_` and `-`, cannot be used together.
   */
  readonly claims?: CarriedClaims | undefined
}

/** What a new ticket says, and where it may be presented from. */
export interface NewTicket extends TicketHolder {
  /** The one origin it may be presented from, as browsers write it: `https://app.example.com`. */
  readonly origin?: string | undefined
  /**
   * The network it may be presented from: a CIDR (`203.0.113.0/24`; IPv6 from /33), or an address.
   * An IPv4 address counts whole, an IPv6 address as its /64.
   */
  readonly address?: AddressLike | undefined
}

const isText = (value: unknown): value is string => typeof value === 'string'

// More would mean milliseconds.
const isSeconds = (value: unknown): boolean =>
  Number.isInteger(value) && Number(value) >= 0 && Number(value) < 2 ** 32

const isOrigin = (value: unknown): boolean => isText(value) && serializedOrigin(value) === value

const areClaims = (value: unknown): boolean =>
  isJsonObject(value) &&
  areCarriedNames(Object.keys(value)) &&
  Object.values(value).every(isClaimValue) &&
  fitIntoTicket(value as CarriedClaims)

const rules = {
  user: [value => isText(value) && isUserName(value), '1 to 256 bytes of text without control characters'],
  expires: [isSeconds, 'in whole Unix seconds'],
  issued: [isSeconds, 'in whole Unix seconds'],
  session: [value => isText(value) && isSessionId(value), '1 to 128 visible ASCII characters'],
  channel: [value => isText(value) && isChannelName(value), '0 to 128 of A-Z a-z 0-9 . _ ~ : @ -'],
  publish: [isChannelPatterns, 'a list of channel names, or prefixes ending in *'],
  subscribe: [isChannelPatterns, 'a list of channel names, or prefixes ending in *'],
  claims: [
    areClaims,
    `an object of text, finite numbers, booleans and lists of text, ${maxCarriedBytes} bytes in all, whose names are each ${carriedNameForm}`,
  ],
  origin: [isOrigin, 'an origin as browsers write it, such as https://app.example.com'],
  address: [value => packNetwork(value) !== undefined, 'an address, or a CIDR (IPv6: /33 to /128)'],
} as const satisfies Record<
  keyof NewTicket,
  readonly [holds: (value: unknown) => boolean, expectation: string]
>

const names = Object.keys(rules)

/**
 * What a member of a new ticket must be, if that is not what `value` is; undefined may be left out.
 */
export function expectationOf(name: keyof NewTicket, value: unknown): string | undefined {
  const [holds, expectation] = rules[name]
  const isRequired = name === 'user' || name === 'expires'
  return (!isRequired && value === undefined) || holds(value) ? undefined : expectation
}

/**
 * The claims of a ticket.
 * @throws TypeError that names the member that is missing, unknown or wrong
 */
export function claimsOf(ticket: NewTicket): TicketClaims {
  requireMembers(ticket, 'claims', names)
  for (const name of names as (keyof NewTicket)[]) {
    const expectation = expectationOf(name, ticket[name])
    requireThat(expectation === undefined, `claims.${name}`, expectation ?? '')
  }
  const { user, expires, issued, session, channel, publish, subscribe, origin, claims } = ticket
  const address = ticket.address === undefined ? undefined : packNetwork(ticket.address)
  return {
    user,
    sessionEndsAtSeconds: expires,
    ...(issued === undefined ? {} : { tokenIssuedAtSeconds: issued }),
    ...(session === undefined ? {} : { session }),
    ...(channel === undefined ? {} : { channel }),
    ...(publish === undefined ? {} : { publish }),
    ...(subscribe === undefined ? {} : { subscribe }),
    ...(origin === undefined ? {} : { origin }),
    ...(address === undefined ? {} : { address }),
    ...(claims === undefined ? {} : { carried: claims }),
  }
}

/** The holder of a ticket with these claims. */
export const holderOf = (claims: TicketClaims): TicketHolder => ({
  user: claims.user,
  expires: claims.sessionEndsAtSeconds,
  ...(claims.tokenIssuedAtSeconds === undefined ? {} : { issued: claims.tokenIssuedAtSeconds }),
  ...(claims.session === undefined ? {} : { session: claims.session }),
  ...(claims.channel === undefined ? {} : { channel: claims.channel }),
  ...(claims.publish === undefined ? {} : { publish: claims.publish }),
  ...(claims.subscribe === undefined ? {} : { subscribe: claims.subscribe }),
  ...(claims.carried === undefined ? {} : { claims: claims.carried }),
})
