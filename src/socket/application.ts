import { channelNameForm, closeCode, isChannelName, maxCloseReasonBytes } from '../protocol.js'
import type { Log } from '../telemetry/log.js'
import type { Incoming } from '../wire/encoding.js'
import { json } from '../wire/json.js'
import { endWith } from './lifecycle.js'
import { done } from './replies.js'
import type { Session, Socket } from './session.js'

/** An open socket, to an embedding application. */
export interface Connection<Data = undefined> {
  readonly user: string
  /** The login session, or one of its own where the token names none. */
  readonly session: string
  /** The channel in its path. */
  readonly channel: string
  /** What `authorize` gave for it; the application's own. */
  data: Data
  readonly isOpen: boolean
  /**
   * Sends a `message` to this socket alone: anything that JSON can say. Does nothing once it is closed.
   * @param channel what the message names; the channel in the path where it is left out
   */
  send(data: unknown, channel?: string): void
  /** Publishes in the name of this user to all who hear the channel, save this socket. Asks for no rights. */
  publish(channel: string, data: unknown): void
  /**
   * @param code 1000 (the default), or 3000 to 4999
   * @param reason at most 123 bytes count
   */
  close(code?: number, reason?: string): void
}

/** What is to be decided before a ticket is spent. */
export interface AuthorizationRequest {
  readonly user: string
  /** The login session, where the token or ticket names one. */
  readonly session: string | undefined
  readonly channel: string
  /** The header `Origin`, '' where there is none. */
  readonly origin: string
  /** When the session ends, Unix seconds. */
  readonly expires: number
}

/** What a client has published, to be dealt with by the application instead of being passed on. */
export interface ApplicationMessage {
  readonly channel: string
  /** Decoded. */
  readonly data: unknown
}

/**
 * How an embedding application takes part. All but `authorize` may be async. What one of them throws closes its socket
 * with 1011 and is logged; no other socket is touched.
 */
export interface GateHandlers<Data = undefined> {
  /**
   * Decides, when all else about a ticket is good, whether it may open a socket: answers the data of the connection, or
   * `false` to refuse with `channel_forbidden`. The ticket is not spent then. It is asked again at every `renew`, whose
   * data it does not replace. It must answer at once: a promise is a mistake, and lets nobody in.
   */
  authorize?(request: AuthorizationRequest): Data | false
  onConnect?(connection: Connection<Data>): void | Promise<void>
  /**
   * Gets what clients publish, where their rights allow it; nothing is passed on then but what the application passes on.
   * `ok` is sent when it is done.
   */
  onMessage?(connection: Connection<Data>, message: ApplicationMessage): void | Promise<void>
  onClose?(connection: Connection<Data>, code: number, reason: string): void | Promise<void>
}

/** The names of the handlers of a gate. */
export const handlerNames = ['authorize', 'onConnect', 'onMessage', 'onClose'] as const

export interface EmbeddingParts {
  readonly handlers: GateHandlers<unknown>
  readonly publish: (ws: Socket, channel: string, data: Uint8Array) => void
  readonly log: Log
}

/** The application's side of a gate. */
export interface Embedding {
  /** The data of a connection to be, or `false`. @throws TypeError for a promise */
  authorize(request: AuthorizationRequest): unknown
  open(ws: Socket): void
  /** Whether the application deals with messages. */
  readonly takesMessages: boolean
  message(ws: Socket, channel: string, message: Incoming): void
  close(ws: Socket, code: number, reason: string): void
}

export function createEmbedding({ handlers, publish, log }: EmbeddingParts): Embedding {
  class SocketConnection implements Connection<unknown> {
    data: unknown
    readonly user: string
    readonly channel: string
    #socket: Socket | undefined

    constructor(ws: Socket) {
      const session = ws.getUserData().session
      this.user = session.user
      this.channel = session.channel
      this.data = session.data
      this.#socket = ws
      this.#session = session.id
    }

    #session: string

    get session(): string {
      return this.#socket?.getUserData().session.id ?? this.#session
    }

    get isOpen(): boolean {
      return this.#socket !== undefined
    }

    send(data: unknown, channel: string = this.channel): void {
      demandChannel(channel)
      const packed = json.pack(data)
      if (this.#socket === undefined) return
      const { encoding }: Session = this.#socket.getUserData().session
      const own = encoding.name === 'json' ? packed : encoding.convert(packed)
      this.#socket.send(encoding.envelope(channel, own, undefined), encoding.isBinary)
    }

    publish(channel: string, data: unknown): void {
      demandChannel(channel)
      const packed = json.pack(data)
      if (this.#socket !== undefined) publish(this.#socket, channel, packed)
    }

    close(code = 1000, reason = ''): void {
      if (code !== 1000 && !(Number.isInteger(code) && code >= 3000 && code <= 4999))
        throw new TypeError('code must be 1000, or 3000 to 4999')
      if (this.#socket !== undefined) endWith(this.#socket, 'application', code, boundedReason(reason))
    }

    /** After this the socket must not be touched any more. */
    left(): void {
      this.#session = this.session
      this.#socket = undefined
    }

    failed(error: unknown, handler: string): void {
      log.error({ err: error, handler, user: this.user }, 'a handler of the application failed')
      if (this.#socket !== undefined)
        endWith(this.#socket, 'handler_failed', closeCode.internalError, 'internal_error')
    }
  }

  /** Runs a handler; `then` follows unless it fails. */
  function run(connection: SocketConnection, handler: string, act: () => unknown, then?: () => void): void {
    try {
      const result = act()
      if (!isPromise(result)) return then?.()
      result.then(
        () => then?.(),
        error => connection.failed(error, handler),
      )
    } catch (error) {
      connection.failed(error, handler)
    }
  }

  const connectionOf = (ws: Socket): SocketConnection | undefined => {
    const { connection } = ws.getUserData().session
    return connection instanceof SocketConnection ? connection : undefined
  }

  return {
    authorize(request) {
      if (handlers.authorize === undefined) return undefined
      const data = handlers.authorize(request)
      if (!isPromise(data)) return data
      data.then(undefined, () => {})
      throw new TypeError('authorize must answer at once, since nothing waits before a ticket is spent')
    },
    open(ws) {
      const connection = new SocketConnection(ws)
      ws.getUserData().session.connection = connection
      run(connection, 'onConnect', () => handlers.onConnect?.(connection))
    },
    takesMessages: handlers.onMessage !== undefined,
    message(ws, channel, { data, id }) {
      const connection = connectionOf(ws)
      if (connection === undefined || data === undefined) return
      const message = { channel, data: ws.getUserData().session.encoding.unpack(data) }
      run(
        connection,
        'onMessage',
        () => handlers.onMessage?.(connection, message),
        () => {
          if (connection.isOpen) done(ws, id)
        },
      )
    },
    close(ws, code, reason) {
      const connection = connectionOf(ws)
      if (connection === undefined) return
      connection.left()
      run(connection, 'onClose', () => handlers.onClose?.(connection, code, reason))
    },
  }
}

function demandChannel(channel: string): void {
  if (!isChannelName(channel)) throw new TypeError(`channel must be ${channelNameForm}`)
}

const isPromise = (value: unknown): value is Promise<unknown> =>
  typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'

/** As much of a text as fits into a close frame, in whole characters. */
export function boundedReason(reason: string): string {
  const bytes = Buffer.from(reason)
  let end = Math.min(bytes.length, maxCloseReasonBytes)
  // A byte of the form 10xxxxxx goes on with a character that began before.
  while (end < bytes.length && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--
  return bytes.toString('utf8', 0, end)
}
