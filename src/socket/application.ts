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

/** An open socket, to the application in which the gate runs. */
export interface Connection<Data = undefined> {
  readonly user: string
  /** The login session, or one of its own if the token names none. */
  readonly session: string
  /** The channel in its path. */
  readonly channel: string
  /** The claims of the token that its latest ticket carries (`ticketClaims` of an issuer). */
  readonly claims: CarriedClaims
  /** What `authorize` returned for it; the application's own. */
  data: Data
  readonly isOpen: boolean
  /**
   * Sends a `message` to this socket alone. Does nothing once it is closed.
   * @param data anything that JSON can represent
   * @param channel what the message names; by default the channel in the path
   * @throws TypeError for an invalid channel, or data that JSON cannot represent
   */
  send(data: unknown, channel?: string): void
  /**
   * Publishes in the name of this user to all who hear the channel, except this socket. Checks no
   * rights.
   * @throws TypeError for an invalid channel, or data that JSON cannot represent
   */
  publish(channel: string, data: unknown): void
  /**
   * @param code 1000 (the default), or 3000 to 4999
   * @param reason cut to 123 bytes
   * @throws TypeError for another code
   */
  close(code?: number, reason?: string): void
}

/** What is to be decided before a ticket is spent. */
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

/** What a client has published, handed to the application instead of being passed on. */
export interface ApplicationMessage {
  readonly channel: string
  /** Decoded. An integer of MessagePack beyond ±(2^53 - 1) is a bigint. */
  readonly data: unknown
}

/**
 * `Data`, unless it is something to wait for: then nothing can be returned, and the handler does
 * not compile.
 */
type Immediate<Data> = Data extends PromiseLike<unknown> ? never : Data

/**
 * How an application takes part. All but `authorize` may be async. An error that one of them throws
 * closes its socket with 1011 and is logged; no other socket is affected.
 */
export interface GateHandlers<Data = undefined> {
  /**
   * Decides, when all else about a ticket is good, whether it may open a socket: returns the data
   * of the connection, or `false` to refuse with `channel_forbidden`. The ticket is not spent then.
   * Called again at every `renew`, whose data is ignored.
   *
   * It cannot be async, since nothing waits between the checks of a ticket and its use: a promise
   * refuses the handshake and is logged. Async work belongs before the ticket is issued, where its
   * result goes into the `channels` claim of the token, or into `onConnect`, which may wait and
   * then close the connection.
   */
  authorize?(request: AuthorizationRequest): Immediate<Data> | false
  onConnect?(connection: Connection<Data>): void | Promise<void>
  /**
   * Receives what clients publish, if their rights allow it; nothing is passed on then except what
   * the application publishes itself. `ok` is sent when it is done.
   */
  onMessage?(connection: Connection<Data>, message: ApplicationMessage): void | Promise<void>
  onClose?(connection: Connection<Data>, code: number, reason: string): void | Promise<void>
}

/** The names of the handlers of a gate. */
export const handlerNames = ['authorize', 'onConnect', 'onMessage', 'onClose'] as const

/**
 * Checks what was given as a handler.
 * @throws TypeError unless it is a function, and one that returns at once if it has to
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

/** Calls the handlers of the application in which the gate runs. */
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
   * The data of a connection to be, or `false`.
   * @throws TypeError for a promise
   */
  authorize(request: AuthorizationRequest): unknown {
    const { authorize } = this.#handlers
    if (authorize === undefined) return undefined
    const data: unknown = authorize(request)
    if (!isThenable(data)) return data
    data.then(undefined, () => {})
    throw new TypeError('authorize returned a promise, so nobody is let in: it must return at once')
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
  /** Undefined once it is closed: it must not be touched then. */
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

/** As much of a text as fits into a close frame, in whole characters. */
export function boundedReason(reason: string): string {
  const bytes = Buffer.from(reason)
  let end = Math.min(bytes.length, maxCloseReasonBytes)
  // A byte of the form 10xxxxxx continues a character that began before.
  while (end < bytes.length && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--
  return bytes.toString('utf8', 0, end)
}
