import { parseArgs } from 'node:util'

/** How often a flag may be given with a value: once, any number of times, or never (`switch`). */
export type FlagKind = 'value' | 'values' | 'switch'

/** The flags of a command, by name without dashes. */
export type FlagKinds = Readonly<Record<string, FlagKind>>

/** A command line, read. Flags have their names without dashes; a switch has no values. */
export interface Arguments {
  readonly flags: ReadonlyMap<string, readonly string[]>
  readonly operands: readonly Operand[]
}

export interface Operand {
  /** Counted from 1. Messages name the place: the text may be a secret. */
  readonly position: number
  readonly text: string
}

/** What every command has: `--help`, also as `-h`. */
const help = 'help'

export const wantsHelp = ({ flags }: Arguments): boolean => flags.has(help)

/**
 * Reads the arguments of any command, in one way: `--name value` or `--name=value`, `--` before operands that begin
 * with a dash. No message repeats a value, which may be a secret.
 * @param problems gets one line for each mistake, which begins with the flag
 * @param unknown what to say of a flag that does not exist, given its name without dashes
 */
export function parseArguments(
  args: readonly string[],
  kinds: FlagKinds,
  problems: string[],
  unknown: (name: string) => string,
): Arguments {
  const flags = new Map<string, string[]>()
  const operands: Operand[] = []
  for (const token of tokensOf(args, kinds)) {
    if (token.kind === 'option-terminator') continue
    if (token.kind === 'positional') {
      operands.push({ position: token.index + 1, text: token.value })
      continue
    }
    const { name, rawName: label, value } = token
    const kind = name === help ? 'switch' : Object.hasOwn(kinds, name) ? kinds[name] : undefined
    if (kind === undefined) problems.push(`${label}: there is no such flag: ${unknown(name)}`)
    else if (kind === 'switch' && value !== undefined) problems.push(`${label}: takes no value`)
    else if (kind !== 'switch' && (value === undefined || (value.startsWith('-') && !token.inlineValue)))
      problems.push(`${label}: has no value: write ${label}=VALUE`)
    else if (kind === 'value' && flags.has(name))
      problems.push(`${label}: is given more than once: leave one`)
    else flags.set(name, [...(flags.get(name) ?? []), ...(value === undefined ? [] : [value])])
  }
  return { flags, operands }
}

function tokensOf(args: readonly string[], kinds: FlagKinds) {
  const options = Object.fromEntries(
    Object.entries(kinds).map(([name, kind]) => [
      name,
      { type: kind === 'switch' ? ('boolean' as const) : ('string' as const) },
    ]),
  )
  const { tokens } = parseArgs({
    args: [...args],
    options: { ...options, [help]: { type: 'boolean', short: 'h' } },
    strict: false,
    tokens: true,
  })
  // `-p80` gives one token a letter: the first will do.
  return tokens.filter((token, index) => token.index !== tokens[index - 1]?.index)
}
