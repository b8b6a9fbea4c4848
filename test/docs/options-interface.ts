import { type OptionRow, optionRows } from '../../src/config/help.js'

const width = 100

/** Text as the lines of a JSDoc comment of a property. */
function comment(text: string): string[] {
  const lines: string[] = []
  let line = '   *'
  for (const word of text.split(' ')) {
    if (line !== '   *' && line.length + 1 + word.length > width) {
      lines.push(line)
      line = '   *'
    }
    line += ` ${word}`
  }
  return [...lines, line]
}

const propertyOf = ({ property, variable, meaning, values, defaultText }: OptionRow): string =>
  [
    '  /**',
    ...comment(`${meaning}.`),
    '   *',
    ...comment(`Values: ${values}. \`${variable}\` if left out.`),
    ...comment(`@default ${defaultText}`),
    '   */',
    `  readonly ${property}?: OptionValue<'${property}'>`,
  ].join('\n')

/**
 * The source of `GateOptions`, whose members have the text of the schema as docstrings, for
 * editors.
 */
export const optionsInterface = (): string => `// Written by test/docs/write-options.ts.

import type { OptionValue } from './schema.js'

/**
 * Options as \`createGate\` takes them. Each may also be text, as in the environment: \`origins:
 * ['https://a.example']\` or \`'https://a.example'\`, \`loginRate: { count: 10, seconds: 60 }\`,
 * \`'10/60'\` or \`'off'\`.
 */
export interface GateOptions {
${optionRows().map(propertyOf).join('\n')}
}
`
