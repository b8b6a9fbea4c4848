import t from 'tap'
import { caseTable } from '../../bench/figures/case.js'

t.test('a case is shown with its condition, and compared within each round', async t => {
  const figures = [
    { what: 'a delivery', unit: 'µs', values: [2, 6, 4], beside: [1, 2, 4] },
    { what: 'lost', unit: '%', values: [7] },
  ]
  const text = caseTable('drops', {
    condition: 'The network is lost.',
    beside: 'floor',
    figures,
    run: { rounds: 3 },
  })
  t.match(text, '### drops\n\nThe network is lost.\n\n|')
  t.match(text, '| a delivery | µs | 4.00 (2.00–6.00) | 2.00 (1.00–4.00) | 2.00 (1.00–3.00) |')
  t.match(text, '| lost | % | 7.00 |  |  |')
  t.match(text, /rounds: 3$/)
})
