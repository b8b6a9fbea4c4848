/** Writes the table of options into the README: `npx tsx test/docs/write-options.ts`, after a change of the schema. */
import { readFileSync, writeFileSync } from 'node:fs'
import { optionsTable } from '../../src/config/help.js'
import { between } from './markdown.js'

const file = new URL('../../README.md', import.meta.url)
const readme = readFileSync(file, 'utf8')
const table = between(readme, 'options')
if (table === '') throw new Error('README.md has no table between <!-- options --> and <!-- /options -->')
writeFileSync(
  file,
  readme.replace(table, () => optionsTable()),
)
