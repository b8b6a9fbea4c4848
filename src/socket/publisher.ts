import type { Log } from '../telemetry/log.js'
import type { Counters } from '../telemetry/metrics.js'
import type { Publication, Relay } from '../wire/relay.js'
import type { FanOut } from './fan-out.js'
import type { Socket } from './session.js'

export interface PublisherParts {
  readonly fanOut: FanOut
  /** Where messages go besides this thread's own sockets. */
  readonly relay: Pick<Relay, 'send'>
  readonly counters: Counters
  readonly log: Log
}

/** How often an operator is told that publications are dropped, at most. */
const warningIntervalMs = 10_000

/**
 * Publishes what sockets say here and elsewhere, and delivers here what was published elsewhere.
 */
export class Publisher {
  readonly #parts: PublisherParts
  #warnedAtMs = Number.NEGATIVE_INFINITY

  constructor(parts: PublisherParts) {
    this.#parts = parts
  }

  /**
   * Publishes what a socket says, to all others. False when so much waits to be sent that it is
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
   * Delivers what was published elsewhere to all who hear it here, and returns how many those are:
   * none when so much waits to be sent that it is dropped.
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
