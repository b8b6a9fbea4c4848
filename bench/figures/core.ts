/** The costs of the parts of a ticket. */
export interface CoreFigure {
  readonly name: string
  /** CPU nanoseconds per operation, including garbage collection, over the rounds. */
  readonly median: number
  readonly least: number
  /** The least, as a multiple of that of one MAC in the same run. */
  readonly times: number
  /** The upper limit of `times`, if one is stated. A run above it fails. */
  readonly target?: number
}

export interface CoreMemory {
  readonly cache: string
  readonly live: number
  readonly bytesPerTicket: number
}

export interface CoreReport {
  readonly figures: readonly CoreFigure[]
  readonly memory: readonly CoreMemory[]
}
