import type { EventWriter, PackedEvents } from '../telemetry/event-writer.js'

/** How long events wait to be handed over together: each message costs more than an event. */
const collectMs = 10

/** So many bytes are handed over at once. */
const enoughBytes = 256 * 1024

/** Hands the events of a thread over, several at a time. */
export class EventBatch {
  readonly #send: (events: PackedEvents) => void
  #events: EventWriter | undefined

  constructor(send: (events: PackedEvents) => void) {
    this.#send = send
  }

  /** @param events all that have not been handed over, always of the same sink */
  add(events: EventWriter): void {
    if (this.#events === undefined) setTimeout(() => this.flush(), collectMs)
    this.#events = events
    if (events.size > enoughBytes) this.flush()
  }

  flush(): void {
    const events = this.#events
    this.#events = undefined
    if (events === undefined) return
    this.#send(events.copy())
    events.clear()
  }
}
