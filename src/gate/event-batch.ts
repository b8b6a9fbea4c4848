import type { PackedEvent } from '../telemetry/events.js'

/**
 * Forwards events in one batch, at the end of the turn of the event loop in which they occurred.
 */
export class EventBatch {
  readonly #send: (events: readonly PackedEvent[]) => void
  #events: PackedEvent[] = []

  constructor(send: (events: readonly PackedEvent[]) => void) {
    this.#send = send
  }

  add(event: PackedEvent): void {
    if (this.#events.push(event) === 1) setImmediate(() => this.flush())
  }

  flush(): void {
    const events = this.#events
    if (events.length === 0) return
    this.#events = []
    this.#send(events)
  }
}
