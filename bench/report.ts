import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { cpus, release, totalmem } from 'node:os'
import type { CoreReport } from './core.js'
import { cpuSource } from './cpu.js'
import type { Percentiles } from './driver/opener.js'
import type { Row, Sample, Unit } from './scenario.js'
import type { TargetName } from './target.js'

/** One measured run, warm-up excluded. Rounds count from 1. */
export interface Measurement extends Sample {
  readonly round: number
  readonly row: string
  readonly target: TargetName
}

/** Why a target has no figure in a row. */
export interface Gap {
  readonly row: string
  readonly target: TargetName
  readonly reason: string
}

/** A target or a scenario left out, and how to fix that. */
export interface Missing {
  readonly name: string
  readonly reason: string
}

export interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
}

export interface Summary {
  readonly row: string
  readonly unit: Unit
  readonly target: TargetName
  readonly value: Spread
  /** As a multiple of the floor within each round. Absent without a floor to compare with. */
  readonly timesFloor?: Spread
  /** Present if operations were counted. */
  readonly load?: {
    readonly operationsPerSecond: number
    /** CPU time divided by wall time: 1 is one busy core. */
    readonly serverShare: number
    readonly driverShare: number
  }
  readonly latency?: Percentiles
}

/** A value measured at growing sizes, once each. */
export interface Curve {
  readonly name: string
  readonly unit: string
  readonly over: string
  /** The axis of the sizes in a chart. */
  readonly axis: 'log' | 'value'
  readonly sizes: readonly number[]
  readonly series: Readonly<Record<string, readonly (number | null)[]>>
}

export interface Results {
  readonly run: Readonly<Record<string, string | number>>
  readonly summary: readonly Summary[]
  readonly gaps: readonly Gap[]
  readonly missing: readonly Missing[]
  readonly curves: readonly Curve[]
  readonly core?: CoreReport
  readonly measured: readonly Measurement[]
}

/** Throws on an empty list. */
export const spread = (values: readonly number[]): Spread => {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  const [low, high] = [sorted[sorted.length % 2 === 0 ? middle - 1 : middle], sorted[middle]]
  const [min, max] = [sorted[0], sorted.at(-1)]
  if (low === undefined || high === undefined || min === undefined || max === undefined)
    throw new RangeError('nothing was measured')
  return { median: (low + high) / 2, min, max }
}

const median = (values: readonly number[]): number => spread(values).median

const percentiles = ['p50', 'p90', 'p99', 'p999', 'max'] as const

const summariseRow = (row: Row, target: TargetName, measured: readonly Measurement[]): Summary => {
  const runs = measured.filter(one => one.row === row.name && one.target === target)
  const ratios = runs.flatMap(run => {
    const beneath = measured.find(
      one => one.round === run.round && one.target === 'floor' && one.row === (row.comparedWith ?? row.name),
    )
    return beneath ? [run.value / beneath.value] : []
  })
  const loads = runs.flatMap(({ load }) => (load ? [load] : []))
  const latencies = runs.flatMap(({ latency }) => (latency ? [latency] : []))
  const latencyOf = (name: (typeof percentiles)[number]): number => median(latencies.map(one => one[name]))
  return {
    row: row.name,
    unit: row.unit,
    target,
    value: spread(runs.map(({ value }) => value)),
    ...(target !== 'floor' && ratios.length > 0 ? { timesFloor: spread(ratios) } : {}),
    ...(loads.length > 0
      ? {
          load: {
            operationsPerSecond: median(loads.map(one => (one.operations * 1e9) / one.wallNs)),
            serverShare: median(loads.map(one => one.serverCpuNs / one.wallNs)),
            driverShare: median(loads.map(one => one.driverCpuNs / one.wallNs)),
          },
        }
      : {}),
    ...(latencies.length > 0
      ? {
          latency: {
            p50: latencyOf('p50'),
            p90: latencyOf('p90'),
            p99: latencyOf('p99'),
            p999: latencyOf('p999'),
            max: latencyOf('max'),
          },
        }
      : {}),
  }
}

/**
 * Returns one summary for each measured row and target, in the order of the rows and of `targets`.
 */
export const summarise = (
  rows: readonly Row[],
  targets: readonly TargetName[],
  measured: readonly Measurement[],
): Summary[] =>
  rows.flatMap(row =>
    targets
      .filter(target => measured.some(one => one.row === row.name && one.target === target))
      .map(target => summariseRow(row, target, measured)),
  )

const versionOf = (path: string): string =>
  (JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8')) as { version: string }).version

/** The first line of a program's version output. */
const versionLine = (program: string, argument: string): string =>
  spawnSync(program, [argument], { encoding: 'utf8' }).stdout?.split('\n', 1)[0]?.trim() ?? 'none'

/** Describes the machine and the software of the run. */
export const describeRun = (command: string, date: Date, rounds: number): Results['run'] => ({
  command,
  date: date.toISOString(),
  machine: `${cpus().length} × ${cpus()[0]?.model.trim() ?? 'unknown CPU'}, ${(totalmem() / 2 ** 30).toFixed(1)} GiB`,
  system: `Linux ${release()}`,
  node: process.versions.node,
  ticketgate: versionOf('../package.json'),
  uWebSockets: versionOf('../node_modules/uWebSockets.js/package.json'),
  autocannon: versionOf('../node_modules/autocannon/package.json'),
  peers: Object.entries(peerVersions())
    .map(([name, version]) => `${name} ${version}`)
    .join(', '),
  go: versionLine('go', 'version'),
  redis: versionLine('redis-server', '--version'),
  gcc: versionLine('gcc', '--version'),
  cpuSource,
  rounds,
})

const peerVersions = (): Record<string, string> =>
  (
    JSON.parse(readFileSync(new URL('package.json', import.meta.url), 'utf8')) as {
      dependencies: Record<string, string>
    }
  ).dependencies

/** Formats a figure with three digits, or more before the decimal point. */
export const digits = (value: number): string => {
  const size = Math.abs(value)
  if (size >= 1000) return Math.round(value).toLocaleString('en')
  return size >= 100 ? value.toFixed(0) : value.toPrecision(3)
}

const range = ({ median, min, max }: Spread): string => `${digits(median)} (${digits(min)}–${digits(max)})`
const percent = (share: number): string => `${Math.round(share * 100)} %`

const columns = [
  'row',
  'target',
  'unit',
  'median (range)',
  '× floor',
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
