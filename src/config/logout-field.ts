import type { LogoutPolicy } from '../token/issuer.js'
import type { Field } from './field-kinds.js'
import { InvalidValue } from './value-types.js'

/** What logout tokens of an issuer end. Undefined if they are not accepted. */
export const backchannelLogout = (schema: object): Field<LogoutPolicy['ends'] | undefined> => ({
  parse(value) {
    if (value === true) return 'session'
    if (value === false) return undefined
    if (value !== 'user') throw new InvalidValue('is not true, false or user: write one of them')
    return value
  },
  schema: { enum: [true, false, 'user'], ...schema },
})
