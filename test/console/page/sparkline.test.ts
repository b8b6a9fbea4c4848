import t from 'tap'
import { sparklineOf } from '../../../src/console/page/sparkline.js'

const shape = { width: 10, height: 20 }

t.test('the newest value is at the right edge, and the highest one is not cut off', async t => {
  const { line, area } = sparklineOf([0, 10], shape)
  t.equal(line, 'M9 20L10 1.82')
  t.equal(area, 'M9 20L10 1.82L10 20L9 20Z')
})

t.test('unknown values leave a gap', async t => {
  t.equal(sparklineOf([1, 1, undefined, 1], shape).line.match(/M/g)?.length, 2)
  t.strictSame(sparklineOf([undefined], shape), { line: '', area: '' })
  t.strictSame(sparklineOf([], shape), { line: '', area: '' })
})

t.test('small values are drawn small', async t => {
  t.equal(sparklineOf([1], shape).line, 'M10 15.45')
})
