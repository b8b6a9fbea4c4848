import { join } from 'node:path'
import t from 'tap'
import { compare, readRatios, writeRatios } from '../../bench/reports/check.js'

t.test('a ratio may be at most a fifth above the accepted one', async t => {
  const accepted = { ticket: 1.5, handshake: 2 }
  t.strictSame(compare(accepted, { ticket: 1.79, handshake: 1 }).regressions, [])
  t.strictSame(compare(accepted, { ticket: 1.81, handshake: 2 }).regressions, ['ticket'])
  t.match(compare(accepted, { ticket: 1.81, handshake: 2 }).text, /ticket .*SLOWER\nhandshake .*ok/)
})

t.test('a missing row counts as slower, a new one does not', async t => {
  const { text, regressions } = compare({ ticket: 1.5 }, { handshake: 9 })
  t.strictSame(regressions, ['ticket'])
  t.match(text, /ticket .*NOT MEASURED\nhandshake .*new/)
  t.strictSame(compare({ ticket: 1.5 }, { ticket: Number.NaN }).regressions, ['ticket'])
})

t.test('ratios are written and read back', async t => {
  const file = join(t.testdir({ text: '"none"', words: '{"ticket":"fast"}' }), 'ratios.json')
  writeRatios(file, { ticket: 1.23456 })
  t.strictSame(readRatios(file), { ticket: 1.23 })
  for (const name of ['text', 'words']) t.throws(() => readRatios(join(t.testdirName, name)), / ratio/)
})
