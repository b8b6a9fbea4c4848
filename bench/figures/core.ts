/** The costs of the parts of a ticket. */
export interface CoreFigure {
  readonly name: string
  /** CPU nanoseconds per operation, including garbage collection, over the rounds. */
  readonly median: number
  readonly least: number
  /** The upper limit, if one is stated. */
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
