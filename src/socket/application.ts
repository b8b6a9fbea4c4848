import { isAsyncFunction } from 'node:util/types'
import { channelNameForm, closeCode, isChannelName, maxCloseReasonBytes } from '../protocol.js'
import type { Log } from '../telemetry/log.js'
import type { CarriedClaims } from '../ticket/carried-claims.js'
import type { Incoming } from '../wire/encoding.js'
import { json } from '../wire/json.js'
import { closeWith } from './closing.js'
import type { Publisher } from './publisher.js'
import { done } from './replies.js'
import type { Session, Socket } from './session.js'

/** An open socket, as seen by the embedding application. */
export interface Connection<Data = undefined> {
  readonly user: string
  /** The login session, or a generated one if the token names none. */
  readonly session: string
  /** The channel in its path. */
  readonly channel: string
  /** The claims of the token that its latest ticket carries (`ticketClaims` of an issuer). */
  readonly claims: CarriedClaims
  /** The application's own data: what `authorize` returned for it. */
  data: Data
  readonly isOpen: boolean
  /**
   * Sends a `message` to this socket only. Does nothing once it is closed.
   * @param data anything that JSON can represent
   * @param channel the channel in the message; by default that in the path
   * @throws TypeError for an invalid channel, or data that JSON cannot represent
   */
  send(data: unknown, channel?: string): void
  /**
   * Publishes in the name of this user to all subscribers of the channel, except this socket.
   * Checks no rights.
   * @throws TypeError for an invalid channel, or data that JSON cannot represent
   */
  publish(channel: string, data: unknown): void
  /**
   * @param code 1000 (the default), or 3000 to 4999
   * @param reason truncated to 123 bytes
   * @throws TypeError for any other code
   */
  close(code?: number, reason?: string): void
}

/** A handshake to decide on, before its ticket is spent. */
export interface AuthorizationRequest {
  readonly user: string
  /** The login session, if the token or ticket names one. */
  readonly session: string | undefined
  readonly channel: string
  /** The header `Origin`, '' if there is none. */
  readonly origin: string
  /** When the session ends, Unix seconds. */
  readonly expires: number
  /** The claims of the token that the ticket carries (`ticketClaims` of an issuer). */
  readonly claims: CarriedClaims
}

/** A publication of a client, passed to the application instead of the subscribers. */
export interface ApplicationMessage {
  readonly channel: string
  /** Decoded. An integer of MessagePack beyond ±(2^53 - 1) is a bigint. */
  readonly data: unknown
}

/**
 * `Data`, unless it is a promise: then the result type is `never`, and the handler does not
 * compile.
 */
type Immediate<Data> = Data extends PromiseLike<unknown> ? never : Data

/**
 * The handlers of an embedding application. All but `authorize` may be async. If one throws, its
 * socket is closed with 1011 and the error is logged; no other socket is affected.
 */
export interface GateHandlers<Data = undefined> {
  /**
   * Decides, after all other checks of a ticket, whether it may open a socket: returns the data of
   * the connection, or `false` to refuse with `channel_forbidden`. The ticket is not spent then.
   * Also called for every `renew`, and for every socket that `/ws_ticket/renew` would extend; its
   * data is ignored then.
   *
   * It cannot be async, because nothing waits between the checks of a ticket and its use: if it
   * returns a promise, the handshake is refused and an error is logged. Do async work before the
   * ticket is issued, and put its result into the `channels` claim of the token, or in `onConnect`,
   * which may wait and then close the connection.
   */
  authorize?(request: AuthorizationRequest): Immediate<Data> | false
  onConnect?(connection: Connection<Data>): void | Promise<void>
  /**
   * Receives what clients publish, within their rights. Subscribers then only get what the
   * application publishes itself. `ok` is sent when it is done.
   */
  onMessage?(connection: Connection<Data>, message: ApplicationMessage): void | Promise<void>
  onClose?(connection: Connection<Data>, code: number, reason: string): void | Promise<void>
}

/** The names of the handlers of a gate. */
export const handlerNames = ['authorize', 'onConnect', 'onMessage', 'onClose'] as const

/**
 * Checks a handler.
 * @throws TypeError unless it is a function, and not async if it must be synchronous
 */
export function checkHandler(
  name: (typeof handlerNames)[number],
  handler: unknown,
): asserts handler is (...args: never) => unknown {
  if (typeof handler !== 'function') throw new TypeError(`${name} must be a function`)
  if (name === 'authorize' && isAsyncFunction(handler))
    throw new TypeError(
      'authorize must not be async: nothing waits between the checks of a ticket and its use. Do async work before the ticket is issued (its result goes into the claim `channels` of the token), or in onConnect, which may wait and then close the connection',
    )
}

export interface ApplicationParts {
  readonly handlers: GateHandlers<unknown>
  readonly publisher: Publisher
  readonly log: Log
}

/** Calls the handlers of the embedding application. */
export class Application {
  readonly #handlers: GateHandlers<unknown>
  readonly #publisher: Publisher
  readonly #log: Log

