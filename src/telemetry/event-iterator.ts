import type { EventHub, EventReader } from './event-hub.js'
import type { EventFields, EventType } from './events.js'

/** An event of a gate. */
export type GateEvent = {
  [Type in EventType]: {
    readonly type: Type
    /** The life of the gate and a number, without gaps. */
    readonly id: string
    /** Unix milliseconds. */
    readonly atMs: number
  } & EventFields[Type]
}[EventType]

type Result = IteratorResult<GateEvent, undefined>

/** Iterates over the events of a gate. Each loop gets the events from its own start on. */
export const iterateEvents = (hub: EventHub): AsyncIterable<GateEvent> => ({
  [Symbol.asyncIterator]: () => new EventIterator(hub),
})

class EventIterator implements AsyncIterableIterator<GateEvent, undefined> {
  readonly #reader: EventReader
  readonly #waiting: ((result: Result) => void)[] = []

  constructor(hub: EventHub) {
    this.#reader = hub.read(undefined, () => this.#wake())
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  next(): Promise<Result> {
    return new Promise(resolve => {
      this.#waiting.push(resolve)
      this.#wake()
    })
  }

  async return(): Promise<Result> {
    this.#reader.close()
    this.#wake()
    return over
  }

  #wake(): void {
    for (;;) {
      const [resolve] = this.#waiting
      if (resolve === undefined) return
      const frame = this.#reader.take()
      if (frame === undefined && !this.#reader.isOver) return
      this.#waiting.shift()
      resolve(frame === undefined ? over : { done: false, value: read(frame) })
    }
  }
}

const over: Result = { done: true, value: undefined }

const form = /^id: ([^\n]+)\nevent: ([^\n]+)\ndata: ([^\n]+)\n\n$/

/** Reads an event from the form in which it is sent. */
function read(frame: string): GateEvent {
  const [, id, type, data = '{}'] = form.exec(frame) ?? []
  return { type, id, ...(JSON.parse(data) as object) } as GateEvent
}
