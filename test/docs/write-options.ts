/**
 * Writes the options into the pages and the source that list them: `npx tsx
 * test/docs/write-options.ts`, after a change of the schema.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { optionsTable } from '../../src/config/help.js'
import { between } from './markdown.js'
import { optionsInterface } from './options-interface.js'

const file = new URL('../../docs/configuration.md', import.meta.url)
const page = readFileSync(file, 'utf8')
const table = between(page, 'options')
if (table === '')
  throw new Error('configuration.md has no table between <!-- options --> and <!-- /options -->')
writeFileSync(
  file,
  page.replace(table, () => optionsTable()),
)
writeFileSync(new URL('../../src/config/gate-options.ts', import.meta.url), optionsInterface())
