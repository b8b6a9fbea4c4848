import type { Clock } from '../clock.js'
import type { Relay } from '../cluster/relay.js'
import type { Counters } from '../ops/metrics.js'
import { nextArrival, type Rate } from '../ops/rate.js'
import { closeCode, isChannelName, messageError } from '../protocol.js'
import { mayPublish, maySubscribe } from '../ticket/rights.js'
import type { Session, Socket } from './session.js'

export interface MessageParts {
  readonly rate: Rate | undefined
  readonly maxMessageBytes: number
  readonly counters: Counters
  readonly clock: Clock
  /** Where messages go besides this thread's own sockets. */
  readonly relay: Relay | undefined
}

interface Incoming {
  readonly type?: unknown
  readonly channel?: unknown
  readonly data?: unknown
  readonly id?: unknown
}

/** An `id` is the client's own: it comes back with the answer, so it has to be small. */
const isId = (id: unknown): id is string | number =>
  (typeof id === 'string' && id.length <= 64) || (typeof id === 'number' && Number.isFinite(id))

const maxSubscriptions = 128

const decoder = new TextDecoder('utf-8', { fatal: true })

/** What a socket says and hears once it is open (PROTOCOL.md). Channels are uWS topics, so fan-out is native. */
export function createMessages({ rate, maxMessageBytes, counters, clock, relay }: MessageParts) {
  const burst = rate === undefined ? 0 : rate.count * 2

  const send = (ws: Socket, message: object): void => {
    ws.send(JSON.stringify(message))
  }

  const fail = (ws: Socket, code: string, detail: string, id: unknown): void =>
    send(ws, { type: 'error', code, detail, ...(isId(id) ? { id } : {}) })

  const done = (ws: Socket, id: unknown): void => {
    if (isId(id)) send(ws, { type: 'ok', id })
  }

  function close(ws: Socket, reason: Session['closeReason'], code: number, text: string): void {
    ws.getUserData().session.closeReason = reason
    ws.end(code, text)
  }

  /** False when the message came too early, and the socket is closed. */
  function isInRate(ws: Socket): boolean {
    if (rate === undefined) return true
    const session = ws.getUserData().session
    const next = nextArrival(session.arrivalMs, clock(), rate, burst)
    if (next >= 0) {
      session.arrivalMs = next
      return true
    }
    const retryAfterMs = Math.ceil(rate.seconds * 1000 * (1 + Math.random()))
    close(ws, 'rate_limited', closeCode.rateLimited, `retry_after_ms=${retryAfterMs}`)
    return false
  }

  function subscribe(ws: Socket, channel: string): boolean {
    const session = ws.getUserData().session
    if (ws.isSubscribed(topicOf(channel))) return true
    if (session.subscriptions >= maxSubscriptions) return false
    session.subscriptions++
    return ws.subscribe(topicOf(channel))
  }

  function parse(message: ArrayBuffer): Incoming | undefined {
    try {
      const value: unknown = JSON.parse(decoder.decode(message))
      return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined
    } catch {
      return undefined
    }
  }

  const handlers: Readonly<Record<string, (ws: Socket, channel: string, message: Incoming) => void>> = {
    publish(ws, channel, { data, id }) {
      if (data === undefined) return fail(ws, messageError.malformed, 'A message needs data.', id)
      const session = ws.getUserData().session
      if (!mayPublish(session.rights, channel))
        return fail(ws, messageError.channelForbidden, 'No right to publish on this channel.', id)
      counters.messagesPublished++
      const text = JSON.stringify({ type: 'message', channel, data, user: session.user })
      ws.publish(topicOf(channel), text)
      relay?.send({ type: 'publish', channel, text })
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
      if (ws.unsubscribe(topicOf(channel))) ws.getUserData().session.subscriptions--
      done(ws, id)
    },
    ping(ws, _channel, { id }) {
      send(ws, { type: 'pong', ...(isId(id) ? { id } : {}) })
    },
  }

  return {
    /** For uWS `open`: greets, and joins the channel of the path where the ticket lets it hear that. */
    open(ws: Socket): void {
      const { id, user, channel, rights, expiresAtSeconds } = ws.getUserData().session
      if (maySubscribe(rights, channel)) {
        ws.getUserData().session.subscriptions = 1
        ws.subscribe(topicOf(channel))
      }
      // Every handshake sends it. Nothing in it but the user's name can need escaping: the rest is checked characters.
      ws.send(
        `{"type":"welcome","session":"${id}","user":${JSON.stringify(user)},"channel":"${channel}","expires":${expiresAtSeconds}}`,
      )
    },
    /** For uWS `message`. */
    message(ws: Socket, bytes: ArrayBuffer, isBinary: boolean): void {
      counters.messagesReceived++
      if (bytes.byteLength > maxMessageBytes)
        return close(ws, 'message_too_big', closeCode.messageTooBig, `at most ${maxMessageBytes} bytes`)
      if (!isInRate(ws)) return
      const message = isBinary ? undefined : parse(bytes)
      if (message === undefined)
        return fail(ws, messageError.malformed, 'A message is one JSON object in a text frame.', undefined)
      const { type, id } = message
      const handler = typeof type === 'string' && Object.hasOwn(handlers, type) ? handlers[type] : undefined
      if (handler === undefined)
        return fail(ws, messageError.unknownType, 'There is no such type of message.', id)
      // Only who publishes may leave the channel out, and means the one in the path.
      const channel =
        message.channel ??
        (type === 'publish' || type === 'ping' ? ws.getUserData().session.channel : undefined)
      if (typeof channel !== 'string' || !isChannelName(channel))
        return fail(ws, messageError.channelInvalid, 'A channel name is needed here.', id)
      handler(ws, channel, message)
    },
  }
}

/** The uWS topic of a channel: it may not be empty, a channel name may. */
export const topicOf = (channel: string): string => `json:${channel}`
