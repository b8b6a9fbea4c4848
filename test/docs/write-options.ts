/**
 * Writes the table of options in docs/configuration.md, and src/config/gate-options.ts. After a
 * change of the schema, run `npx --no-install tsx test/docs/write-options.ts`.
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
