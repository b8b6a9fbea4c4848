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
  /** A claim that a pattern needed and that has no usable value, so that the pattern gave nothing. */
  readonly unusable: string | undefined
}

const placeholders = /\$\{([^{}]*)\}/g

/** The rules of an issuer, ready to be asked. */
export class RightsRules {
  readonly #rules: readonly {
    readonly when: ReadyCondition | undefined
    readonly publish: readonly Template[]
    readonly subscribe: readonly Template[]
  }[]

  constructor(rules: readonly RightsRule[]) {
    this.#rules = rules.map(({ when, publish, subscribe }) => ({
      when: when && readyCondition(when),
      publish: publish.map(templateOf),
      subscribe: subscribe.map(templateOf),
    }))
  }

  /** The union of what all rules give that match. */
  rightsOf(payload: Payload, user: string): RuledRights {
    const publish: string[] = []
    const subscribe: string[] = []
    let unusable: string | undefined
    for (const rule of this.#rules) {
      if (rule.when !== undefined && !holds(rule.when, payload)) continue
      unusable = addFilled(rule.publish, publish, payload, user) ?? unusable
      unusable = addFilled(rule.subscribe, subscribe, payload, user) ?? unusable
    }
    return { publish, subscribe, unusable }
  }
}

interface ReadyCondition extends RightsCondition {
  readonly isWordList: boolean
}

// Claims that list words in one string (RFC 6749 section 3.3, RFC 8693 section 4.2), whatever stands before
// the name. In any other claim a string counts whole: users may choose it, and write spaces into it.
const wordLists = /(?:^|[./:])(?:scope|scp|permissions|roles|groups)$/

const readyCondition = ({ claim, has }: RightsCondition): ReadyCondition => ({
  claim,
  has,
  isWordList: wordLists.test(typeof claim === 'string' ? claim : (claim.at(-1) ?? '')),
})

function holds({ claim, has, isWordList }: ReadyCondition, payload: Payload): boolean {
  const value = claimAt(payload, claim)
  if (Array.isArray(value)) return value.some(each => has.includes(each))
  if (typeof value !== 'string') return false
  return has.includes(value) || (isWordList && value.split(' ').some(word => has.includes(word)))
}

/** A channel pattern with claims in it. */
interface Template {
  /** What stands as it is, and claims, by turns. */
  readonly parts: readonly string[]
  readonly hasColons: boolean
}

function templateOf(text: string): Template {
  const parts = text.split(placeholders)
  return { parts, hasColons: parts.some((part, index) => index % 2 === 0 && part.includes(':')) }
}

/**
 * Adds the patterns that templates make for a token.
 * @returns a claim that one of them could not be made with, if any
 */
function addFilled(
  templates: readonly Template[],
  patterns: string[],
  payload: Payload,
  user: string,
): string | undefined {
  let unusable: string | undefined
  for (const template of templates) {
    const pattern = filled(template, payload, user)
    if (typeof pattern !== 'string') unusable = pattern.unusable
    else if (!patterns.includes(pattern)) patterns.push(pattern)
  }
  return unusable
}

function filled({ parts, hasColons }: Template, payload: Payload, user: string): string | Unusable {
  let pattern = parts[0] ?? ''
  for (let at = 1; at < parts.length; at += 2) {
    const claim = parts[at] ?? ''
    const value = claim === 'user' ? user : claimAt(payload, claim)
    if (typeof value !== 'string' || !isSegment(value, hasColons)) return { unusable: claim }
    pattern += value + (parts[at + 1] ?? '')
  }
  // Values that are too long make a pattern that is.
  return parts.length === 1 || isChannelPattern(pattern) ? pattern : { unusable: parts[1] ?? '' }
}

interface Unusable {
  readonly unusable: string
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
