import { type Spread, spread } from './summary.js'
import { digits } from './text.js'

/** One figure of a case, by round. */
export interface CaseFigure {
  readonly what: string
  readonly unit: string
  readonly values: readonly number[]
  /** What it is compared with, in the same rounds. */
  readonly beside?: readonly number[]
}

/** What was measured of a case, and how. */
export interface CaseReport {
  /** What was done, so that the figures can be judged. */
  readonly condition: string
  /** What the figures are compared with. */
  readonly beside?: string
  readonly figures: readonly CaseFigure[]
  readonly run: Readonly<Record<string, string | number>>
}

const range = ({ median, min, max }: Spread): string =>
  min === max ? digits(median) : `${digits(median)} (${digits(min)}–${digits(max)})`

/** A report as Markdown. The multiples are of the same round each. */
export function caseTable(name: string, { condition, beside, figures, run }: CaseReport): string {
  const head = ['', 'unit', 'median (range)', ...(beside === undefined ? [] : [beside, `× ${beside}`])]
  const lines = figures.map(one => {
    const ratios = one.values.flatMap((value, n) => {
      const other = one.beside?.[n]
      return other === undefined ? [] : [value / other]
    })
    const compared = one.beside === undefined ? ['', ''] : [range(spread(one.beside)), range(spread(ratios))]
    return [one.what, one.unit, range(spread(one.values)), ...(beside === undefined ? [] : compared)]
  })
  const rows = [head, head.map((_, n) => (n < 2 ? '---' : '--:')), ...lines]
  const table = rows.map(cells => `| ${cells.join(' | ')} |`).join('\n')
  const how = Object.entries(run).map(([key, value]) => `${key}: ${value}`)
  return `### ${name}\n\n${condition}\n\n${table}\n\n${how.join('; ')}`
}
