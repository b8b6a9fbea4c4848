import { definition, flagOf, properties, variableOf } from './schema.js'

/** An option as it is documented. */
export interface OptionRow {
  readonly property: string
  readonly variable: string
  /** Undefined for secrets. */
  readonly flag: string | undefined
  readonly placeholder: string
  readonly meaning: string
  readonly defaultText: string
  readonly values: string
}

const helpWidth = 100
const helpIndent = 34

function wrap(text: string, width: number): string[] {
  const lines = ['']
  for (const word of text.split(' ')) {
    const last = lines.at(-1) ?? ''
    if (last === '') lines[lines.length - 1] = word
    else if (last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`
    else lines.push(word)
  }
  return lines
}

function renderOption(row: OptionRow): string {
  const flag = row.flag === undefined ? '(no flag)' : `${row.flag} ${row.placeholder}`
  const width = helpWidth - helpIndent
  const limits = `${row.values}; default: ${row.defaultText}`
  const right = [row.variable, ...wrap(row.meaning, width), ...wrap(limits, width)]
  return right.map((part, index) => (index === 0 ? `  ${flag} ` : '').padEnd(helpIndent) + part).join('\n')
}

/**
 * Renders each option: its flag, and beside it variable, meaning, values and default. At most 100
 * columns.
 */
const renderHelp = (rows: readonly OptionRow[]): string => rows.map(renderOption).join('\n')

const cell = (text: string): string => text.replaceAll('|', '\\|')

/** Renders the options as a Markdown table. */
function renderTable(rows: readonly OptionRow[]): string {
  const lines = rows.map(row => [
    `\`${row.variable}\``,
    row.flag === undefined ? 'none' : `\`${row.flag}\``,
    `\`${row.property}\``,
    row.meaning,
    row.defaultText,
    row.values,
  ])
  const head = ['variable', 'flag', 'option', 'meaning', 'default', 'values']
  return [head, head.map(() => '---'), ...lines].map(cells => `| ${cells.map(cell).join(' | ')} |`).join('\n')
}

/** Returns all options as they are documented. */
export function optionRows(): OptionRow[] {
  return properties.map(property => {
    const { kind, meaning, secret, default: otherwise, inDevelopment, computed } = definition(property)
    return {
      property,
      variable: variableOf(property),
      flag: secret ? undefined : flagOf(property),
      placeholder: kind.placeholder,
      meaning,
      defaultText:
        (otherwise || computed || 'none') + (inDevelopment ? `; ${inDevelopment} in development` : ''),
      values: kind.values,
    }
  })
}

/** Returns the options part of `ticketgate serve --help`, at most 100 columns wide. */
export function helpText(): string {
  const note = [
    'Options: --name value or --name=value, or the variable below each. Flags override variables.',
    'createGate takes the options by the names of their flags in camel case: ticketTtlSeconds.',
    'Secrets have no flag, because arguments are visible to every user of the machine.',
  ]
  return `${note.join('\n')}\n\n${renderHelp(optionRows())}\n`
}

/** Returns the options as a Markdown table, for docs/configuration.md. */
export const optionsTable = (): string => renderTable(optionRows())
