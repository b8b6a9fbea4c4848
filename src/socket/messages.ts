import type { Clock } from '../clock.js'
import { nextArrival, type Rate } from '../limits/rate.js'
import { createTurnLimit } from '../limits/turn-limit.js'
import { closeCode, isChannelName, messageError, type RequestType, retryAfterReason } from '../protocol.js'
import type { Log } from '../telemetry/log.js'
import type { Counters } from '../telemetry/metrics.js'
import { mayPublish, maySubscribe } from '../ticket/rights.js'
import { fanOut, type Incoming, type Topics, topicOf } from '../wire/encoding.js'
import type { Publication, Relay } from '../wire/relay.js'
import type { Embedding } from './application.js'
import { closeOutOfTime, endFailed, endWith, isOpen } from './lifecycle.js'
import { answer, done, fail, welcome } from './replies.js'
import type { Socket } from './session.js'

export interface MessageParts {
  readonly rate: Rate | undefined
  readonly maxMessageBytes: number
  readonly topics: Topics
  /** Whether large messages go out compressed to those who can read that. */
  readonly compresses: boolean
  readonly counters: Counters
  readonly clock: Clock
  readonly log: Log
  /** Where messages go besides this thread's own sockets. */
  readonly relay: Relay | undefined
  readonly embedding: Embedding | undefined
  /** Extends the session by a ticket. */
  readonly renew: (ws: Socket, message: Incoming, nowMs: number) => void
  /** Takes the first message on a socket whose user is not known yet. */
  readonly identify: (ws: Socket, message: Incoming | undefined, nowMs: number) => void
}

type Handler = (ws: Socket, channel: string, message: Incoming) => void

const maxSubscriptions = 128

// Below this, the work outweighs what is saved.
const minCompressedBytes = 512

// Where no rate is set, one socket could keep all others waiting: so many are a tenth of a second's work.
const messagesInTurn = 20_000

