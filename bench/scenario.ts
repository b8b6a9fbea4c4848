import type { Load } from './cpu.js'
import type { Percentiles } from './driver/opener.js'
import type { Target } from './target.js'

/** What a row's value is, and its unit. */
export type Unit = 'server CPU, µs' | 'RSS, bytes' | 'p99, ms'

/** One line of the table. */
export interface Row {
  readonly name: string
  readonly unit: Unit
  /** The floor's row that this one is a multiple of, when it is another: a floor refuses nothing. */
  readonly comparedWith?: string
}

export interface Sample {
  readonly value: number
  readonly load?: Load
  readonly latency?: Percentiles
}

/** The sample of a row that counts server CPU. */
export const cpuSample = (load: Load): Sample => ({
  value: load.serverCpuNs / 1000 / load.operations,
  load,
})

/** One row, made ready for one target: tokens signed, tickets taken. */
export type Step = () => Promise<Sample>

/** A step for each row, or why the target can not do it. */
export type Steps = ReadonlyMap<string, Step | string>

export interface Scenario {
  readonly name: string
  readonly rows: readonly Row[]
  /** Rounds are this many at most, without one to warm up, for what takes long and starts fresh or runs by the clock. */
  readonly maxRounds?: number
  /** The round to warm up is this many times as long (1), for what V8 goes on compiling for tens of thousands of times. */
  readonly warmUp?: number
  /**
   * Prepares one round against one target, outside the measured time. Steps run in the order of `rows`. A step throws
   * unless every answer is the right one: the figures of a server that answers otherwise are worth nothing.
   *
   * @param count scales a number of operations: by `--scale`, and for slow targets, so that all take about as long
   */
  prepare(target: Target, count: (operations: number) => number): Promise<Steps>
  /** Ends what `prepare` left open. */
  release?(target: Target): Promise<void>
}
