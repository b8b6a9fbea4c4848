import { type EventSink, quoted } from '../telemetry/events.js'
import type { Session, Socket } from './session.js'
import type { SocketIds } from './socket-ids.js'

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
  opened(ws: Socket, subscribed: boolean): void {
    if (!this.#sink.isOn) return
    const { session } = ws.getUserData()
    const end = `"expires":${session.expiresAtSeconds},"subscribed":${subscribed}`
    this.#sink.tellMembers('opened', `${this.#membersOf(session)},${end}`)
  }

  /** Reports the end of a socket, unless its user was never known. */
  closed(ws: Socket, code: number, reason: string): void {
    if (!this.#sink.isOn) return
    const { session } = ws.getUserData()
    if (session.user === '') return
    const end = `"code":${code},"reason":${quoted(reason)},"by":"${session.closeReason ?? 'other'}"`
    this.#sink.tellMembers('closed', `${this.#membersOf(session)},${end}`)
  }

  subscribed(ws: Socket, channel: string): void {
    this.#tell('subscribed', ws, channel)
  }

  unsubscribed(ws: Socket, channel: string): void {
    this.#tell('unsubscribed', ws, channel)
  }

  /** The members that both ends of a socket have in common. Each handshake needs them twice. */
  #membersOf({ socket, user, id, channel }: Session): string {
    return `"socket":"${this.#ids.idOf(socket)}","user":${quoted(user)},"session":${quoted(id)},"channel":${quoted(channel)}`
  }

  #tell(type: 'subscribed' | 'unsubscribed', ws: Socket, channel: string): void {
    if (!this.#sink.isOn) return
    const { socket, user } = ws.getUserData().session
    this.#sink.tell(type, { socket: this.#ids.idOf(socket), user, channel })
  }
}
