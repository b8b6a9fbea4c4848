import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Summary } from '../figures/summary.js'
import { digits } from '../figures/text.js'

/** The ratios that are compared with, of the last `--accept`. */
export const acceptedFile = fileURLToPath(new URL('../results/ratios.json', import.meta.url))

/**
 * How much greater than accepted a ratio may be. Quick runs on one quiet machine differ by up to a
 * tenth.
 */
const tolerance = 0.2

/** By row: how many times as much as the floor ticketgate takes. */
export type Ratios = Readonly<Record<string, number>>

/** The median ratios of a run. */
export const ratiosOf = (summary: readonly Summary[]): Ratios =>
  Object.fromEntries(
    summary.flatMap(({ row, target, timesFloor }) =>
      target === 'ticketgate' && timesFloor !== undefined ? [[row, timesFloor.median]] : [],
    ),
  )

/** @throws Error if the file is not a list of ratios */
export function readRatios(file: string): Ratios {
  const ratios: unknown = JSON.parse(readFileSync(file, 'utf8'))
  if (typeof ratios !== 'object' || ratios === null) throw new Error(`${file} has no ratios`)
  for (const [row, ratio] of Object.entries(ratios))
    if (typeof ratio !== 'number' || !(ratio > 0)) throw new Error(`${file}: ${row} is not a ratio`)
  return ratios as Ratios
}

export const writeRatios = (file: string, ratios: Ratios): void => {
  const rounded = Object.entries(ratios).map(([row, ratio]) => [row, Number(ratio.toFixed(2))])
  writeFileSync(file, `${JSON.stringify(Object.fromEntries(rounded), undefined, 2)}\n`)
}

export interface Comparison {
  /** A line for each row. */
  readonly text: string
  /** The rows that have become slower than the tolerance allows, or that were not measured. */
  readonly regressions: readonly string[]
}

/** Compares the ratios of a run with the accepted ones. A row that is not among them is new. */
export function compare(accepted: Ratios, measured: Ratios): Comparison {
  const rows = [...new Set([...Object.keys(accepted), ...Object.keys(measured)])]
  const width = Math.max(...rows.map(row => row.length))
  const regressions: string[] = []
  const lines = rows.map(row => {
    const [before, now] = [accepted[row], measured[row]]
    const isSlower = before !== undefined && !(now !== undefined && now <= before * (1 + tolerance))
    if (isSlower) regressions.push(row)
    const verdict =
      before === undefined ? 'new' : now === undefined ? 'NOT MEASURED' : isSlower ? 'SLOWER' : 'ok'
    return `${row.padEnd(width)}  ${shown(before)}  ${shown(now)}  ${verdict}`
  })
  const head = `${'× floor'.padEnd(width)}  accepted  measured  (${tolerance * 100} % more is tolerated)`
  return { text: [head, ...lines].join('\n'), regressions }
}

const shown = (ratio: number | undefined): string => (ratio === undefined ? '—' : digits(ratio)).padStart(8)
