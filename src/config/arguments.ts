import { parseArgs } from 'node:util'

/** How often a flag takes a value: once, any number of times, or never (`switch`). */
export type FlagKind = 'value' | 'values' | 'switch'

/** The flags of a command, by name without dashes. */
export type FlagKinds = Readonly<Record<string, FlagKind>>

/** A parsed command line. Flags are named without dashes; a switch has no values. */
export interface Arguments {
  readonly flags: ReadonlyMap<string, readonly string[]>
  readonly operands: readonly Operand[]
}

export interface Operand {
  /** Counted from 1. Messages give the position, because the text may be a secret. */
  readonly position: number
  readonly text: string
}

/** Every command takes `--help`, also as `-h`. */
const help = 'help'

export const wantsHelp = ({ flags }: Arguments): boolean => flags.has(help)

/**
 * Parses the arguments of a command: `--name value` or `--name=value`, and `--` before operands
 * that start with a dash. Messages never repeat a value, which may be a secret.
 * @param problems receives one line per mistake, starting with the flag
 * @param unknown returns what to suggest for an unknown flag, given its name without dashes
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
    if (kind === undefined) problems.push(`${label}: unknown flag: ${unknown(name)}`)
    else if (kind === 'switch' && value !== undefined) problems.push(`${label}: takes no value`)
    else if (kind !== 'switch' && (value === undefined || (value.startsWith('-') && !token.inlineValue)))
      problems.push(`${label}: needs a value: write ${label}=VALUE`)
    else if (kind === 'value' && flags.has(name)) problems.push(`${label}: is given more than once: keep one`)
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
  // `-p80` yields one token per letter. The first is enough.
  return tokens.filter((token, index) => token.index !== tokens[index - 1]?.index)
}
