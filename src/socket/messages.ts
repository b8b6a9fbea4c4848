import { isChannelName, messageError, type RequestType } from '../protocol.js'
import type { Log } from '../telemetry/log.js'
import type { Incoming } from '../wire/encoding.js'
import type { Application } from './application.js'
import type { ChannelRights } from './channel-rights.js'
import type { ChannelTopics } from './channel-topics.js'
import { closeFailed } from './closing.js'
import type { FirstMessageAuth } from './first-message.js'
import type { MessageLimits } from './message-limits.js'
import type { Publisher } from './publisher.js'
import type { SessionRenewal } from './renewal.js'
import { answer, done, fail, type RequestId, welcome } from './replies.js'
import type { Socket } from './session.js'
import type { SocketEvents } from './socket-events.js'
import type { Conversation } from './sockets.js'

export interface MessageParts {
  readonly limits: MessageLimits
  readonly topics: ChannelTopics
  readonly rights: ChannelRights
  readonly events: SocketEvents
  readonly publisher: Publisher
  readonly renewal: SessionRenewal
  readonly firstMessage: FirstMessageAuth | undefined
  readonly application: Application | undefined
  readonly log: Log
}

const maxSubscriptions = 128

const malformed = {
  json: 'A message is one JSON object in a text frame, with data at most once and 128 deep.',
  msgpack: 'A message is one MessagePack map in a binary frame, with plain data, 128 deep at most.',
}

/**
 * The messages of a socket once it is open (PROTOCOL.md). Channels are uWS topics, so fan-out is
 * native.
 */
export class MessageHandler implements Conversation {
  readonly #parts: MessageParts

  constructor(parts: MessageParts) {
    this.#parts = parts
  }

  /** For uWS `open`: sends the welcome to a socket whose user is known. */
  open(ws: Socket): void {
    const { user } = ws.getUserData().session
    try {
      if (user !== '') this.#enter(ws)
    } catch (error) {
      closeFailed(ws, error, this.#parts.log)
    }
  }

  /** For uWS `close`. */
  closed(ws: Socket, code: number, reason: string): void {
    this.#parts.application?.close(ws, code, reason)
  }

  /** For uWS `ping` and `pong`, which count like messages. */
  control(ws: Socket): void {
    this.#parts.limits.control(ws)
  }

  /** For uWS `message`. */
  message(ws: Socket, bytes: ArrayBuffer, isBinary: boolean): void {
    const nowMs = this.#parts.limits.admit(ws, bytes.byteLength)
    if (nowMs === 0) return
    const { encoding, user } = ws.getUserData().session
    try {
      const message = isBinary === encoding.isBinary ? encoding.read(Buffer.from(bytes)) : undefined
      if (user === '') this.#authenticate(ws, message, nowMs)
      else if (message !== undefined) this.#act(ws, message, nowMs)
      else fail(ws, messageError.malformed, malformed[encoding.name], undefined)
    } catch (error) {
      closeFailed(ws, error, this.#parts.log)
    }
  }

  #authenticate(ws: Socket, message: Incoming | undefined, nowMs: number): void {
    if (this.#parts.firstMessage?.authenticate(ws, message, nowMs)) this.#enter(ws)
  }

  /**
   * Sends the welcome, and subscribes the socket to the channel of the path if its rights allow it.
   */
  #enter(ws: Socket): void {
    const { session } = ws.getUserData()
    const { channel, encoding } = session
    const { topics, rights, events } = this.#parts
    rights.begin(ws)
    const hears = rights.maySubscribe(ws, channel)
    if (hears) topics.join(ws, encoding.name, channel)
    events.opened(session, hears)
    welcome(ws)
    this.#parts.application?.open(ws)
  }

  #act(ws: Socket, message: Incoming, nowMs: number): void {
    const { id } = message
    switch (message.type as RequestType | undefined) {
      case 'publish':
        return this.#publish(ws, message)
      case 'subscribe':
        return this.#subscribe(ws, message)
      case 'unsubscribe':
        return this.#unsubscribe(ws, message)
      case 'renew':
        return this.#parts.renewal.renew(ws, message, nowMs)
      case 'ping':
        return answer(ws, { type: 'pong' }, id)
      case 'auth':
        return fail(ws, messageError.malformed, 'This socket is authenticated: renew it instead.', id)
      default:
        return fail(ws, messageError.unknownType, 'The type of this message is unknown.', id)
    }
  }

  #publish(ws: Socket, message: Incoming): void {
    const { application, publisher, rights } = this.#parts
    const { data, id } = message
    const { channel: own } = ws.getUserData().session
    // Only a publish may omit the channel, and then means the one in the path.
    const { channel = own } = message
    if (!isChannel(channel)) return failChannel(ws, id)
    if (data === undefined) return fail(ws, messageError.malformed, 'A message needs data.', id)
    if (!rights.mayPublish(ws, channel))
      return fail(ws, messageError.channelForbidden, 'No right to publish on this channel.', id)
    if (application?.takesMessages) return application.message(ws, channel, message)
    if (!publisher.publish(ws, channel, data))
      return fail(ws, messageError.publishQueueFull, 'Too many messages are waiting: try again later.', id)
    done(ws, id)
  }

  #subscribe(ws: Socket, { channel, id }: Incoming): void {
    const { topics, rights, events } = this.#parts
    const { encoding } = ws.getUserData().session
    if (!isChannel(channel)) return failChannel(ws, id)
    if (!rights.maySubscribe(ws, channel))
      return fail(ws, messageError.channelForbidden, 'No right to subscribe to this channel.', id)
    if (topics.countOf(ws) >= maxSubscriptions && !topics.isSubscribed(ws, encoding.name, channel))
      return fail(
        ws,
        messageError.tooManyChannels,
        `A socket may have ${maxSubscriptions} subscriptions.`,
        id,
      )
    if (topics.subscribe(ws, encoding.name, channel)) events.subscribed(ws, channel)
    done(ws, id)
  }

  #unsubscribe(ws: Socket, { channel, id }: Incoming): void {
    if (!isChannel(channel)) return failChannel(ws, id)
    const { topics, events } = this.#parts
    if (topics.unsubscribe(ws, ws.getUserData().session.encoding.name, channel))
      events.unsubscribed(ws, channel)
    done(ws, id)
  }
}

const isChannel = (channel: unknown): channel is string =>
  typeof channel === 'string' && isChannelName(channel)

const failChannel = (ws: Socket, id: RequestId): void =>
  fail(ws, messageError.channelInvalid, 'A channel name is required here.', id)
