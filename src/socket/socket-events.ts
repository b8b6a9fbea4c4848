import { asciiBytes, type EventWriter } from '../telemetry/event-writer.js'
import type { EventSink } from '../telemetry/events.js'
import type { Session, Socket } from './session.js'
import type { SocketIds } from './socket-ids.js'

/** What stands between the values. */
const part = {
  socket: asciiBytes(',"socket":"'),
  dot: asciiBytes('.'),
  user: asciiBytes('","user":"'),
  session: asciiBytes('","session":"'),
  channel: asciiBytes('","channel":"'),
  expires: asciiBytes('","expires":'),
  heard: asciiBytes(',"subscribed":true'),
  unheard: asciiBytes(',"subscribed":false'),
  code: asciiBytes('","code":'),
  reason: asciiBytes(',"reason":"'),
  by: asciiBytes('","by":"'),
  quote: asciiBytes('"'),
}

/** Reports events of the sockets of one thread, if anybody listens. */
export class SocketEvents {
  readonly #sink: EventSink
  readonly #ids: SocketIds

  constructor(sink: EventSink, ids: SocketIds) {
    this.#sink = sink
    this.#ids = ids
  }

  /**
   * Reports a socket whose user is known.
   * @param subscribed whether it is subscribed to the channel in its path
   */
  opened(session: Session, subscribed: boolean): void {
    if (!this.#sink.isOn) return
    this.#begin('opened', session, 0)
      .ascii(part.expires)
      .natural(session.expiresAtSeconds)
      .ascii(subscribed ? part.heard : part.unheard)
    this.#sink.end()
  }

  /** Reports the end of a socket, unless its user was never known. */
  closed(session: Session, code: number, reason: string): void {
    if (!this.#sink.isOn || session.user === '') return
    this.#begin('closed', session, reason.length)
      .ascii(part.code)
      .natural(code)
      .ascii(part.reason)
      .text(reason)
      .ascii(part.by)
      .text(session.closeReason ?? 'other')
      .ascii(part.quote)
    this.#sink.end()
  }

  subscribed(ws: Socket, channel: string): void {
    this.#tell('subscribed', ws, channel)
  }

  unsubscribed(ws: Socket, channel: string): void {
    this.#tell('unsubscribed', ws, channel)
  }

  /** The members that both ends of a socket have in common. Each handshake needs them twice. */
  #begin(type: 'opened' | 'closed', { socket, user, id, channel }: Session, units: number): EventWriter {
    return this.#sink
      .begin(type, user.length + id.length + channel.length + units)
      .ascii(part.socket)
      .text(this.#ids.thread)
      .ascii(part.dot)
      .natural(socket)
      .ascii(part.user)
      .text(user)
      .ascii(part.session)
      .text(id)
      .ascii(part.channel)
      .text(channel)
  }

  #tell(type: 'subscribed' | 'unsubscribed', ws: Socket, channel: string): void {
    if (!this.#sink.isOn) return
    const { socket, user } = ws.getUserData().session
    this.#sink.tell(type, { socket: this.#ids.idOf(socket), user, channel })
  }
}
