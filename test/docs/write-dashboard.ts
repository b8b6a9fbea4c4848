/**
 * Draws the picture of the dashboard in docs/metrics.md. After a change of its panels, run
 * `npx --no-install tsx test/docs/write-dashboard.ts`; it needs `npm ci` in bench/, which has ECharts.
 * Grafana is neither in Debian nor in npm, so ECharts draws the panels of the dashboard file, with the
 * results of their queries from a Prometheus that scrapes two gates under load.
 */
import { fileURLToPath } from 'node:url'
import { chromium } from 'playwright-core'
import t from 'tap'
import { pathOf } from '../support/programs.js'
import { dashboardPanels, type Panel, type Series, startScrapedGates } from '../support/scraped-gates.js'

const seconds = 90
const rowPixels = 26

const file = fileURLToPath(new URL('../../docs/images/dashboard.png', import.meta.url))
const echarts = fileURLToPath(
  new URL('../../bench/node_modules/echarts/dist/echarts.min.js', import.meta.url),
)

const style = `
  body { margin: 0; padding: 8px; background: #f4f5f5; font: 13px system-ui, sans-serif; color: #24292e }
  #grid { display: grid; grid-template-columns: repeat(24, 1fr); grid-auto-rows: ${rowPixels}px; gap: 6px }
  section { background: #fff; border: 1px solid #dcdde0; border-radius: 2px; display: flex; flex-direction: column }
  section h2 { font-size: 13px; font-weight: 500; margin: 6px 10px 0 }
  section div { flex: 1; min-height: 0 }
  h1 { font-size: 15px; font-weight: 500; margin: 4px 2px; align-self: end }`

/** Runs in the page. */
function draw(panels: readonly (Panel & { readonly series: readonly Series[] })[]): void {
  const grid = document.querySelector('#grid')
  const short = (value: number): string =>
    new Intl.NumberFormat('en', { notation: 'compact', maximumSignificantDigits: 3 }).format(value)
  const text = (value: number, unit: string): string => {
    if (unit === 'reqps' || unit === 'ops') return `${short(value)}/s`
    if (unit === 'percentunit') return `${short(value * 100)} %`
    if (unit === 's') return value >= 1 ? `${short(value)} s` : `${short(value * 1000)} ms`
    if (unit === 'bytes') return `${short(value / 2 ** 20)} MiB`
    if (unit === 'd') return `${short(value)} days`
    if (unit === 'h') return value >= 1 ? `${short(value)} h` : `${short(value * 60)} min`
    return short(value)
  }
  for (const { type, title, gridPos, fieldConfig, series } of panels) {
    const place = `grid-column: ${gridPos.x + 1} / span ${gridPos.w}; grid-row: ${gridPos.y + 1} / span ${gridPos.h}`
    const element = document.createElement(type === 'row' ? 'h1' : 'section')
    element.setAttribute('style', place)
    grid?.append(element)
    if (type === 'row') {
      element.textContent = title
      continue
    }
    const heading = document.createElement('h2')
    heading.textContent = title
    const canvas = document.createElement('div')
    element.append(heading, canvas)
    const unit = fieldConfig?.defaults.unit ?? 'short'
    const stack = fieldConfig?.defaults.custom.stacking.mode === 'normal' ? { stack: 'all' } : {}
    const { echarts } = globalThis as unknown as {
      readonly echarts: { init(element: Element): { setOption(option: object): void } }
    }
    echarts.init(canvas).setOption({
      animation: false,
      grid: { left: 62, right: 14, top: 12, bottom: 48 },
      legend: {
        type: 'scroll',
        bottom: 2,
        left: 8,
        icon: 'rect',
        itemWidth: 12,
        itemHeight: 3,
        textStyle: { fontSize: 11 },
      },
      xAxis: { type: 'time', axisLabel: { fontSize: 10, hideOverlap: true } },
      yAxis: {
        type: 'value',
        min: 0,
        splitNumber: 4,
        axisLabel: { fontSize: 10, formatter: (value: number) => text(value, unit) },
      },
      series: series.map(({ name, points }) => ({
        type: 'line',
        name,
        ...stack,
        showSymbol: false,
        lineStyle: { width: 1.2 },
        areaStyle: { opacity: 0.1 },
        data: points.filter(([, value]) => Number.isFinite(value)).map(([at, value]) => [at * 1000, value]),
      })),
    })
  }
}

t.test('the picture is drawn', async t => {
  const gates = await startScrapedGates(t)
  await gates.load(seconds + 10)
  const panels = await Promise.all(
    dashboardPanels().map(async panel => ({ ...panel, series: await gates.seriesOf(panel, seconds) })),
  )
  const browser = await chromium.launch({ executablePath: pathOf('chromium'), args: ['--no-sandbox'] })
  t.teardown(() => browser.close())
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 } })
  await page.addInitScript('globalThis.__name = wrapped => wrapped')
  await page.setContent(`<!doctype html><style>${style}</style><div id="grid"></div>`)
  await page.evaluate('globalThis.__name = wrapped => wrapped')
  await page.addScriptTag({ path: echarts })
  await page.evaluate(draw, panels)
  await page.screenshot({ path: file, fullPage: true })
})
