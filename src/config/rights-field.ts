import { isJsonObject } from '../protocol.js'
import { type RightsCondition, type RightsRule, templateProblem } from '../token/rights-rules.js'
import { claimPath, type Field, texts } from './field-kinds.js'
import { InvalidPart, InvalidValue, line } from './value-types.js'

const maxRules = 64

const patterns = texts(
  template => {
    const problem = templateProblem(template)
    if (problem !== undefined) throw new InvalidValue(`has ${JSON.stringify(template)}, which ${problem}`)
    return template
  },
  { description: 'Channel patterns, in which ${sub} stands for the claim sub' },
)

const conditionFields = {
  claim: claimPath({ description: 'A claim, by its name or path' }),
  has: texts(line.parse, { description: 'The claim is one of these, or lists one of them' }),
}

const condition: Field<RightsCondition> = {
  parse(value) {
    const { claim, has } = members(value, conditionFields)
    if (claim === undefined || has === undefined)
      throw new InvalidValue(
        'lacks claim or has: write both, or leave out when to apply the rule to all tokens',
      )
    return { claim, has }
  },
  schema: objectSchema(conditionFields, {
    required: ['claim', 'has'],
    description: 'The tokens that the rule applies to; by default all',
  }),
}

const ruleFields = { when: condition, publish: patterns, subscribe: patterns }

const rule: Field<RightsRule> = {
  parse(value) {
    const { when, publish = [], subscribe = [] } = members(value, ruleFields)
    if (publish.length + subscribe.length === 0)
      throw new InvalidValue('gives no right: write publish or subscribe')
    return { when, publish, subscribe }
  },
  schema: objectSchema(ruleFields, { anyOf: [{ required: ['publish'] }, { required: ['subscribe'] }] }),
}

/** The rules for the rights that tokens of an issuer give. */
export const rightsRules = (schema: object): Field<readonly RightsRule[]> => ({
  parse(value) {
    if (!Array.isArray(value) || value.length === 0 || value.length > maxRules)
      throw new InvalidValue(`is not a list of 1 to ${maxRules} rules: write {when, publish, subscribe}`)
    return value.map((each, index) => within(`[${index}]`, () => rule.parse(each)))
  },
  schema: { type: 'array', minItems: 1, maxItems: maxRules, items: rule.schema, ...schema },
})

type Fields = Readonly<Record<string, Field<unknown>>>

type Members<F extends Fields> = { readonly [N in keyof F]?: ReturnType<F[N]['parse']> }

/** Parses each member of an object by its field. */
function members<F extends Fields>(value: unknown, fields: F): Members<F> {
  const names = Object.keys(fields).join(', ')
  if (!isJsonObject(value)) throw new InvalidValue(`is not an object: write one with ${names}`)
  const read: Record<string, unknown> = {}
  for (const [name, member] of Object.entries(value))
    read[name] = within(`.${name}`, () => {
      const field = Object.hasOwn(fields, name) ? fields[name] : undefined
      if (field === undefined) throw new InvalidValue(`is unknown: expected one of ${names}`)
      return field.parse(member)
    })
  return read as Members<F>
}

function objectSchema(fields: Fields, schema: object): Readonly<Record<string, unknown>> {
  const properties = Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, field.schema]))
  return { type: 'object', additionalProperties: false, properties, ...schema }
}

/** Prefixes a problem with its path. */
function within<T>(path: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw error instanceof InvalidValue ? InvalidPart.of(path, error) : error
  }
}
