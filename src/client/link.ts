import { closeCode, type RequestType, retryAfterIn, subprotocol } from '../protocol.js'
import { GateError } from './gate-error.js'
import { type Fields, type Message, readMessage, type Welcome } from './messages.js'
import { type Socket, type SocketClass, schedule } from './platform.js'

export interface Request {
  readonly type: RequestType
  readonly channel?: string
  readonly data?: unknown
  readonly ticket?: string
}

export interface LinkOptions {
  readonly WebSocket: SocketClass
  readonly url: string
  readonly ticket: string
  readonly timeoutMs: number
  readonly onMessage: (message: Message) => void
}

interface Pending {
  readonly resolve: (reply: Fields) => void
  readonly reject: (error: GateError) => void
  readonly cancel: () => void
}

const goodbyeMs = 2000

/**
 * Opens a WebSocket with a ticket in the subprotocols, so that it never appears in a URL. Resolves
 * once the server has sent its welcome.
 * @throws GateError `handshake_failed`, a {@link HandshakeError}, if there was no handshake or no
 *   welcome; `bad_reply` if another frame came first
 */
export const openLink = (options: LinkOptions): Promise<Link> =>
  new Promise((resolve, reject) => {
    const link = new Link(options, () => resolve(link))
    void link.ended.then(reject)
  })

/** The socket ended before the welcome. */
export class HandshakeError extends GateError {
  /**
   * Whether the handshake was refused, so that the ticket may tell why: it did not open, and did
   * not time out.
   */
  readonly isRefusal: boolean

  constructor(isRefusal: boolean) {
    super('handshake_failed', 'The server did not open the connection.', 'time')
    this.isRefusal = isRefusal
  }
}

/** One open WebSocket. */
export class Link {
  /** Why it ended. */
  readonly ended: Promise<GateError>
  /** Receives messages that are neither publications nor replies. */
  onNotice = (_: Fields): void => {}
  readonly #socket: Socket
  readonly #timeoutMs: number
  readonly #onMessage: (message: Message) => void
  readonly #onWelcome: () => void
  readonly #pending = new Map<unknown, Pending>()
  #end = (_: GateError): void => {}
  #cancelTimer: () => void
  #lastId = 0
  #isOpen = false
  #isOver = false
  #welcome: Welcome | undefined

  constructor({ WebSocket, url, ticket, timeoutMs, onMessage }: LinkOptions, onWelcome: () => void) {
    this.#timeoutMs = timeoutMs
    this.#onMessage = onMessage
    this.#onWelcome = onWelcome
    this.ended = new Promise(resolve => {
      this.#end = resolve
    })
    const socket = new WebSocket(url, [subprotocol.json, subprotocol.ticketPrefix + ticket])
    this.#socket = socket
    this.#cancelTimer = schedule(timeoutMs, () => this.#abandon(new HandshakeError(false)))
    socket.onopen = () => {
      this.#isOpen = true
    }
    socket.onmessage = ({ data }: { data: unknown }) => this.#hear(readMessage(data))
    socket.onclose = ({ code, reason }: { code: number; reason: string }) =>
      this.#finish(code === 1006 && this.#welcome === undefined ? this.#unopened() : closeError(code, reason))
    // A close should follow, but undici 6 (Node 22, Deno) sends none after a failed handshake.
    socket.onerror = () => {
      if (this.#welcome === undefined) this.#abandon(this.#unopened())
      else this.#abandonAfter(goodbyeMs, connectionLost())
    }
  }

  /** The welcome of the server. */
  get welcome(): Welcome {
    return this.#welcome as Welcome
  }

  /**
   * @throws GateError with the server's code, or `connection_lost`. A missing reply ends the link.
   */
  request(request: Request): Promise<Fields> {
    return new Promise((resolve, reject) => {
      if (this.#isOver) return reject(connectionLost())
      const id = ++this.#lastId
      // Done first, because it throws for data that JSON cannot represent; then nothing waits for a
      // reply.
      const text = JSON.stringify({ ...request, id })
      const cancel = schedule(this.#timeoutMs, () =>
        this.#abandon(new GateError('timeout', 'The server did not reply in time.', 'time')),
      )
      this.#pending.set(id, { resolve, reject, cancel })
      this.#socket.send(text)
    })
  }

  /** Closes the socket, and does not wait long for the other side to do the same. */
  close(): void {
    this.#socket.close(1000)
    this.#abandonAfter(goodbyeMs, connectionLost())
  }

  #unopened(): GateError {
    return new HandshakeError(!this.#isOpen)
  }

  #abandonAfter(ms: number, error: GateError): void {
    this.#cancelTimer()
    this.#cancelTimer = schedule(ms, () => this.#abandon(error))
  }

  #abandon(error: GateError): void {
    this.#finish(error)
    this.#socket.close()
  }

  #finish(error: GateError): void {
    if (this.#isOver) return
    this.#isOver = true
    const socket = this.#socket
    socket.onopen = socket.onmessage = socket.onclose = null
    // Without a listener, `ws` would throw.
    socket.onerror = () => {}
    this.#cancelTimer()
    for (const { reject, cancel } of this.#pending.values()) {
      cancel()
      reject(connectionLost())
    }
    this.#pending.clear()
    this.#end(error)
  }

  #hear(message: Fields | undefined): void {
    if (message === undefined)
      return this.#abandon(
        new GateError('bad_reply', 'The server sent a frame that is not a message.', 'time'),
      )
    const { type, id } = message
    if (type === 'message') return this.#onMessage(messageOf(message))
    if (type === 'welcome') {
      this.#welcome = message as unknown as Welcome
      this.#cancelTimer()
      return this.#onWelcome()
    }
    const request = this.#pending.get(id)
    if (request === undefined) return this.onNotice(message)
    this.#pending.delete(id)
    request.cancel()
    if (type === 'error') request.reject(new GateError(message.code as string, message.detail as string))
    else request.resolve(message)
  }
}

const messageOf = ({ channel, data, user }: Fields): Message => ({
  channel: channel as string,
  data,
  ...(typeof user === 'string' ? { user } : {}),
})

const connectionLost = (): GateError =>
  new GateError('connection_lost', 'The connection ended before the reply came.', 'time')

/** What a close frame means for a client that wants to reconnect. */
function closeError(code: number, reason: string): GateError {
  switch (code) {
    case closeCode.sessionExpired:
      return new GateError('session_expired', 'The session has ended.', 'token')
    case closeCode.revoked:
      return new GateError(
        'revoked',
        reason === '' || reason === 'revoked'
          ? 'The session was revoked.'
          : `The session was revoked: ${reason}`,
      )
    case closeCode.rateLimited:
      return new GateError('rate_limited', 'Too many messages were sent.', 'time', retryAfterIn(reason))
    case closeCode.draining:
      return new GateError('draining', 'The server is shutting down.', 'time', retryAfterIn(reason))
    case closeCode.messageTooBig:
      return new GateError('message_too_big', `A message was too big: ${reason}.`, 'time')
    default:
      return new GateError('connection_lost', `The connection ended (${code}).`, 'time')
  }
}
