import type { CoreReport } from '../figures/core.js'
import type { Curve, Results, Spread, Summary } from '../figures/summary.js'
import { digits } from '../figures/text.js'
import { type TunnelRow, tunnelColumns } from '../figures/tunnel.js'

const range = ({ median, min, max }: Spread): string => `${digits(median)} (${digits(min)}–${digits(max)})`
const percent = (share: number): string => `${Math.round(share * 100)} %`

const columns = [
  'row',
  'target',
  'unit',
  'median (range)',
  '× floor',
  '× bare floor',
  'op/s',
  'server CPU',
  'driver CPU',
  'p50/p99/p99.9 ms',
]

const cells = (one: Summary): string[] => [
  one.row,
  one.target,
  one.unit,
  range(one.value),
  one.timesFloor ? range(one.timesFloor) : '',
  one.timesBareFloor ? range(one.timesBareFloor) : '',
  one.load ? digits(one.load.operationsPerSecond) : '',
  one.load ? percent(one.load.serverShare) : '',
  one.load ? percent(one.load.driverShare) : '',
  one.latency ? [one.latency.p50, one.latency.p99, one.latency.p999].map(digits).join(' / ') : '',
]

/** The rows with measurements, and the gaps. */
const tableRows = ({ summary, gaps }: Pick<Results, 'summary' | 'gaps'>): string[][] => {
  const names = [...new Set([...summary, ...gaps].map(one => one.row))]
  return names.flatMap(name => [
    ...summary.filter(one => one.row === name).map(cells),
    ...gaps.filter(one => one.row === name).map(one => [name, one.target, `— ${one.reason}`]),
  ])
}

/** Formats the results as text in columns. */
export const table = (results: Pick<Results, 'summary' | 'gaps'>): string => {
  const body = tableRows(results)
  const widths = columns.map((head, i) =>
    Math.max(head.length, ...body.filter(row => row.length > 3).map(row => row[i]?.length ?? 0)),
  )
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) => (i < 3 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
      .join('  ')
      .trimEnd()
  return [line(columns), widths.map(width => '─'.repeat(width)).join('  '), ...body.map(line)].join('\n')
}

/** Formats a curve as text: sizes across, series down. */
export const curveTable = ({ name, unit, over, sizes, series }: Curve): string => {
  const rows = [
    [over, ...sizes.map(size => size.toLocaleString('en'))],
    ...Object.entries(series).map(([label, values]) => [
      label,
      ...values.map(value => (value === null ? '' : digits(value))),
    ]),
  ]
  const width = (i: number): number => Math.max(...rows.map(row => row[i]?.length ?? 0))
  const lines = rows.map(row =>
    row.map((cell, i) => (i === 0 ? cell.padEnd(width(i)) : cell.padStart(width(i)))).join('  '),
  )
  return [`${name} (${unit})`, ...lines].join('\n')
}

/** Formats the table in Markdown. */
export const markdownTable = (results: Pick<Results, 'summary' | 'gaps'>): string =>
  [columns, columns.map((_, i) => (i < 3 ? '---' : '--:')), ...tableRows(results)]
    .map(row => `| ${columns.map((_, i) => row[i] ?? '').join(' | ')} |`)
    .join('\n')

/** The report as lines of text. */
export function coreTable({ figures, memory }: CoreReport): string {
  const width = Math.max(
    ...figures.map(({ name }) => name.length),
    ...memory.map(({ cache }) => cache.length),
  )
  const line = (name: string, ...cells: readonly string[]): string =>
    `${name.padEnd(width)}  ${cells.map(cell => cell.padStart(9)).join('  ')}`
  return [
    line('CPU ns per operation', 'median', 'least', 'in MACs', 'target'),
    ...figures.map(({ name, median, least, times, target }) =>
      line(
        name,
        median.toFixed(0),
        least.toFixed(0),
        times.toFixed(2),
        target === undefined ? '' : `≤ ${target}`,
      ),
    ),
    '',
    line('memory per remembered ticket', 'bytes', 'live'),
    ...memory.map(({ cache, bytesPerTicket, live: count }) =>
      line(cache, bytesPerTicket.toFixed(1), String(count)),
    ),
  ].join('\n')
}

/** Formats the rows of tunnels as text. */
export const tunnelTable = (rows: readonly TunnelRow[]): string => {
  const lines = rows.map(({ name, unit, values }) => {
    const { nginx, ticketgate } = values
    return [
      name,
      unit,
      ...tunnelColumns.map(column => (values[column] === undefined ? '' : digits(values[column]))),
      nginx === undefined || ticketgate === undefined ? '' : (ticketgate / nginx).toFixed(2),
    ]
  })
  const all = [['tunnel', 'unit', ...tunnelColumns, '× nginx'], ...lines]
  const width = (i: number): number => Math.max(...all.map(row => row[i]?.length ?? 0))
  return all
    .map(row => row.map((cell, i) => (i < 2 ? cell.padEnd(width(i)) : cell.padStart(width(i)))))
    .map(row => row.join('  ').trimEnd())
    .join('\n')
}
