import { StartupError } from '../errors.js'
import { parseOption } from './parse-option.js'
import type { Property, Values } from './schema.js'
import { type ConfigSources, type GivenMap, givenByEnv, givenByFlags } from './sources.js'

/** A few options, for a command that needs no others. */
export interface ConfigPart<P extends Property> {
  readonly values: Pick<Values, P>
  /**
   * The name under which an option was given, whether or not it was requested. Undefined for a
   * default.
   */
  givenAs(property: Property): string | undefined
}

/**
 * Resolves only the options in `wanted`. Others are not checked: managing users needs neither the
 * secrets of the server nor its files. Unknown names are still refused, because one may be a
 * misspelt option that is wanted.
 * @throws StartupError `config_invalid`
 */
export function resolvePart<const P extends Property>(
  wanted: readonly P[],
  { env, flags = [] }: ConfigSources,
): ConfigPart<P> {
  const problems: string[] = []
  const given: GivenMap = new Map([...givenByEnv(env, problems), ...givenByFlags(flags, problems)])
  const production = env.NODE_ENV === 'production'
  const entries = wanted.map(property => [
    property,
    parseOption(property, given.get(property), production, problems),
  ])
  if (problems.length > 0) throw new StartupError('config_invalid', problems.join('\n'))
  return {
    values: Object.fromEntries(entries) as Pick<Values, P>,
    givenAs: property => given.get(property)?.label,
  }
}
