import type { Load } from './cpu.js'

/** Times in milliseconds. */
export interface Percentiles {
  readonly p50: number
  readonly p90: number
  readonly p99: number
  readonly p999: number
  readonly max: number
}

/** The kind of value of a row, with its unit. */
export type Unit = 'server CPU, µs' | 'RSS, bytes' | 'p99, ms' | 'p99.9, ms' | 'longest pause, ms'

/** One line of the table. */
export interface Row {
  readonly name: string
  readonly unit: Unit
  /** The row of the floor to compare with, if it is another: a floor refuses nothing. */
  readonly comparedWith?: string
}

export interface Sample {
  readonly value: number
  readonly load?: Load
  readonly latency?: Percentiles
}

/** Makes the sample of a row that counts server CPU. */
export const cpuSample = (load: Load): Sample => ({
  value: load.serverCpuNs / 1000 / load.operations,
  load,
})