  constructor({ handlers, publisher, log }: ApplicationParts) {
    this.#handlers = handlers
    this.#publisher = publisher
    this.#log = log
  }

  /** Whether the application handles what clients publish. */
  get takesMessages(): boolean {
    return this.#handlers.onMessage !== undefined
  }

  /**
   * Returns the data of a future connection, or `false`.
   * @throws TypeError for a promise
   */
  authorize(request: AuthorizationRequest): unknown {
    const { authorize } = this.#handlers
    if (authorize === undefined) return undefined
    const data: unknown = authorize(request)
    if (!isThenable(data)) return data
    data.then(undefined, () => {})
    throw new TypeError('authorize returned a promise, so the handshake is refused: it must be synchronous')
  }

  open(ws: Socket): void {
    const connection = new SocketConnection(ws, this.#publisher)
    ws.getUserData().session.connection = connection
    this.#run(connection, 'onConnect', () => this.#handlers.onConnect?.(connection))
  }

  message(ws: Socket, channel: string, { data, id }: Incoming): void {
    const connection = connectionOf(ws)
    if (connection === undefined || data === undefined) return
    const message = { channel, data: ws.getUserData().session.encoding.unpack(data) }
    this.#run(
      connection,
      'onMessage',
      () => this.#handlers.onMessage?.(connection, message),
      () => {
        if (connection.isOpen) done(ws, id)
      },
    )
  }

  close(ws: Socket, code: number, reason: string): void {
    const connection = connectionOf(ws)
    if (connection === undefined) return
    connection.detach()
    this.#run(connection, 'onClose', () => this.#handlers.onClose?.(connection, code, reason))
  }

  /** Runs a handler; `then` follows unless it fails. */
  #run(connection: SocketConnection, handler: string, act: () => unknown, then?: () => void): void {
    try {
      const result = act()
      if (!isThenable(result)) return then?.()
      result.then(
        () => then?.(),
        error => this.#failed(connection, error, handler),
      )
    } catch (error) {
      this.#failed(connection, error, handler)
    }
  }

  #failed(connection: SocketConnection, error: unknown, handler: string): void {
    this.#log.error({ err: error, handler, user: connection.user }, 'a handler of the application failed')
    connection.fail()
  }
}

class SocketConnection implements Connection<unknown> {
  data: unknown
  readonly user: string
  readonly channel: string
  readonly #publisher: Publisher
  /** Undefined once it is closed, because uWS sockets must not be used after that. */
  #socket: Socket | undefined
  readonly #known: Session

  constructor(ws: Socket, publisher: Publisher) {
    const session = ws.getUserData().session
    this.user = session.user
    this.channel = session.channel
    this.data = session.data
    this.#publisher = publisher
    this.#socket = ws
    this.#known = session
  }

  get session(): string {
    return this.#known.id
  }

  get claims(): CarriedClaims {
    return this.#known.claims
  }

  get isOpen(): boolean {
    return this.#socket !== undefined
  }

  send(data: unknown, channel: string = this.channel): void {
    requireChannel(channel)
    const packed = json.pack(data)
    if (this.#socket === undefined) return
    const { encoding } = this.#known
    const own = encoding.name === 'json' ? packed : encoding.convert(packed)
    this.#socket.send(encoding.envelope(channel, own, undefined), encoding.isBinary)
  }

  publish(channel: string, data: unknown): void {
    requireChannel(channel)
    const packed = json.pack(data)
    if (this.#socket !== undefined) this.#publisher.publish(this.#socket, channel, packed, 'json')
  }

  close(code = 1000, reason = ''): void {
    if (code !== 1000 && !(Number.isInteger(code) && code >= 3000 && code <= 4999))
      throw new TypeError('code must be 1000, or 3000 to 4999')
    if (this.#socket !== undefined) closeWith(this.#socket, 'application', code, boundedReason(reason))
  }

  detach(): void {
    this.#socket = undefined
  }

  fail(): void {
    if (this.#socket !== undefined)
      closeWith(this.#socket, 'handler_failed', closeCode.internalError, 'internal_error')
  }
}

const connectionOf = (ws: Socket): SocketConnection | undefined => {
  const { connection } = ws.getUserData().session
  return connection instanceof SocketConnection ? connection : undefined
}

function requireChannel(channel: string): void {
  if (!isChannelName(channel)) throw new TypeError(`channel must be ${channelNameForm}`)
}

const isThenable = (value: unknown): value is PromiseLike<unknown> =>
  ((typeof value === 'object' && value !== null) || typeof value === 'function') &&
  'then' in value &&
  typeof value.then === 'function'

/** The longest prefix of a text that fits into a close frame, in whole characters. */
export function boundedReason(reason: string): string {
  const bytes = Buffer.from(reason)
  let end = Math.min(bytes.length, maxCloseReasonBytes)
  // A byte of the form 10xxxxxx continues a character.
  while (end < bytes.length && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--
  return bytes.toString('utf8', 0, end)
}
