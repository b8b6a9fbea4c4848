import { parseOption } from './parse-option.js'
import { type Config, type Values, variableOf } from './schema.js'
import type { Given, GivenMap } from './sources.js'
import { InvalidValue, readText, reportInvalid } from './value-types.js'

/** The options that can change without a restart, in a file. */
export const liveProperties = [
  'loginRate',
  'loginFailureRate',
  'ticketRate',
  'messageRate',
  'maxConnections',
  'maxConnectionsPerUser',
  'maxConnectionsPerAddress',
  'logLevel',
] as const

type LiveProperty = (typeof liveProperties)[number]

export type LiveSettings = Pick<Config, LiveProperty>

const byVariable = new Map<string, LiveProperty>(
  liveProperties.map(property => [variableOf(property), property]),
)

/** Sockets are counted for these caps only if they were on at the start. */
const countedCaps = ['maxConnectionsPerUser', 'maxConnectionsPerAddress'] as const

/**
 * Replaces settings given elsewhere by those in the file, if there is one. Returns the replaced
 * ones.
 */
export function readSettingsInto(given: GivenMap, problems: string[]): Config['settingsElsewhere'] {
  const elsewhere = liveProperties.flatMap(property => {
    const one = given.get(property)
    return one === undefined ? [] : [[property, one] as const]
  })
  const file = given.get('settingsFile')
  if (typeof file?.value !== 'string') return elsewhere
  try {
    const text = readText(file.value)
    for (const [property, value] of settingsIn(text, file.value, problems)) given.set(property, value)
  } catch (error) {
    reportInvalid(error, file.label, problems)
  }
  return elsewhere
}

/** Resolves defaults that depend on other options. The values are those of `given`. */
export const resolveFailureRate = (
  given: GivenMap,
  { loginRate, loginFailureRate }: Pick<Values, 'loginRate' | 'loginFailureRate'>,
): Config['loginFailureRate'] =>
  given.has('loginFailureRate') || loginRate !== undefined ? loginFailureRate : undefined

/**
 * Rereads the settings file. Settings that are no longer in it return to their value from
 * elsewhere, or the default. An empty file is refused: it may be half written, or the disk was full.
 * @throws InvalidValue with all problems, one per line
 */
export function rereadSettings(
  file: string,
  atStart: Pick<
    Config,
    'settingsElsewhere' | 'production' | 'maxConnectionsByDefault' | (typeof countedCaps)[number]
  >,
): LiveSettings {
  const { settingsElsewhere, production, maxConnectionsByDefault } = atStart
  const text = readText(file)
  if (text.trim() === '') throw new InvalidValue(`${file} is empty: for no settings, write a comment`)
  const problems: string[] = []
  const given: GivenMap = new Map([...settingsElsewhere, ...settingsIn(text, file, problems)])
  const entries = liveProperties.map(property => [
    property,
    parseOption(property, given.get(property), production, problems),
  ])
  const values = Object.fromEntries(entries) as Pick<Values, LiveProperty>
  for (const cap of countedCaps)
    if (atStart[cap] === 0 && values[cap] > 0)
      problems.push(`${given.get(cap)?.label}: this cap was off at the start: turning it on needs a restart`)
  if (problems.length > 0) throw new InvalidValue(problems.join('\n'))
  const { maxConnections = maxConnectionsByDefault } = values
  return { ...values, maxConnections, loginFailureRate: resolveFailureRate(given, values) }
}

/** Reads lines `NAME=value`, with the names of the variables; `#` starts a comment line. */
function settingsIn(text: string, file: string, problems: string[]): Map<LiveProperty, Given> {
  const found = new Map<LiveProperty, Given>()
  for (const [index, written] of text.split(/\r?\n/).entries()) {
    const line = written.trim()
    if (line === '' || line.startsWith('#')) continue
    const label = `${file} line ${index + 1}`
    const [, name = '', value = ''] = /^([^=]*?)\s*=\s*(.*)$/.exec(line) ?? []
    const property = byVariable.get(name)
    // Not quoted: a line may be a secret in the wrong file.
    if (property === undefined)
      problems.push(`${label}: write NAME=value, with one of ${[...byVariable.keys()].join(', ')}`)
    else if (found.has(property)) problems.push(`${label}: ${name} is there twice: remove one`)
    else if (value === '') problems.push(`${label}: ${name} has no value: remove the line, or give one`)
    else found.set(property, { label: `${label}: ${name}`, value })
  }
  return found
}
