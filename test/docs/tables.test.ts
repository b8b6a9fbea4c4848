import { readFileSync } from 'node:fs'
import t from 'tap'
import type { GateOptions } from '../../src/config/gate-options.js'
import { optionsTable } from '../../src/config/help.js'
import type { Property } from '../../src/config/schema.js'
import { refusalCodes, statusOf } from '../../src/errors.js'
import { everyMetric } from '../support/every-metric.js'
import { between, readPage, rowsOf, tableUnder } from './markdown.js'
import { optionsInterface } from './options-interface.js'

t.equal(
  between(readPage('docs/configuration.md'), 'options'),
  optionsTable(),
  'the table of options matches the schema: npx --no-install tsx test/docs/write-options.ts writes it',
)

// Does not compile if an option is missing.
const isComplete: Exclude<Property, keyof GateOptions> extends never ? true : never = true
t.ok(isComplete, 'createGate accepts every option')

t.equal(
  readFileSync(new URL('../../src/config/gate-options.ts', import.meta.url), 'utf8'),
  optionsInterface(),
  'GateOptions matches the schema: npx --no-install tsx test/docs/write-options.ts writes it',
)

t.test('every error code is in the table, in order, with its status and meaning', async t => {
  const rows = rowsOf(between(readPage('docs/errors.md'), 'errors'))
  t.strictSame(
    rows.map(([code, status]) => `${code} ${status}`),
    refusalCodes.map(code => `\`${code}\` ${statusOf(code)}`),
  )
  t.strictSame(
    rows.filter(cells => cells.length !== 3 || (cells[2] ?? '').length < 10),
    [],
  )
})

t.test('every metric is in the table', async t => {
  const text = await everyMetric()
  const served = [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name)
  const listed = tableUnder(readPage('docs/metrics.md'), '## Metrics').flatMap(([names = '']) =>
    [...names.matchAll(/`(\w+)/g)].map(([, name]) => name),
  )
  t.strictSame(listed.sort(), served.sort())
})
