import type { EncodingName } from '../protocol.js'
import type { Log } from '../telemetry/log.js'
import type { Counters } from '../telemetry/metrics.js'
import type { Publication, Relay } from '../wire/relay.js'
import { fanOut, type Topics } from './fan-out.js'
import type { Socket } from './session.js'

export interface PublisherParts {
  readonly topics: Topics
  /** Whether large messages are compressed for those that can read that. */
  readonly compresses: boolean
  /** Where messages go besides this thread's own sockets. */
  readonly relay: Pick<Relay, 'send'>
  readonly counters: Counters
  readonly log: Log
}

// Below this, the work outweighs what is saved.
const minCompressedBytes = 512

/** Sends publications to the sockets of this thread, and what these publish to all other threads and nodes. */
export class Publisher {
  readonly #parts: PublisherParts

  constructor(parts: PublisherParts) {
    this.#parts = parts
  }

  /** Sends what a socket publishes to all others, here and elsewhere. */
  publish(ws: Socket, channel: string, data: Uint8Array, encoding: EncodingName): void {
    const { counters, topics, relay } = this.#parts
    counters.messagesPublished++
    const { user } = ws.getUserData().session
    const publication: Publication = { type: 'publish', channel, encoding, data, user }
    fanOut(topics, publication, this.#isCompressed(publication), ws)
    relay.send(publication)
  }

  /** Sends what was published elsewhere to all who hear it here, and returns how many. */
  deliver(publication: Publication): number {
    const { topics, log } = this.#parts
    try {
      return fanOut(topics, publication, this.#isCompressed(publication))
    } catch (error) {
      // From another version, or whoever else writes to Redis. The message of the error would quote it.
      const reason = error instanceof Error ? error.name : 'unknown'
      log.warn({ reason }, 'a publication from elsewhere is malformed')
      return 0
    }
  }

  #isCompressed({ data }: Publication): boolean {
    return this.#parts.compresses && data.length >= minCompressedBytes
  }
}