/** What a socket says and hears once it is open (PROTOCOL.md). Channels are uWS topics, so fan-out is native. */
export function createMessages(parts: MessageParts) {
  const { rate, maxMessageBytes, topics, counters, clock, log, relay, embedding } = parts
  const burst = rate === undefined ? 0 : rate.count * 2
  const isTooMuch = createTurnLimit(messagesInTurn)

  /** False when the message came too early, and the socket is closed. */
  function isInRate(ws: Socket, nowMs: number): boolean {
    if (isTooMuch()) return slowDown(ws, 1)
    if (rate === undefined) return true
    const session = ws.getUserData().session
    const next = nextArrival(session.arrivalMs ?? 0, nowMs, rate, burst)
    if (next >= 0) {
      session.arrivalMs = next
      return true
    }
    return slowDown(ws, rate.seconds)
  }

  function slowDown(ws: Socket, seconds: number): false {
    const retryAfterMs = seconds * 1000 * (1 + Math.random())
    endWith(ws, 'rate_limited', closeCode.rateLimited, retryAfterReason(retryAfterMs))
    return false
  }

  function subscribe(ws: Socket, channel: string): boolean {
    const topic = topicOf(ws.getUserData().session.encoding.name, channel)
    if (ws.isSubscribed(topic)) return true
    return ws.getTopics().length < maxSubscriptions && ws.subscribe(topic)
  }

  const compresses = ({ data }: Publication): boolean => parts.compresses && data.length >= minCompressedBytes

  /** Sends what a socket publishes to all others, here and elsewhere. */
  function publish(ws: Socket, channel: string, data: Uint8Array, encoding: Publication['encoding']): void {
    counters.messagesPublished++
    const publication: Publication = {
      type: 'publish',
      channel,
      encoding,
      data,
      user: ws.getUserData().session.user,
    }
    fanOut(topics, publication, compresses(publication), ws)
    relay?.send(publication)
  }

  const handlers: Readonly<Partial<Record<RequestType, Handler>>> = {
    publish(ws, channel, message) {
      const { data, id } = message
      if (data === undefined) return fail(ws, messageError.malformed, 'A message needs data.', id)
      const { rights, encoding } = ws.getUserData().session
      if (!mayPublish(rights, channel))
        return fail(ws, messageError.channelForbidden, 'No right to publish on this channel.', id)
      if (embedding?.takesMessages) return embedding.message(ws, channel, message)
      publish(ws, channel, data, encoding.name)
      done(ws, id)
    },
    subscribe(ws, channel, { id }) {
      if (!maySubscribe(ws.getUserData().session.rights, channel))
        return fail(ws, messageError.channelForbidden, 'No right to subscribe to this channel.', id)
      if (!subscribe(ws, channel))
        return fail(ws, messageError.tooManyChannels, `A socket may hear ${maxSubscriptions} channels.`, id)
      done(ws, id)
    },
    unsubscribe(ws, channel, { id }) {
      ws.unsubscribe(topicOf(ws.getUserData().session.encoding.name, channel))
      done(ws, id)
    },
  }

  /** Greets, and joins the channel of the path where the rights allow to hear that. */
  function enter(ws: Socket): void {
    const { channel, rights, encoding } = ws.getUserData().session
    if (maySubscribe(rights, channel)) ws.subscribe(topicOf(encoding.name, channel))
    welcome(ws)
    embedding?.open(ws)
  }

  function act(ws: Socket, message: Incoming, nowMs: number): void {
    const { type, id } = message
    if (type === 'ping') return answer(ws, { type: 'pong' }, id)
    if (type === 'renew') return parts.renew(ws, message, nowMs)
    if (type === 'auth')
      return fail(ws, messageError.malformed, 'Who this is, is known already: renew instead.', id)
    const handler =
      typeof type === 'string' && Object.hasOwn(handlers, type) ? handlers[type as RequestType] : undefined
    if (handler === undefined)
      return fail(ws, messageError.unknownType, 'There is no such type of message.', id)
    // Only who publishes may leave the channel out, and means the one in the path.
    const channel = message.channel ?? (type === 'publish' ? ws.getUserData().session.channel : undefined)
    if (typeof channel !== 'string' || !isChannelName(channel))
      return fail(ws, messageError.channelInvalid, 'A channel name is needed here.', id)
    handler(ws, channel, message)
  }

  return {
    enter,
    publish,
    /** Sends what was published elsewhere to all who hear it here; answers how many. */
    deliver(publication: Publication): number {
      try {
        return fanOut(topics, publication, compresses(publication))
      } catch (error) {
        // Of another version, or of whoever else has their hands in Redis. What it says would be in the message of the error.
        const reason = error instanceof Error ? error.name : 'unknown'
        log.warn({ reason }, 'something that is no message came from elsewhere')
        return 0
      }
    },
    /** For uWS `ping` and `pong`: they count as messages do. */
    control(ws: Socket): void {
      if (isOpen(ws)) isInRate(ws, clock())
      else ws.close()
    },
    /** For uWS `message`. */
    message(ws: Socket, bytes: ArrayBuffer, isBinary: boolean): void {
      // One that does not read what it is sent may not go on sending.
      if (!isOpen(ws)) return void ws.close()
      counters.messagesReceived++
      if (bytes.byteLength > maxMessageBytes)
        return endWith(ws, 'message_too_big', closeCode.messageTooBig, `at most ${maxMessageBytes} bytes`)
      const nowMs = clock()
      const { encoding, expiresAtSeconds, user } = ws.getUserData().session
      // Sockets are looked at once a second; nothing is done for one in the time between.
      if (nowMs >= expiresAtSeconds * 1000) return closeOutOfTime(ws)
      if (!isInRate(ws, nowMs)) return
      try {
        const message = isBinary === encoding.isBinary ? encoding.read(Buffer.from(bytes)) : undefined
        if (user === '') parts.identify(ws, message, nowMs)
        else if (message !== undefined) act(ws, message, nowMs)
        else fail(ws, messageError.malformed, malformed[encoding.name], undefined)
      } catch (error) {
        endFailed(ws, error, log)
      }
    },
  }
}

const malformed = {
  json: 'A message is one JSON object in a text frame, with data at most once and 128 deep.',
  msgpack: 'A message is one MessagePack map in a binary frame, with plain data, 128 deep at most.',
}
