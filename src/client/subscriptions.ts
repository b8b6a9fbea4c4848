import { longestAskedMs } from './backoff.js'
import type { GateError } from './gate-error.js'
import type { Link } from './link.js'
import { schedule } from './platform.js'

/** The channels of a connection, across all its links. */
export class Subscriptions {
  /** The channel in the path, to which every link is subscribed from its start. */
  readonly #own: string
  readonly #others = new Set<string>()
  #hearsOwn = true
  /** In how many parts the others are restored. */
  #parts = 1
  /** The time between two parts. */
  #pauseMs = 0

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
   * Restores the subscriptions on a new link: all at once, in parts if that exceeds the message
   * rate. @param onLost called with channels that are no longer permitted
   */
  restore(link: Link, onLost: (channel: string, error: GateError) => void): void {
    if (!this.#hearsOwn) link.request({ type: 'unsubscribe', channel: this.#own }).catch(() => {})
    const remaining = [...this.#others]
    const size = Math.ceil(remaining.length / this.#parts)
    let cancel = (): void => {}
    const restorePart = (): void => {
      for (const channel of remaining.splice(0, size))
        if (this.#others.has(channel))
          link.request({ type: 'subscribe', channel }).catch((error: GateError) => {
            if (error.remedy === 'nothing' && this.#others.delete(channel)) onLost(channel, error)
          })
      if (remaining.length > 0) cancel = schedule(this.#pauseMs, restorePart)
    }
    restorePart()
    void link.ended.then(error => {
      cancel()
      this.#adapt(error)
    })
  }

  /**
   * The server asks for a wait of at least the period of its rate, and accepts one message or more
   * in each period. So it accepts parts of one channel, if not larger ones.
   */
  #adapt({ code, retryAfterMs = 1000 }: GateError): void {
    if (code !== 'rate_limited') {
      this.#parts = Math.max(1, this.#parts / 2)
      return
    }
    if (this.#parts < this.#others.size) this.#parts *= 2
    this.#pauseMs = Math.min(retryAfterMs, longestAskedMs)
  }
}
