import t from 'tap'
import { fileNeeds } from '../support/programs.js'
import { dashboardPanels, startScrapedGates } from '../support/scraped-gates.js'

fileNeeds(t, 'prometheus', 'redis-server')

t.test('every query of the dashboard has values for gates under load', async t => {
  const gates = await startScrapedGates(t)
  const missing = async (): Promise<string[]> => {
    const found: string[] = []
    for (const panel of dashboardPanels())
      for (const target of panel.targets ?? []) {
        const series = await gates.seriesOf({ ...panel, targets: [target] }, 300)
        if (!series.some(({ points }) => points.some(([, value]) => Number.isFinite(value))))
          found.push(`${panel.title}: ${target.expr}`)
      }
    return found
  }
  // Some values need a second scrape, or occur rarely.
  for (let left = await missing(); left.length > 0; left = await missing()) {
    t.comment('no values yet:', left)
    await gates.load(5)
  }
  t.pass(`all ${dashboardPanels().length} panels have values`)
})
