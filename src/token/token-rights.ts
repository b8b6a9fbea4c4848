import { isJsonObject } from '../protocol.js'
import { isChannelPatterns } from '../ticket/rights.js'
import type { Payload } from './claim-path.js'
import { refuse, type TokenRefusal } from './refusal.js'
import type { RightsRules } from './rights-rules.js'

/** Lists of channel patterns. */
export interface TokenRights {
  readonly publish: readonly string[]
  readonly subscribe: readonly string[]
  /** A claim that a rule needed but that has no usable value, so a pattern gave nothing. */
  readonly unusable?: string | undefined
}

/** The rights of the user of a token that does not state any. */
export type DefaultRights = (user: string) => TokenRights

export interface RightsPolicy {
  /** Rules that turn claims into rights. If set, the default rights do not apply. */
  readonly rightsRules?: RightsRules | undefined
  /** If absent: every right on every channel. */
  readonly defaultRights?: DefaultRights | undefined
}

/**
 * Returns what a token permits: what it states in `channels` and in `authorization_details`, plus
 * what the rules of its issuer give. The defaults apply if there is neither.
 * @returns undefined for every right on every channel
 */
export function readRights(
  payload: Payload,
  user: string,
  { rightsRules, defaultRights }: RightsPolicy,
): TokenRights | TokenRefusal | undefined {
  const own = ownRights(payload)
  if (own !== undefined && 'reason' in own) return own
  if (rightsRules === undefined) return own ?? defaultRights?.(user)
  const ruled = rightsRules.rightsOf(payload, user)
  const rights = own === undefined ? ruled : { ...union([own, ruled]), unusable: ruled.unusable }
  if (rights.publish.length > 0 || rights.subscribe.length > 0) return rights
  return refuse(ruled.unusable === undefined ? 'no_rights' : `no_rights:${ruled.unusable}`)
}

const union = (all: readonly TokenRights[]): TokenRights => ({
  publish: [...new Set(all.flatMap(({ publish }) => publish))],
  subscribe: [...new Set(all.flatMap(({ subscribe }) => subscribe))],
})

/** The rights that the token states. Undefined if it states none. */
function ownRights({
  channels,
  authorization_details: details,
}: Payload): TokenRights | TokenRefusal | undefined {
  const claimed = channels === undefined ? undefined : rightsIn(channels)
  if (claimed === 'malformed') return refuse('claim_type:channels')
  const detailed = details === undefined ? [] : detailedRights(details)
  if (detailed === 'malformed') return refuse('claim_type:authorization_details')
  if (detailed.length === 0) return claimed
  return union(claimed === undefined ? detailed : [claimed, ...detailed])
}

/** An object `{publish, subscribe}`. An absent list grants nothing. */
function rightsIn(value: unknown): TokenRights | 'malformed' {
  if (!isJsonObject(value)) return 'malformed'
  const { publish = [], subscribe = [] } = value
  return isChannelPatterns(publish) && isChannelPatterns(subscribe) ? { publish, subscribe } : 'malformed'
}

const detailType = 'ticketgate_channel'
const detailMembers = ['type', 'publish', 'subscribe']
const maxDetails = 16
const maxPatterns = 64

/**
 * The entries of our type in `authorization_details` (RFC 9396): `{type, publish, subscribe}`. An
 * unknown member could be a limit, so the token is refused (section 5).
 */
function detailedRights(details: unknown): readonly TokenRights[] | 'malformed' {
  if (!Array.isArray(details) || !details.every(isJsonObject)) return 'malformed'
  const ours = details.filter(({ type }) => type === detailType)
  if (ours.length > maxDetails) return 'malformed'
  const granted: TokenRights[] = []
  for (const entry of ours) {
    const rights = Object.keys(entry).every(name => detailMembers.includes(name))
      ? rightsIn(entry)
      : 'malformed'
    if (rights === 'malformed') return 'malformed'
    if (rights.publish.length > maxPatterns || rights.subscribe.length > maxPatterns) return 'malformed'
    granted.push(rights)
  }
  return granted
}
