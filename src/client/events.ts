import { GateError } from './gate-error.js'
import { later } from './platform.js'

export type Listener<Event> = (event: Event) => void

/** Listeners by the name of what they listen to. */
export interface Emitter<Events> {
  /** Answers what takes the listener off again. */
  on<Name extends keyof Events>(name: Name, listener: Listener<Events[Name]>): () => void
  emit<Name extends keyof Events>(name: Name, event: Events[Name]): void
}

export function createEmitter<Events>(): Emitter<Events> {
  const listeners: { [Name in keyof Events]?: Set<Listener<Events[Name]>> } = {}
  return {
    on(name, listener) {
      let set = listeners[name]
      if (set === undefined) listeners[name] = set = new Set()
      set.add(listener)
      return () => void set.delete(listener)
    },
    emit(name, event) {
      for (const listener of [...(listeners[name] ?? [])]) {
        try {
          listener(event)
        } catch (error) {
          // The listener's own fault must be seen, but neither end the connection nor keep others from hearing.
          later(0, () => {
            throw error
          })
        }
      }
    },
  }
}

/** An async iterator that is fed from outside. What was not read yet is kept, up to a limit. */
export interface Feed<Item> {
  readonly reader: AsyncIterableIterator<Item>
  push(item: Item): void
  /** Nothing more comes; an error is thrown at the reader when it has read what there was. */
  end(error?: GateError): void
}

/** @param onReturn called when the reader leaves its loop */
export function createFeed<Item>(limit: number, onReturn: () => void): Feed<Item> {
  const items: Item[] = []
  const waiting: (() => void)[] = []
  let over = false
  let failure: GateError | undefined

  const wake = (): void => {
    for (const resolve of waiting.splice(0)) resolve()
  }

  const end = (error?: GateError): void => {
    if (over) return
    over = true
    failure = error
    wake()
  }

  async function next(): Promise<IteratorResult<Item>> {
    while (items.length === 0 && !over) await new Promise<void>(resolve => waiting.push(resolve))
    if (items.length > 0) return { value: items.shift() as Item, done: false }
    const error = failure
    failure = undefined
    if (error !== undefined) throw error
    return { value: undefined, done: true }
  }

  return {
    reader: {
      [Symbol.asyncIterator]() {
        return this
      },
      next,
      async return() {
        items.length = 0
        end()
        onReturn()
        return { value: undefined, done: true }
      },
    },
    push(item) {
      if (over) return
      if (items.length >= limit)
        return end(new GateError('reader_too_slow', `More than ${limit} messages waited to be read.`))
      items.push(item)
      wake()
    },
    end,
  }
}
