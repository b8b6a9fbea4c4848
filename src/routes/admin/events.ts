import { Refusal } from '../../errors.js'
import type { ResponseStream, StreamListener } from '../../http/exchange.js'
import { refuseUnknown } from '../../http/unknown-names.js'
import { routes } from '../../protocol.js'
import type { EventHub, EventReader } from '../../telemetry/event-hub.js'
import type { AdminRoute } from './admin-route.js'

const mostReaders = 8
const lastEventId = 'last-event-id'

/**
 * How often to show the client and any proxies that the stream is alive, and to detect a client
 * that is gone.
 */
const keepAliveMs = 5000
const comment = ':\n\n'

/** How many bytes to write at a time, approximately. */
const pieceBytes = 32 * 1024

/** `GET /events`: what happens, as server-sent events (HTML Standard, section 9.2). */
export function eventsRoute(hub: EventHub): AdminRoute {
  let readers = 0
  const leave = (): void => {
    readers--
  }
  return {
    path: routes.events,
    methods: ['GET'],
    headers: new Set([lastEventId]),
    async handler({ headers, query }) {
      refuseUnknown('parameter', new URLSearchParams(query).keys(), [])
      if (readers >= mostReaders)
        throw new Refusal('too_many_connections', {
          detail: `A gate has at most ${mostReaders} readers of its events.`,
          retryAfterSeconds: 5,
        })
      readers++
      return {
        contentType: 'text/event-stream',
        stream: response => new EventStream(hub, headers.get(lastEventId) || undefined, response, leave),
        unsent: leave,
      }
    },
  }
}

/**
 * One reader of the events. It reads as fast as its connection takes them, so nothing is buffered
 * here.
 */
class EventStream implements StreamListener {
  readonly #response: ResponseStream
  readonly #reader: EventReader
  readonly #keepAlive: NodeJS.Timeout
  readonly #leave: () => void
  #isReady = false

  constructor(hub: EventHub, lastId: string | undefined, response: ResponseStream, leave: () => void) {
    this.#response = response
    this.#leave = leave
    this.#reader = hub.read(lastId, () => this.#send())
    this.#keepAlive = setInterval(() => this.#isReady && this.#write(comment), keepAliveMs)
  }

  drained(): void {
    // Data that uWS could not send goes out with the next write, so one is needed even without an
    // event.
    if (this.#write(comment)) this.#send()
  }

  gone(): void {
    clearInterval(this.#keepAlive)
    this.#reader.close()
    this.#leave()
  }

  #send(): void {
    let piece = this.#isReady ? this.#reader.takeSome(pieceBytes) : undefined
    while (piece !== undefined) piece = this.#write(piece) ? this.#reader.takeSome(pieceBytes) : undefined
    if (!this.#reader.isOver) return
    this.#response.end()
    this.gone()
  }

  #write(piece: string | Uint8Array): boolean {
    this.#isReady = this.#response.write(piece)
    return this.#isReady
  }
}
