import { type FlagKinds, parseArguments } from './arguments.js'
import type { GateOptions } from './gate-options.js'
import { definition, flagOf, type Property, prefix, properties, upperSnake, variableOf } from './schema.js'
import { readText, reportInvalid } from './value-types.js'

export interface ConfigSources {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly flags?: readonly string[]
  readonly options?: GateOptions
  /**
   * Other names that an application passes along with the options, to suggest for a misspelt one.
   */
  readonly handlerNames?: readonly string[]
}

const byVariable = new Map(properties.map(property => [variableOf(property), property]))
const byFlag = new Map(properties.map(property => [flagOf(property), property]))

const wordsOf = (name: string): Set<string> => new Set(name.split('_'))

/** The edit distance of two words (Levenshtein). */
function distance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index)
  for (const [line, letter] of [...from].entries()) {
    const next = [line + 1]
    for (const [column, other] of [...to].entries())
      next.push(
        Math.min(
          (row[column + 1] ?? 0) + 1,
          (next[column] ?? 0) + 1,
          (row[column] ?? 0) + (letter === other ? 0 : 1),
        ),
      )
    row = next
  }
  return row[to.length] ?? 0
}

/**
 * Returns the name most similar to `name`, comparing words joined by `_`. A name with only missing
 * or extra words beats one with fewer different letters: `TICKET_TTL` means `TICKET_TTL_SECONDS`,
 * not `TICKET_RATE`.
 */
function nearest(name: string, names: readonly string[]): string {
  const words = wordsOf(name)
  const related = names.filter(other => {
    const otherWords = wordsOf(other)
    const shared = [...words].filter(word => otherWords.has(word)).length
    return shared === words.size || shared === otherWords.size
  })
  const candidates = related.length > 0 ? related : names
  return candidates.reduce((best, other) => (distance(name, other) < distance(name, best) ? other : best))
}

/** Returns the property whose name in upper snake case is most similar to `name`. */
function nearestProperty(name: string): Property {
  const variable = prefix + nearest(name, properties.map(upperSnake))
  return byVariable.get(variable) ?? 'host'
}

/** A value as the operator wrote it, and the name it was written under. */
export interface Given {
  readonly label: string
  readonly value: unknown
}

export type GivenMap = Map<Property, Given>

/** Whether Kubernetes set this variable, for a service named ticketgate or ticketgate-…. */
const isServiceLink = (name: string, value: string): boolean =>
  /_SERVICE_(HOST|PORT)(_|$)|_PORT_\d+_(TCP|UDP|SCTP)/.test(name) || /^(tcp|udp|sctp):\/\//.test(value)

// Each source returns what it gives, and adds problems of its names. Messages never quote values,
// because an unknown name may be a misspelt secret.
export function givenByEnv(env: ConfigSources['env'], problems: string[]): GivenMap {
  const given: GivenMap = new Map()
  const serviceLinks: string[] = []
  for (const [name, value] of Object.entries(env)) {
    if (!name.startsWith(prefix) || value === undefined || value === '') continue
    const property = byVariable.get(name)
    if (isServiceLink(name, value)) serviceLinks.push(name)
    else if (property !== undefined) given.set(property, { label: name, value })
    else {
      const near = variableOf(nearestProperty(name.slice(prefix.length)))
      problems.push(`${name}: unknown variable: unset it, or write ${near} if you mean that`)
    }
  }
  if (serviceLinks.length > 0)
    problems.push(
      `${serviceLinks.join(', ')}: Kubernetes set this for a service: put enableServiceLinks: false into the pod's spec, or rename the service`,
    )
  for (const property of properties) {
    const { alias } = definition(property)
    const value = alias === undefined ? undefined : env[alias]
    if (alias !== undefined && value && !given.has(property)) given.set(property, { label: alias, value })
  }
  return given
}

/** The flags of all options. */
export const optionFlags: FlagKinds = Object.fromEntries(
  properties.map(property => [flagOf(property).slice(2), 'value' as const]),
)

export function givenByFlags(flags: readonly string[], problems: string[]): GivenMap {
  const given: GivenMap = new Map()
  const read = parseArguments(flags, optionFlags, problems, name => {
    const near = nearestProperty(upperSnake(name).replaceAll('-', '_'))
    return `${definition(near).secret ? `set ${variableOf(near)}` : `write ${flagOf(near)}`} if you mean that`
  })
  for (const { position } of read.operands)
    problems.push(`argument ${position}: is not a flag: write --name value or --name=value`)
  for (const [name, [value = '']] of read.flags) {
    const label = `--${name}`
    const property = byFlag.get(label)
    if (property === undefined) continue
    if (definition(property).secret)
      problems.push(
        `${label}: arguments are visible to every user of this machine: set ${variableOf(property)} instead`,
      )
    else if (value !== '') given.set(property, { label, value })
  }
  return given
}

export function givenByOptions(
  options: Readonly<Record<string, unknown>>,
  problems: string[],
  handlerNames: readonly string[] = [],
): GivenMap {
  const byName = new Map([...properties, ...handlerNames].map(each => [upperSnake(each), each]))
  const given: GivenMap = new Map()
  for (const [name, value] of Object.entries(options)) {
    const property = properties.find(each => each === name)
    if (property === undefined)
      problems.push(
        `${name}: unknown option: write ${byName.get(nearest(upperSnake(name), [...byName.keys()]))} if you mean that`,
      )
    else if (value !== undefined && value !== '') given.set(property, { label: name, value })
  }
  return given
}

/**
 * Merges two names of one setting. The higher-ranking source wins, but one source must not give
 * both.
 */
export function resolveEither(
  property: Property,
  fileProperty: Property,
  sources: readonly GivenMap[],
  problems: string[],
): void {
  const [first, ...others] = sources.filter(each => each.has(property) || each.has(fileProperty))
  const direct = first?.get(property)
  const file = first?.get(fileProperty)
  if (direct !== undefined && file !== undefined)
    problems.push(`${direct.label}: ${file.label} is set too: unset one of them`)
  for (const other of others) {
    other.delete(property)
    other.delete(fileProperty)
  }
}

/**
 * Puts what a file holds in the place of the value of an option. The name of the file's option
 * stays.
 */
export function readIntoGiven(
  given: GivenMap,
  property: Property,
  fileProperty: Property,
  problems: string[],
  read: (file: string) => string = readText,
): void {
  const file = given.get(fileProperty)
  if (typeof file?.value !== 'string') return
  try {
    given.set(property, { label: file.label, value: read(file.value) })
  } catch (error) {
    reportInvalid(error, file.label, problems)
  }
}
