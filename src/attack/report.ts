import type { Case, Verdict } from './cases.js'

/** A case and its result. */
export interface Finding extends Verdict {
  readonly name: string
  readonly title: string
  readonly ms: number
}

export const finding = ({ name, title }: Case, verdict: Verdict, ms: number): Finding => ({
  name,
  title,
  ms,
  ...verdict,
})

const widest = Math.max(...['held', 'broken', 'skipped'].map(({ length }) => length))

/** One line per finding, and a summary. */
export function table(findings: readonly Finding[]): string {
  const nameWidth = Math.max(...findings.map(({ name }) => name.length))
  const lines = findings.map(
    ({ name, outcome, title, detail }) =>
      `${outcome.padEnd(widest)}  ${name.padEnd(nameWidth)}  ${title}${detail === '' ? '' : ` (${detail})`}`,
  )
  const count = (wanted: Verdict['outcome']): number =>
    findings.filter(({ outcome }) => outcome === wanted).length
  return `${lines.join('\n')}\n\n${count('held')} held, ${count('broken')} broken, ${count('skipped')} skipped\n`
}

const entities: Readonly<Record<string, string>> = { '<': '&lt;', '>': '&gt;', '&': '&amp;', '"': '&quot;' }
const escaped = (text: string): string => text.replace(/[<>&"]/g, sign => entities[sign] ?? sign)

/** The findings as JUnit XML, for CI. */
export function junit(findings: readonly Finding[]): string {
  const count = (wanted: Verdict['outcome']): number =>
    findings.filter(({ outcome }) => outcome === wanted).length
  const cases = findings.map(({ name, title, outcome, detail, ms }) => {
    const inner =
      outcome === 'held'
        ? ''
        : outcome === 'broken'
          ? `<failure message="${escaped(detail)}"/>`
          : `<skipped message="${escaped(detail)}"/>`
    return `  <testcase classname="${escaped(name)}" name="${escaped(title)}" time="${(ms / 1000).toFixed(3)}">${inner}</testcase>`
  })
  const totals = `tests="${findings.length}" failures="${count('broken')}" skipped="${count('skipped')}"`
  return `<?xml version="1.0" encoding="UTF-8"?>\n<testsuite name="ticketgate attack" ${totals}>\n${cases.join('\n')}\n</testsuite>\n`
}
