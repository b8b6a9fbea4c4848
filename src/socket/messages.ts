import type { Clock } from '../clock.js'
import type { Rate } from '../config/value-types.js'
import { nextArrival } from '../limits/rate.js'
import { createTurnLimit } from '../limits/turn-limit.js'
import { closeCode, isChannelName, messageError, type RequestType, retryAfterReason } from '../protocol.js'
import type { Log } from '../telemetry/log.js'
import type { Counters } from '../telemetry/metrics.js'
import { mayPublish, maySubscribe } from '../ticket/rights.js'
import type { Incoming } from '../wire/encoding.js'
import type { Application } from './application.js'
import type { ChannelTopics } from './channel-topics.js'
import { closeOutOfTime, endFailed, endWith, isOpen } from './closing.js'
import type { FirstMessageAuth } from './first-message.js'
import type { Publisher } from './publisher.js'
import type { SessionRenewal } from './renewal.js'
import { answer, done, fail, type RequestId, welcome } from './replies.js'
import type { Socket } from './session.js'

export interface MessageParts {
  readonly rate: Rate | undefined
  readonly maxMessageBytes: number
  readonly topics: ChannelTopics
  readonly publisher: Publisher
  readonly renewal: SessionRenewal
  readonly firstMessage: FirstMessageAuth | undefined
  readonly application: Application | undefined
  readonly counters: Counters
  readonly clock: Clock
  readonly log: Log
}

const maxSubscriptions = 128

// Where no rate is set, one socket could keep all others waiting: so many are a tenth of a second's
// work.
const messagesInTurn = 20_000

const malformed = {
  json: 'A message is one JSON object in a text frame, with data at most once and 128 deep.',
  msgpack: 'A message is one MessagePack map in a binary frame, with plain data, 128 deep at most.',
}

/**
 * What a socket says and hears once it is open (PROTOCOL.md). Channels are uWS topics, so fan-out
 * is native.
 */
export class MessageHandler {
  readonly #parts: MessageParts
  readonly #burst: number
  readonly #isTooMuch = createTurnLimit(messagesInTurn)

  constructor(parts: MessageParts) {
    this.#parts = parts
    this.#burst = parts.rate === undefined ? 0 : parts.rate.count * 2
  }

  /** For uWS `open`: greets a socket whose user is known. */
  open(ws: Socket): void {
    const { user } = ws.getUserData().session
    try {
      if (user !== '') this.#enter(ws)
    } catch (error) {
      endFailed(ws, error, this.#parts.log)
    }
  }

  /** For uWS `ping` and `pong`: they count as messages do. */
  control(ws: Socket): void {
    if (isOpen(ws)) this.#isInRate(ws, this.#parts.clock())
    else ws.close()
  }

  /** For uWS `message`. */
  message(ws: Socket, bytes: ArrayBuffer, isBinary: boolean): void {
    const { counters, maxMessageBytes, clock, log } = this.#parts
    // A socket that does not read what it is sent may not go on sending.
    if (!isOpen(ws)) return void ws.close()
    counters.messagesReceived++
    if (bytes.byteLength > maxMessageBytes)
      return endWith(ws, 'message_too_big', closeCode.messageTooBig, `at most ${maxMessageBytes} bytes`)
    const nowMs = clock()
    const { encoding, expiresAtSeconds, user } = ws.getUserData().session
    // Sockets are looked at once a second; nothing is done for one in the time between.
    if (nowMs >= expiresAtSeconds * 1000) return closeOutOfTime(ws)
    if (!this.#isInRate(ws, nowMs)) return
    try {
      const message = isBinary === encoding.isBinary ? encoding.read(Buffer.from(bytes)) : undefined
      if (user === '') this.#authenticate(ws, message, nowMs)
      else if (message !== undefined) this.#act(ws, message, nowMs)
      else fail(ws, messageError.malformed, malformed[encoding.name], undefined)
    } catch (error) {
      endFailed(ws, error, log)
    }
  }

  /** False when the message came too early, and the socket is closed. */
  #isInRate(ws: Socket, nowMs: number): boolean {
    const { rate } = this.#parts
    if (this.#isTooMuch()) return slowDown(ws, 1)
    if (rate === undefined) return true
    const session = ws.getUserData().session
    const next = nextArrival(session.arrivalMs ?? 0, nowMs, rate, this.#burst)
    if (next < 0) return slowDown(ws, rate.seconds)
    session.arrivalMs = next
    return true
  }

  #authenticate(ws: Socket, message: Incoming | undefined, nowMs: number): void {
    if (this.#parts.firstMessage?.authenticate(ws, message, nowMs)) this.#enter(ws)
  }

  /** Greets, and joins the channel of the path if the rights allow hearing it. */
  #enter(ws: Socket): void {
    const { channel, rights, encoding } = ws.getUserData().session
    if (maySubscribe(rights, channel)) this.#parts.topics.join(ws, encoding.name, channel)
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
        return fail(ws, messageError.unknownType, 'There is no such type of message.', id)
    }
  }

  #publish(ws: Socket, message: Incoming): void {
    const { application, publisher } = this.#parts
    const { data, id } = message
    const { rights, channel: own } = ws.getUserData().session
    // Only a publish may leave the channel out, and means the one in the path.
    const { channel = own } = message
    if (!isChannel(channel)) return failChannel(ws, id)
    if (data === undefined) return fail(ws, messageError.malformed, 'A message needs data.', id)
    if (!mayPublish(rights, channel))
      return fail(ws, messageError.channelForbidden, 'No right to publish on this channel.', id)
    if (application?.takesMessages) return application.message(ws, channel, message)
    if (!publisher.publish(ws, channel, data))
      return fail(ws, messageError.publishQueueFull, 'Too much waits to be sent: try again later.', id)
    done(ws, id)
  }

  #subscribe(ws: Socket, { channel, id }: Incoming): void {
    const { topics } = this.#parts
    const { rights, encoding } = ws.getUserData().session
    if (!isChannel(channel)) return failChannel(ws, id)
    if (!maySubscribe(rights, channel))
      return fail(ws, messageError.channelForbidden, 'No right to subscribe to this channel.', id)
    if (topics.countOf(ws) >= maxSubscriptions && !topics.isSubscribed(ws, encoding.name, channel))
      return fail(ws, messageError.tooManyChannels, `A socket may hear ${maxSubscriptions} channels.`, id)
    topics.subscribe(ws, encoding.name, channel)
    done(ws, id)
  }

  #unsubscribe(ws: Socket, { channel, id }: Incoming): void {
    if (!isChannel(channel)) return failChannel(ws, id)
    this.#parts.topics.unsubscribe(ws, ws.getUserData().session.encoding.name, channel)
    done(ws, id)
  }
}

const isChannel = (channel: unknown): channel is string =>
  typeof channel === 'string' && isChannelName(channel)

const failChannel = (ws: Socket, id: RequestId): void =>
  fail(ws, messageError.channelInvalid, 'A channel name is needed here.', id)

function slowDown(ws: Socket, seconds: number): false {
  const retryAfterMs = seconds * 1000 * (1 + Math.random())
  endWith(ws, 'rate_limited', closeCode.rateLimited, retryAfterReason(retryAfterMs))
  return false
}
