import type { ClaimPath } from '../token/claim-path.js'
import { InvalidValue } from './value-types.js'

/** The kinds of fields in entries of the issuers file. */

export interface Field<T> {
  /** @throws InvalidValue */
  readonly parse: (value: unknown) => T
  /** JSON Schema of the field, with its description. */
  readonly schema: Readonly<Record<string, unknown>>
}

/** Text, not empty. */
export const text = (parse: (text: string) => string, schema: object): Field<string> => ({
  parse(value) {
    if (typeof value !== 'string' || value === '') throw new InvalidValue('is not text: write a string')
    return parse(value)
  },
  schema: { type: 'string', minLength: 1, ...schema },
})

/** One text, or a list of them. */
export const texts = <T extends string>(
  parse: (text: string) => T,
  schema: object,
  each: object = {},
): Field<readonly T[]> => ({
  parse(value) {
    const list: unknown = typeof value === 'string' ? [value] : value
    if (
      !Array.isArray(list) ||
      list.length === 0 ||
      !list.every(entry => typeof entry === 'string' && entry !== '')
    )
      throw new InvalidValue('is not a list of texts: write one string, or a list of strings')
    return [...new Set((list as string[]).map(parse))]
  },
  schema: {
    anyOf: [
      { type: 'string', minLength: 1, ...each },
      { type: 'array', minItems: 1, items: { type: 'string', minLength: 1, ...each } },
    ],
    ...schema,
  },
})

/** True or false. */
export const flag = (schema: object): Field<boolean> => ({
  parse(value) {
    if (typeof value !== 'boolean') throw new InvalidValue('is neither true nor false: write one of them')
    return value
  },
  schema: { type: 'boolean', ...schema },
})

/** A whole number within bounds. */
export const whole = (minimum: number, maximum: number, schema: object): Field<number> => ({
  parse(value) {
    if (!Number.isInteger(value) || Number(value) < minimum || Number(value) > maximum)
      throw new InvalidValue(`is out of range: give a whole number from ${minimum} to ${maximum}`)
    return Number(value)
  },
  schema: { type: 'integer', minimum, maximum, ...schema },
})

/** The place of a claim. */
export const claimPath = (schema: object): Field<ClaimPath> => ({
  parse(value) {
    const names: unknown = typeof value === 'string' ? [value] : value
    if (!Array.isArray(names) || names.length === 0 || !names.every(isClaimName))
      throw new InvalidValue(
        'is not the name of a claim: write one such as sub or realm_access.roles, or a list of names',
      )
    return typeof value === 'string' ? value : (names as string[])
  },
  schema: {
    anyOf: [
      { type: 'string', minLength: 1, maxLength: 256 },
      { type: 'array', minItems: 1, items: { type: 'string', minLength: 1, maxLength: 256 } },
    ],
    ...schema,
  },
})

const isClaimName = (name: unknown): name is string =>
  typeof name === 'string' && name !== '' && name.length <= 256
