import type { GateError } from './gate-error.js'
import type { Link } from './link.js'

/** The channels of a connection, across all its links. */
export class Subscriptions {
  /** The channel in the path, to which every link is subscribed from its start. */
  readonly #own: string
  readonly #others = new Set<string>()
  #hearsOwn = true

  constructor(own: string) {
    this.#own = own
  }

  add(channel: string): void {
    if (channel === this.#own) this.#hearsOwn = true
    else this.#others.add(channel)
  }

  delete(channel: string): void {
    if (channel === this.#own) this.#hearsOwn = false
    this.#others.delete(channel)
  }

  /**
   * Restores the subscriptions on a new link. @param onLost called with channels that are no longer
   * permitted
   */
  restore(link: Link, onLost: (channel: string, error: GateError) => void): void {
    if (!this.#hearsOwn) link.request({ type: 'unsubscribe', channel: this.#own }).catch(() => {})
    for (const channel of this.#others)
      link.request({ type: 'subscribe', channel }).catch((error: GateError) => {
        if (error.remedy === 'nothing' && this.#others.delete(channel)) onLost(channel, error)
      })
  }
}
