import { type ParseArgsConfig, parseArgs } from 'node:util'
import { isChannelPattern, isUserName } from '../protocol.js'
import { type ChannelRights, channelPatternRule, userNameRule } from '../users/user.js'

export const help = `Usage:
  ticketgate user add NAME [--password-stdin] [--publish PATTERN]... [--subscribe PATTERN]...
  ticketgate user passwd NAME [--password-stdin]
  ticketgate user remove NAME
  ticketgate user list

Options:
  --password-stdin     read the password from standard input, one line, instead of asking on the terminal
  --publish PATTERN    let the user publish in a channel, or in all that begin so: 'chat.*'; may be repeated
  --subscribe PATTERN  let the user hear a channel, likewise
  -h, --help           show this

With neither --publish nor --subscribe a user may do both everywhere; with only one of them, not the other.
A running server sees each change at once. Tokens it has issued stay good until they expire.
`

export const passwordOption = { 'password-stdin': { type: 'boolean' } } as const
export const rightsOptions = {
  publish: { type: 'string', multiple: true },
  subscribe: { type: 'string', multiple: true },
} as const

/** What to do was said wrongly: exit code 2. */
export class UsageError extends Error {}

/** Splits arguments into options and operands. */
export function parse<T extends NonNullable<ParseArgsConfig['options']>>(
  args: readonly string[],
  options: T,
) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true })
  } catch (error) {
    if (error instanceof TypeError) throw new UsageError(error.message)
    throw error
  }
}

/** The one operand. */
export function nameOf(positionals: readonly string[]): string {
  const [name, ...others] = positionals
  if (name === undefined) throw new UsageError('a user name is needed')
  // Not repeated: it may be a password.
  if (others.length > 0) throw new UsageError('one user name is needed, and nothing else')
  if (!isUserName(name)) throw new UsageError(`a user name is ${userNameRule}`)
  return name
}

/** The rights that options ask for; undefined when they ask for none, which is all. */
export function rightsOf(
  publish?: readonly string[],
  subscribe?: readonly string[],
): ChannelRights | undefined {
  if (!publish && !subscribe) return undefined
  for (const pattern of [...(publish ?? []), ...(subscribe ?? [])])
    if (!isChannelPattern(pattern))
      throw new UsageError(`${JSON.stringify(pattern)} is not ${channelPatternRule}`)
  // Both in full, so that the file says plainly what is not granted.
  return { publish: publish ?? [], subscribe: subscribe ?? [] }
}
