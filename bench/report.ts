import { readFileSync } from 'node:fs'
import { cpus, release, totalmem } from 'node:os'
import { cpuSource, type Sample } from './cpu.js'
import type { Row } from './scenario.js'
import type { TargetName } from './servers.js'

/** One measured run: the warm-up round is not among them. Rounds count from 1. */
export interface Measurement extends Sample {
  readonly round: number
  readonly row: string
  readonly target: TargetName
}

export interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
}

export interface Summary {
  readonly row: string
  readonly target: TargetName
  /** Server CPU microseconds per operation. */
  readonly cpuMicros: Spread
  /** The same as a multiple of the floor, taken within each round; absent without a floor to compare with. */
  readonly timesFloor?: Spread
  readonly operationsPerSecond: Spread
  /** CPU time by wall time: 1 is one core kept busy. */
  readonly serverShare: Spread
  readonly driverShare: Spread
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

export const cpuMicrosOf = (sample: Sample): number => sample.serverCpuNs / 1000 / sample.operations

/** One summary for each row and target that was measured, in the order of the rows, the floor first. */
export const summarise = (rows: readonly Row[], measured: readonly Measurement[]): Summary[] =>
  rows.flatMap(row => {
    const targets = [...new Set(measured.filter(one => one.row === row.name).map(one => one.target))]
    return targets
      .sort((a, b) => Number(b === 'floor') - Number(a === 'floor'))
      .map(target => {
        const runs = measured.filter(one => one.row === row.name && one.target === target)
        const floor = (round: number): Measurement | undefined =>
          measured.find(
            one =>
              one.round === round && one.target === 'floor' && one.row === (row.comparedWith ?? row.name),
          )
        const ratios = runs.flatMap(run => {
          const beneath = floor(run.round)
          return beneath ? [cpuMicrosOf(run) / cpuMicrosOf(beneath)] : []
        })
        return {
          row: row.name,
          target,
          cpuMicros: spread(runs.map(cpuMicrosOf)),
          ...(target !== 'floor' && ratios.length > 0 ? { timesFloor: spread(ratios) } : {}),
          operationsPerSecond: spread(runs.map(run => (run.operations * 1e9) / run.wallNs)),
          serverShare: spread(runs.map(run => run.serverCpuNs / run.wallNs)),
          driverShare: spread(runs.map(run => run.driverCpuNs / run.wallNs)),
        }
      })
  })

const versionOf = (path: string): string =>
  (JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8')) as { version: string }).version

/** Where and with what the figures were made. */
export const describeRun = (
  command: string,
  date: Date,
  rounds: number,
): Readonly<Record<string, string | number>> => ({
  command,
  date: date.toISOString(),
  machine: `${cpus().length} × ${cpus()[0]?.model.trim() ?? 'unknown CPU'}, ${(totalmem() / 2 ** 30).toFixed(1)} GiB`,
  system: `Linux ${release()}`,
  node: process.versions.node,
  ticketgate: versionOf('../package.json'),
  uWebSockets: versionOf('../node_modules/uWebSockets.js/package.json'),
  autocannon: versionOf('../node_modules/autocannon/package.json'),
  cpuSource,
  rounds,
})

const digits = (value: number): string =>
  value >= 1000
    ? Math.round(value).toLocaleString('en')
    : value >= 100
      ? value.toFixed(0)
      : value.toPrecision(3)
const range = ({ median, min, max }: Spread): string => `${digits(median)} (${digits(min)}–${digits(max)})`
const percent = ({ median }: Spread): string => `${Math.round(median * 100)} %`

const columns = ['row', 'target', 'server CPU µs/op', '× floor', 'op/s', 'server CPU', 'driver CPU']

/** The summaries as lines of text, in columns. */
export const table = (summaries: readonly Summary[]): string => {
  const body = summaries.map(one => [
    one.row,
    one.target,
    range(one.cpuMicros),
    one.timesFloor ? range(one.timesFloor) : '',
    digits(one.operationsPerSecond.median),
    percent(one.serverShare),
    percent(one.driverShare),
  ])
  const widths = columns.map((head, i) => Math.max(head.length, ...body.map(cells => cells[i]?.length ?? 0)))
  const line = (cells: readonly string[]): string =>
    cells.map((cell, i) => (i < 2 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('  ')
  return [line(columns), widths.map(width => '─'.repeat(width)).join('  '), ...body.map(line)].join('\n')
}
