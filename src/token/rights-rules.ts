import { isChannelName, isChannelPattern } from '../protocol.js'
import { type ClaimPath, claimAt, type Payload } from './claim-path.js'

/** A rule of an issuer: what its tokens may do on which channels, if a claim matches. */
export interface RightsRule {
  /** Undefined: applies to all tokens of the issuer. */
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

/** The rights that the rules of an issuer give a token. */
export interface RuledRights {
  readonly publish: readonly string[]
  readonly subscribe: readonly string[]
  /** A claim that a pattern needed but that has no usable value, so the pattern gave nothing. */
  readonly unusable: string | undefined
}

const placeholders = /\$\{([^{}]*)\}/g

/** The parsed rules of an issuer. */
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

  /** The union of the rights of all matching rules. */
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

// Claims that list words in one string (RFC 6749 section 3.3, RFC 8693 section 4.2), with any
// prefix. In other claims a string is compared as a whole: users may choose it, and put spaces into
// it.
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
  /** Literal text and claims, alternating. */
  readonly parts: readonly string[]
  readonly hasColons: boolean
}

function templateOf(text: string): Template {
  const parts = text.split(placeholders)
  return { parts, hasColons: parts.some((part, index) => index % 2 === 0 && part.includes(':')) }
}

/**
 * Adds the patterns that templates give for a token.
 * @returns a claim that a template could not use, if any
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
  // Overlong values make an overlong pattern.
  return parts.length === 1 || isChannelPattern(pattern) ? pattern : { unusable: parts[1] ?? '' }
}

interface Unusable {
  readonly unusable: string
}

/**
 * Whether a value stays within its segment. For `${sub}`, `a.b` would reach into the channels of
 * `a` or of others, and an empty value into those of everybody.
 */
const isSegment = (value: string, hasColons: boolean): boolean =>
  value !== '' && isChannelName(value) && !value.includes('.') && !(hasColons && value.includes(':'))

/** Returns why a template is invalid, or undefined. */
export function templateProblem(template: string): string | undefined {
  if ([...template.matchAll(placeholders)].some(([, claim = '']) => claim === '' || claim.length > 256))
    return 'names no claim between ${ and }'
  if (!isChannelPattern(template.replace(placeholders, 'x')))
    return 'is not a channel name, or a prefix of one followed by *, in which ${sub} stands for a claim'
  // Values contain neither, so two users never get the same pattern, or one a pattern that covers
  // the other's.
  return /\}[^.:]/.test(template)
    ? 'has something other than a dot, a colon or the end after }: write ${sub}.*, since ${sub}* would cover others'
    : undefined
}
