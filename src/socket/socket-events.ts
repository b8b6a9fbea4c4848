import type { EventSink } from '../telemetry/events.js'
import type { Socket } from './session.js'
import type { SocketIds } from './socket-ids.js'

/** Tells what becomes of the sockets of one thread, if anybody listens. */
export class SocketEvents {
  readonly sink: EventSink
  readonly #ids: SocketIds

  constructor(sink: EventSink, ids: SocketIds) {
    this.sink = sink
    this.#ids = ids
  }

  /** The user of an open socket is known. @param subscribed whether it hears the channel of its path */
  opened(ws: Socket, subscribed: boolean): void {
    if (!this.sink.isOn) return
    const { socket, user, id: session, channel, expiresAtSeconds: expires } = ws.getUserData().session
    this.sink.tell('opened', { socket: this.#ids.idOf(socket), user, session, channel, expires, subscribed })
  }

  /** It is closed; one whose user was never known was never told. */
  closed(ws: Socket, code: number, reason: string): void {
    if (!this.sink.isOn) return
    const { socket, user, id: session, channel, closeReason: by = 'other' } = ws.getUserData().session
    if (user === '') return
    this.sink.tell('closed', { socket: this.#ids.idOf(socket), user, session, channel, code, reason, by })
  }

  subscribed(ws: Socket, channel: string): void {
    this.#tell('subscribed', ws, channel)
  }

  unsubscribed(ws: Socket, channel: string): void {
    this.#tell('unsubscribed', ws, channel)
  }

  #tell(type: 'subscribed' | 'unsubscribed', ws: Socket, channel: string): void {
    if (!this.sink.isOn) return
    const { socket, user } = ws.getUserData().session
    this.sink.tell(type, { socket: this.#ids.idOf(socket), user, channel })
  }
}
