import type { Log } from '../telemetry/log.js'
import type { Counters } from '../telemetry/metrics.js'
import type { Publication, Relay } from '../wire/relay.js'
import type { FanOut } from './fan-out.js'
import type { Socket } from './session.js'

export interface PublisherParts {
  readonly fanOut: FanOut
  /** Where messages go besides the sockets of this thread. */
  readonly relay: Relay
  readonly counters: Counters
  readonly log: Log
}

/** How often a warning about dropped publications is logged, at most. */
const warningIntervalMs = 10_000

/**
 * Publishes messages of sockets here and elsewhere, and delivers publications from elsewhere here.
 */
export class Publisher {
  readonly #parts: PublisherParts
  #warnedAtMs = Number.NEGATIVE_INFINITY

  constructor(parts: PublisherParts) {
    this.#parts = parts
  }

  /**
   * Publishes a message of a socket to all others. False if too much is waiting, so that it is
   * published nowhere.
   */
  publish(
    ws: Socket,
    channel: string,
    data: Uint8Array,
    encoding: Publication['encoding'] = ws.getUserData().session.encoding.name,
  ): boolean {
    const { counters, fanOut, relay } = this.#parts
    const { user } = ws.getUserData().session
    const publication: Publication = { type: 'publish', channel, encoding, data, user }
    if (fanOut.send(publication, ws) === undefined) return false
    counters.messagesPublished++
    relay.send(publication)
    return true
  }

  /**
   * Delivers a publication from elsewhere to all subscribers here, and returns how many there are:
   * 0 if too much is waiting, so that it is dropped.
   */
  deliver(publication: Publication): number {
    const reached = this.#parts.fanOut.send(publication)
    if (reached === undefined) this.#warn()
    return reached ?? 0
  }

  #warn(): void {
    const nowMs = performance.now()
    if (nowMs - this.#warnedAtMs < warningIntervalMs) return
    this.#warnedAtMs = nowMs
    this.#parts.log.warn('more is published than can be sent: publications from elsewhere are dropped')
  }
}
