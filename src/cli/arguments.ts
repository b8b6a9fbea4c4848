import { type Arguments, type FlagKinds, parseArguments, wantsHelp } from '../config/arguments.js'
import { UsageError } from './command.js'

/**
 * Parses the arguments of a command. With `--help`, mistakes are ignored.
 * @throws UsageError with all mistakes, one per line
 */
export function readArguments(args: readonly string[], kinds: FlagKinds): Arguments {
  const problems: string[] = []
  const names = Object.keys(kinds).map(name => `--${name}`)
  const list = names.length > 0 ? names.join(', ') : 'no flags'
  const read = parseArguments(args, kinds, problems, () => `this command takes ${list}`)
  if (problems.length > 0 && !wantsHelp(read)) throw new UsageError(problems.join('\n'))
  return read
}
