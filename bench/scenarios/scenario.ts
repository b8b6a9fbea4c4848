import type { Row, Sample } from '../figures/sample.js'
import type { Target } from '../targets/target.js'

/** One row, prepared for one target: tokens signed, tickets issued. */
export type Step = () => Promise<Sample>

/** A step for each row, or why the target does not support it. */
export type Steps = ReadonlyMap<string, Step | string>

export interface Scenario {
  readonly name: string
  readonly rows: readonly Row[]
  /** Whether it takes so long that it is only played if it is named. */
  readonly isOnRequest?: true
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
