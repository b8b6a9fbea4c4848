import { areCarriedNames, carriedNameForm } from '../ticket/carried-claims.js'
import { type TicketClaim, ticketClaimName } from '../token/ticket-claims.js'
import { claimPath, type Field } from './field-kinds.js'
import { InvalidValue } from './value-types.js'

const path = claimPath({ description: 'A claim, by its name or path' })

/** Claims that tickets carry, each with its name there. */
export const ticketClaims = (schema: object): Field<readonly TicketClaim[]> => ({
  parse(value) {
    if (!Array.isArray(value)) throw new InvalidValue('is not a list of claims: write one such as [email]')
    const claims = value
      .map(each => path.parse(each))
      .map(each => ({ path: each, name: ticketClaimName(each) }))
    if (!areCarriedNames(claims.map(({ name }) => name)))
      throw new InvalidValue(
        `does not end in names that headers can distinguish: each is ${carriedNameForm}, and case, _ and - make no difference`,
      )
    return claims
  },
  schema: { type: 'array', items: path.schema, ...schema },
})
