import type { CoreReport } from './core.js'
import type { Percentiles, Row, Sample, Unit } from './sample.js'
import type { TunnelRow } from './tunnel.js'

/** One measured run, warm-up excluded. Rounds count from 1. */
export interface Measurement extends Sample {
  readonly round: number
  readonly row: string
  readonly target: string
}

/** Why a target has no figure in a row. */
export interface Gap {
  readonly row: string
  readonly target: string
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
  readonly target: string
  readonly value: Spread
  /** As a multiple of the floor within each round. Absent without a floor to compare with. */
  readonly timesFloor?: Spread
  /** Likewise, of the bare floor. */
  readonly timesBareFloor?: Spread
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
  readonly tunnels: readonly TunnelRow[]
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

const summariseRow = (row: Row, target: string, measured: readonly Measurement[]): Summary => {
  const runs = measured.filter(one => one.row === row.name && one.target === target)
  const timesThat = (floor: string): Spread | undefined => {
    const ratios = runs.flatMap(run => {
      const beneath = measured.find(
        one => one.round === run.round && one.target === floor && one.row === (row.comparedWith ?? row.name),
      )
      return beneath ? [run.value / beneath.value] : []
    })
    return ratios.length > 0 && !target.endsWith('floor') ? spread(ratios) : undefined
  }
  const [timesFloor, timesBareFloor] = [timesThat('floor'), timesThat('bare floor')]
  const loads = runs.flatMap(({ load }) => (load ? [load] : []))
  const latencies = runs.flatMap(({ latency }) => (latency ? [latency] : []))
  const latencyOf = (name: (typeof percentiles)[number]): number => median(latencies.map(one => one[name]))
  return {
    row: row.name,
    unit: row.unit,
    target,
    value: spread(runs.map(({ value }) => value)),
    ...(timesFloor === undefined ? {} : { timesFloor }),
    ...(timesBareFloor === undefined ? {} : { timesBareFloor }),
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
  targets: readonly string[],
  measured: readonly Measurement[],
): Summary[] =>
  rows.flatMap(row =>
    targets
      .filter(target => measured.some(one => one.row === row.name && one.target === target))
      .map(target => summariseRow(row, target, measured)),
  )
