import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type CaseReport, caseTable } from '../figures/case.js'
import type { Results } from '../figures/summary.js'
import { installPackages } from '../targets/packages.js'
import { coreTable, curveTable, markdownTable, tunnelTable } from './tables.js'

const directory = fileURLToPath(new URL('../results/', import.meta.url))

/** Installs what the charts need, before measuring. */
export const preparePublishing = (): void => installPackages()

/** Writes the results of --connections next to the others. */
export const publishConnections = (text: string, run: Results['run']): void => {
  mkdirSync(directory, { recursive: true })
  const lines = ['command', 'date', 'machine', 'system', 'node', 'ticketgate', 'uWebSockets'].map(
    name => `${name}: ${run[name]}`,
  )
  writeFileSync(`${directory}connections.txt`, `${text.trim()}\n\n${lines.join('\n')}\n`)
}

const casesTitle = '## Cases'
const casesFile = `${directory}cases.json`

const readCases = (): Readonly<Record<string, CaseReport>> =>
  existsSync(casesFile) ? JSON.parse(readFileSync(casesFile, 'utf8')) : {}

/** Writes what was measured of a case next to the other results, and into their page. */
export const publishCase = (name: string, report: CaseReport): void => {
  const cases = { ...readCases(), [name]: report }
  writeFileSync(casesFile, `${JSON.stringify(cases, undefined, 1)}\n`)
  const [before = ''] = readFileSync(`${directory}README.md`, 'utf8').split(`\n${casesTitle}`, 1)
  writeFileSync(`${directory}README.md`, before + casesSection())
}

/** Writes the results as JSON, tables and charts into bench/results, which the documents show. */
export const publish = async (results: Results): Promise<string> => {
  const { drawCharts } = await import('./charts.js')
  const core = results.core && coreTable(results.core)
  mkdirSync(directory, { recursive: true })
  for (const name of readdirSync(directory)) if (name.endsWith('.svg')) rmSync(`${directory}${name}`)
  const charts = drawCharts(results)
  for (const [name, svg] of charts) writeFileSync(`${directory}${name}`, svg)
  writeFileSync(`${directory}results.json`, `${JSON.stringify(results, undefined, 1)}\n`)
  writeFileSync(`${directory}README.md`, page(results, [...charts.keys()], core))
  return directory
}

const page = (results: Results, charts: readonly string[], core = ''): string => `# Results

Written by \`npm run bench -- --publish\`; what the figures mean is in \`bench/README.md\`.

${Object.entries(results.run)
  .map(([name, value]) => `- ${name}: ${value}`)
  .join('\n')}
${results.missing.map(({ name, reason }) => `- not measured: ${name}, ${reason}\n`).join('')}
${markdownTable(results)}

${results.curves.map(curve => `\`\`\`text\n${curveTable(curve)}\n\`\`\``).join('\n\n')}

${results.tunnels.length === 0 ? '' : `\`\`\`text\n${tunnelTable(results.tunnels)}\n\`\`\`\n`}
${core === '' ? '' : `\`\`\`text\n${core}\n\`\`\`\n`}
${charts.map(name => `![${name.replace('.svg', '')}](${name})`).join('\n')}
${casesSection()}`

const casesSection = (): string => {
  const cases = Object.entries(readCases())
  if (cases.length === 0) return ''
  const tables = cases.map(([name, report]) => caseTable(name, report))
  return `\n${casesTitle}\n\nEach is run on its own (\`--case NAME --publish\`).\n\n${tables.join('\n\n')}\n`
}
