import type { Load } from './cpu.js'
import type { Percentiles } from './driver/opener.js'
import type { Target } from './target.js'

/** The kind of value of a row, with its unit. */
export type Unit = 'server CPU, µs' | 'RSS, bytes' | 'p99, ms'

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

/** One row, prepared for one target: tokens signed, tickets taken. */
export type Step = () => Promise<Sample>

/** A step for each row, or why the target does not support it. */
export type Steps = ReadonlyMap<string, Step | string>

export interface Scenario {
  readonly name: string
  readonly rows: readonly Row[]
  /**
   * Maximum rounds, without a warm-up, for rows that take long and start fresh or run by the clock.
   */
  readonly maxRounds?: number
  /**
   * How many times as long the warm-up round is (default 1), for code that V8 keeps compiling for
   * tens of thousands of calls.
   */
  readonly warmUp?: number
  /**
   * Prepares one round against one target, outside the measured time. Steps run in the order of
   * `rows`. A step throws unless every response is the right one: a server that responds otherwise
   * has no meaningful figures.
   *
   * @param count scales a number of operations: by `--scale`, and for slow targets, so that all
   * take about as long
   */
  prepare(target: Target, count: (operations: number) => number): Promise<Steps>
  /** Closes what `prepare` left open. */
  release?(target: Target): Promise<void>
}
