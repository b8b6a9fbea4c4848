import type { GateError } from './gate-error.js'
import type { Link } from './link.js'

/** The channels that a connection is to hear, over all its links. */
export class Subscriptions {
  /** The channel in the path, which every link hears from its start. */
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

  /** Makes a new link hear them. @param onLost told those that may no longer be heard */
  restore(link: Link, onLost: (channel: string, error: GateError) => void): void {
    if (!this.#hearsOwn) link.request({ type: 'unsubscribe', channel: this.#own }).catch(() => {})
    for (const channel of this.#others)
      link.request({ type: 'subscribe', channel }).catch((error: GateError) => {
        if (error.remedy === 'nothing' && this.#others.delete(channel)) onLost(channel, error)
      })
  }
}
