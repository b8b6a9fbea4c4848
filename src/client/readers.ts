import { Feed } from './events.js'
import type { GateError } from './gate-error.js'
import type { Message } from './messages.js'

const defaultLimit = 1024

/** The async iterators over the messages of one connection. */
export class Readers<Data> {
  readonly #feeds = new Set<Feed<Message<Data>>>()
  #isOver = false
  #failure: GateError | undefined

  /** Returns an iterator over messages from now on, of which at most `limit` may be waiting. */
  add(limit = defaultLimit): AsyncIterableIterator<Message<Data>> {
    const feed = new Feed<Message<Data>>(limit, () => this.#feeds.delete(feed))
    if (this.#isOver) feed.end(this.#failure)
    else this.#feeds.add(feed)
    return feed
  }

  push(message: Message<Data>): void {
    for (const feed of this.#feeds) feed.push(message)
  }

  /** Ends all of them, and later ones. Throws the error, if any, at each. */
  end(error: GateError | undefined): void {
    this.#isOver = true
    this.#failure = error
    for (const feed of this.#feeds) feed.end(error)
    this.#feeds.clear()
  }
}
