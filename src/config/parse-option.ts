import { definition, type Property } from './schema.js'
import type { Given } from './sources.js'
import { InvalidValue, reportInvalid, withoutNewline } from './value-types.js'

/** Parses the value of one option. Reports an invalid one and treats it as not given. */
export function parseOption(
  property: Property,
  given: Given | undefined,
  production: boolean,
  problems: string[],
): unknown {
  const { kind, secret, makeOne, default: always, inDevelopment } = definition(property)
  const otherwise = production ? always : (inDevelopment ?? always)
  if (given !== undefined) {
    try {
      const text = typeof given.value === 'string' ? given.value : kind.textOf?.(given.value)
      if (text === undefined) throw new InvalidValue(`is of the wrong type: give ${kind.values}`)
      return kind.parse(secret ? withoutNewline(text) : withoutNewline(text).trim())
    } catch (error) {
      reportInvalid(error, given.label, problems, { makeOne })
    }
  }
  return otherwise === undefined ? undefined : kind.parse(otherwise)
}
