import { readFileSync } from 'node:fs'
import t from 'tap'
import { rowsOf } from './markdown.js'

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')

t.test('each production dependency has a line that says why it is used', async t => {
  const [, table = ''] = /\n\n(\|[\s\S]*)$/.exec(read('docs/dependencies.md')) ?? []
  const rows = rowsOf(table.trim())
  const names = rows.map(([name = '']) => name.replaceAll('`', ''))
  t.strictSame(names.sort(), Object.keys(JSON.parse(read('package.json')).dependencies).sort())
  for (const [name = '', why = ''] of rows) t.ok(why.length >= 30, name)
})
