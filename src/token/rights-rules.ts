import { isChannelName, isChannelPattern } from '../protocol.js'
import { type ClaimPath, claimAt, type Payload } from './claim-path.js'

/** Of an issuer: what its tokens may do on which channels, if a claim says so. */
export interface RightsRule {
  /** Undefined: for all of its tokens. */
  readonly when: RightsCondition | undefined
  /** Channel patterns, in which `${claim}` stands for a claim of the token. */
  readonly publish: readonly string[]
  readonly subscribe: readonly string[]
}

export interface RightsCondition {
  readonly claim: ClaimPath
  /** The claim is, or lists, one of these. */
  readonly has: readonly string[]
}

/** What the rules of an issuer give to a token. */
export interface RuledRights {
  readonly publish: readonly string[]
  readonly subscribe: readonly string[]
  /** The first claim that a pattern needed and that has no usable value, so that the pattern gave nothing. */
  readonly unusable: string | undefined
}

const placeholders = /\$\{([^{}]*)\}/g

/** The union of what all rules give that match. */
export function rightsByRules(rules: readonly RightsRule[], payload: Payload, user: string): RuledRights {
  const publish = new Set<string>()
  const subscribe = new Set<string>()
  let unusable: string | undefined
  const add = (templates: readonly string[], patterns: Set<string>): void => {
    for (const template of templates) {
      const filled = fill(template, payload, user)
      if (typeof filled === 'string') patterns.add(filled)
      else unusable ??= filled.unusable
    }
  }
  for (const rule of rules) {
    if (rule.when !== undefined && !holds(rule.when, payload)) continue
    add(rule.publish, publish)
    add(rule.subscribe, subscribe)
  }
  return { publish: [...publish], subscribe: [...subscribe], unusable }
}

// Claims that list words in one string (RFC 6749 section 3.3, RFC 8693 section 4.2), whatever stands before
// the name. In any other claim a string counts whole: users may choose it, and write spaces into it.
const wordLists = /(?:^|[./:])(?:scope|scp|permissions|roles|groups)$/

function holds({ claim, has }: RightsCondition, payload: Payload): boolean {
  const value = claimAt(payload, claim)
  if (Array.isArray(value)) return value.some(each => has.includes(each))
  if (typeof value !== 'string') return false
  if (has.includes(value)) return true
  const name = typeof claim === 'string' ? claim : (claim.at(-1) ?? '')
  return wordLists.test(name) && value.split(' ').some(word => has.includes(word))
}

/** The pattern that a template makes for a token, or the claim that it cannot be made with. */
function fill(template: string, payload: Payload, user: string): string | { readonly unusable: string } {
  if (!template.includes('${')) return template
  const hasColons = template.replace(placeholders, '').includes(':')
  let unusable: string | undefined
  const pattern = template.replace(placeholders, (_, claim: string) => {
    const value = claim === 'user' ? user : claimAt(payload, claim)
    if (typeof value === 'string' && isSegment(value, hasColons)) return value
    unusable ??= claim
    return ''
  })
  if (unusable !== undefined) return { unusable }
  // Too long a value makes too long a pattern.
  return isChannelPattern(pattern) ? pattern : { unusable: /\{([^}]*)/.exec(template)?.[1] ?? '' }
}

/**
 * Whether a value stays within its place: `a.b` in the place of `${sub}` would reach what belongs to `a`
 * or to another, and nothing at all would reach what belongs to everybody.
 */
const isSegment = (value: string, hasColons: boolean): boolean =>
  value !== '' && isChannelName(value) && !value.includes('.') && !(hasColons && value.includes(':'))

/** What is wrong with a template; undefined if nothing is. */
export function templateProblem(template: string): string | undefined {
  if ([...template.matchAll(placeholders)].some(([, claim = '']) => claim === '' || claim.length > 256))
    return 'names no claim between ${ and }'
  if (!isChannelPattern(template.replace(placeholders, 'x')))
    return 'is not a channel name, or the start of one followed by *, in which ${sub} stands for a claim'
  // Values have neither, so no two users can get the same pattern, or one a pattern that covers the other's.
  return /\}[^.:]/.test(template)
    ? 'has something other than a dot, a colon or the end after }: write ${sub}.*, since ${sub}* would cover others'
    : undefined
}
