import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { parse } from 'yaml'
import { refusalCodes } from '../../src/errors.js'
import { storeStatuses } from '../../src/telemetry/metrics.js'
import { everyMetric } from '../support/every-metric.js'
import { needs, pathOf } from '../support/programs.js'

interface Rule {
  readonly alert: string
  readonly expr: string
  readonly labels: { readonly severity: string }
  readonly annotations: { readonly summary: string; readonly description: string }
}

interface Panel {
  readonly id: number
  readonly title: string
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number }
  readonly targets?: readonly { readonly expr: string }[]
}

const pathTo = (name: string): string => fileURLToPath(new URL(`../../${name}`, import.meta.url))
const alertsFile = pathTo('deploy/prometheus/alerts.yml')
const alertTests = pathTo('test/deploy/alerts.test.yml')

const rules: readonly Rule[] = parse(readFileSync(alertsFile, 'utf8')).groups[0].rules
const dashboard = JSON.parse(readFileSync(pathTo('deploy/grafana/dashboard.json'), 'utf8'))
const panels: readonly Panel[] = dashboard.panels
const queries = panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => ({ title, expr })))

/** The names of all series that a gate can have in Prometheus. */
async function servedNames(): Promise<ReadonlySet<string>> {
  const text = await everyMetric()
  const names = new Set<string>()
  for (const [, name = '', type] of text.matchAll(/^# TYPE (\S+) (\S+)/gm))
    for (const suffix of type === 'histogram' ? ['_bucket', '_sum', '_count'] : ['']) names.add(name + suffix)
  return names
}

const namesIn = (expr: string): string[] =>
  [...expr.matchAll(/\b(?:ticketgate|process)_\w+/g)].map(([name]) => name)

t.test('alerts and dashboard use only existing metrics, codes and states', async t => {
  const served = await servedNames()
  for (const { alert, expr } of rules)
    t.strictSame(
      namesIn(expr).filter(name => !served.has(name)),
      [],
      alert,
    )
  for (const { title, expr } of queries) {
    t.strictSame(
      namesIn(expr).filter(name => !served.has(name)),
      [],
      title,
    )
    t.ok(namesIn(expr).length > 0, `${title} uses at least one metric`)
  }
  const codes: readonly string[] = refusalCodes
  const states: readonly string[] = storeStatuses
  for (const expr of [...rules, ...queries].map(each => each.expr)) {
    for (const [, code = ''] of expr.matchAll(/code="(\w+)"/g)) t.ok(codes.includes(code), code)
    for (const [, state = ''] of expr.matchAll(/state="(\w+)"/g)) t.ok(states.includes(state), state)
  }
})

t.test('each alert has a severity, a description, advice and a test', async t => {
  const tested = readFileSync(alertTests, 'utf8')
  for (const { alert, labels, annotations } of rules) {
    t.match(labels.severity, /^(warning|critical)$/, alert)
    t.ok(annotations.summary.length > 20 && annotations.description.length > 40, alert)
    t.match(tested, `alertname="${alert}", alertstate="firing"`)
  }
})

t.test('no panels overlap', async t => {
  const taken = new Map<string, string>()
  for (const { title, gridPos } of panels)
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++)
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
        const other = taken.get(`${x} ${y}`)
        if (other !== undefined || x >= 24) t.fail(`${title} overlaps ${other ?? 'the edge'}`)
        taken.set(`${x} ${y}`, title)
      }
  t.equal(new Set(panels.map(({ id }) => id)).size, panels.length)
})

t.test('promtool accepts the rules, and each alert fires when it should', needs('promtool'), async t => {
  const promtool = (...args: readonly string[]): string =>
    execFileSync(pathOf('promtool'), args, { encoding: 'utf8', stdio: 'pipe' })
  t.match(promtool('check', 'rules', alertsFile), `SUCCESS: ${rules.length} rules found`)
  t.match(promtool('test', 'rules', alertTests), 'SUCCESS')

  // Grafana would fill in a name, a pattern and an interval.
  const filled = queries.map(({ expr }) =>
    expr.replaceAll('$__rate_interval', '5m').replaceAll('$job', 'ticketgate').replaceAll('$instance', '.*'),
  )
  const recorded = filled.map((expr, n) => ({ record: `panel:query:${n}`, expr }))
  const file = join(t.testdir(), 'panels.yml')
  writeFileSync(file, JSON.stringify({ groups: [{ name: 'panels', rules: recorded }] }))
  t.match(promtool('check', 'rules', file), `SUCCESS: ${queries.length} rules found`)
  t.throws(() => {
    writeFileSync(file, JSON.stringify({ groups: [{ name: 'x', rules: [{ record: 'x', expr: 'rate(' }] }] }))
    promtool('check', 'rules', file)
  }, 'promtool does find a broken query')
})
