import type { Sample } from './cpu.js'
import type { Target } from './servers.js'

/** One line of the table. */
export interface Row {
  readonly name: string
  /** The floor's row that this one is a multiple of, when it is another: a floor refuses nothing. */
  readonly comparedWith?: string
}

/** One row, made ready for one target: tokens signed, tickets taken. */
export type Step = () => Promise<Sample>

export interface Scenario {
  readonly name: string
  readonly rows: readonly Row[]
  /**
   * Prepares one round against one target, outside the measured time: a step for each row the target can do.
   * Steps run in the order of `rows`. A step throws unless every answer is the right one: the figures of a server
   * that answers otherwise are worth nothing.
   */
  prepare(target: Target): Promise<ReadonlyMap<string, Step>>
}
