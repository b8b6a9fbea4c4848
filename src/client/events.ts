import { GateError } from './gate-error.js'
import { schedule } from './platform.js'

export type Listener<Event> = (event: Event) => void

/** Listeners, by the name of the event that they listen to. */
export class Emitter<Events> {
  readonly #listeners: { [Name in keyof Events]?: Set<Listener<Events[Name]>> } = {}

  /** Returns a function that removes the listener. */
  on<Name extends keyof Events>(name: Name, listener: Listener<Events[Name]>): () => void {
    const set = this.#listeners[name] ?? new Set()
    this.#listeners[name] = set
    set.add(listener)
    return () => void set.delete(listener)
  }

  emit<Name extends keyof Events>(name: Name, event: Events[Name]): void {
    for (const listener of [...(this.#listeners[name] ?? [])]) {
      try {
        listener(event)
      } catch (error) {
        // An error of the listener must be visible, but must neither end the connection nor affect
        // other listeners.
        schedule(0, () => {
          throw error
        })
      }
    }
  }
}

/** An async iterator that is filled from outside. Keeps unread items, up to a limit. */
export class Feed<Item> implements AsyncIterableIterator<Item> {
  readonly #limit: number
  readonly #onReturn: (feed: Feed<Item>) => void
  readonly #items: Item[] = []
  readonly #waiting: (() => void)[] = []
  #isOver = false
  #failure: GateError | undefined

  /** @param onReturn called when the reader leaves its loop */
  constructor(limit: number, onReturn: (feed: Feed<Item>) => void) {
    this.#limit = limit
    this.#onReturn = onReturn
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async next(): Promise<IteratorResult<Item>> {
    while (this.#items.length === 0 && !this.#isOver)
      await new Promise<void>(resolve => this.#waiting.push(resolve))
    if (this.#items.length > 0) return { value: this.#items.shift() as Item, done: false }
    const error = this.#failure
    this.#failure = undefined
    if (error !== undefined) throw error
    return { value: undefined, done: true }
  }

  async return(): Promise<IteratorResult<Item>> {
    this.#items.length = 0
    this.end()
    this.#onReturn(this)
    return { value: undefined, done: true }
  }

  push(item: Item): void {
    if (this.#isOver) return
    if (this.#items.length >= this.#limit)
      return this.end(
        new GateError('reader_too_slow', `More than ${this.#limit} messages were waiting to be read.`),
      )
    this.#items.push(item)
    this.#wake()
  }

  /** Nothing more will come. An error is thrown at the reader once it has read the rest. */
  end(error?: GateError): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#failure = error
    this.#wake()
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }
}
