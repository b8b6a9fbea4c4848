import { type Arguments, type FlagKinds, wantsHelp } from '../config/arguments.js'
import { isChannelPattern, isUserName } from '../protocol.js'
import { type ChannelRights, channelPatternRule, preparedName, userNameRule } from '../users/user.js'
import { readArguments } from './arguments.js'
import { UsageError } from './command.js'

export const userUsage = `Usage:
  ticketgate user add NAME [--password-stdin] [--publish PATTERN]... [--subscribe PATTERN]...
  ticketgate user passwd NAME [--password-stdin]
  ticketgate user remove NAME
  ticketgate user list

Options:
  --password-stdin     read the password from standard input, one line, instead of asking on the terminal
  --publish PATTERN    allow the user to publish on a channel, or on all with a prefix: 'chat.*'; repeatable
  --subscribe PATTERN  allow the user to subscribe to a channel, likewise
  --users-file PATH    the file with the users; default: TICKETGATE_USERS_FILE, or users.json in the state directory
  --state-dir PATH     the state directory; default: TICKETGATE_STATE_DIR, or .ticketgate
  -h, --help           show this

With neither --publish nor --subscribe, a user may do both everywhere; with only one of them, not the other.
A running server applies each change at once. Tokens that it has issued stay valid until they expire.
`

const fileFlags = { 'state-dir': 'value', 'users-file': 'value' } as const
const passwordFlag = { 'password-stdin': 'switch' } as const

/** The actions, and the flags of each. */
const actions = {
  add: { ...passwordFlag, publish: 'values', subscribe: 'values', ...fileFlags },
  passwd: { ...passwordFlag, ...fileFlags },
  remove: fileFlags,
  list: fileFlags,
} as const satisfies Readonly<Record<string, FlagKinds>>

type Action = keyof typeof actions

const isAction = (text: string): text is Action => Object.hasOwn(actions, text)

/** The action and the user; `list` has no name. */
export interface UserArguments {
  readonly action: Action
  readonly name: string
  readonly fromStdin: boolean
  readonly rights: ChannelRights | undefined
  /** The flags that locate the user file, for the configuration. */
  readonly fileFlags: readonly string[]
}

/**
 * Parses `user ACTION …`. Returns undefined if help is requested.
 * @throws UsageError
 */
export function readUserArguments(args: readonly string[]): UserArguments | undefined {
  const [first = '', ...others] = args
  if (!isAction(first)) {
    if (wantsHelp(readArguments(args, actions.add))) return undefined
    throw new UsageError(`user takes one of ${Object.keys(actions).join(', ')} first`)
  }
  const read = readArguments(others, actions[first])
  if (wantsHelp(read)) return undefined
  return {
    action: first,
    name: first === 'list' ? noName(read) : nameOf(read),
    fromStdin: read.flags.has('password-stdin'),
    rights: rightsOf(read.flags.get('publish'), read.flags.get('subscribe')),
    fileFlags: Object.keys(fileFlags).flatMap(flag =>
      (read.flags.get(flag) ?? []).map(value => `--${flag}=${value}`),
    ),
  }
}

function noName({ operands }: Arguments): string {
  if (operands.length > 0) throw new UsageError('list takes no name')
  return ''
}

/** Returns the one operand. Messages never quote it, because it may be a password. */
function nameOf({ operands }: Arguments): string {
  const [name, ...others] = operands
  if (name === undefined) throw new UsageError('a user name is required')
  if (others.length > 0) throw new UsageError('expected one user name and nothing else')
  if (!isUserName(name.text)) throw new UsageError(`a user name is ${userNameRule}`)
  return preparedName(name.text)
}

/** Returns the rights that the flags give. Undefined if there are none, which means all rights. */
function rightsOf(
  publish: readonly string[] | undefined,
  subscribe: readonly string[] | undefined,
): ChannelRights | undefined {
  if (publish === undefined && subscribe === undefined) return undefined
  for (const pattern of [...(publish ?? []), ...(subscribe ?? [])])
    if (!isChannelPattern(pattern))
      throw new UsageError(`${JSON.stringify(pattern)} is not ${channelPatternRule}`)
  // Writes both lists, so that the file shows what is not granted.
  return { publish: publish ?? [], subscribe: subscribe ?? [] }
}
