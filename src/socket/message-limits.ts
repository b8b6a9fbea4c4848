import type { Clock } from '../clock.js'
import { createRowLimit } from '../limits/turn-limit.js'
import { closeCode, retryAfterReason } from '../protocol.js'
import type { Counters } from '../telemetry/metrics.js'
import { closeExpired, closeWith, isOpen } from './closing.js'
import type { MessageRate } from './message-rate.js'
import type { Socket } from './session.js'

export interface MessageLimitsParts {
  readonly rate: Pick<MessageRate, 'rate' | 'next'>
  readonly maxMessageBytes: number
  readonly counters: Pick<Counters, 'messagesReceived'>
  readonly clock: Clock
}

// Without a rate, one socket could delay all others: this many messages take a tenth of a second.
const messagesInTurn = 20_000

/** The limits of a message before it is decoded, in any encoding. */
export class MessageLimits {
  readonly #parts: MessageLimitsParts
  readonly #isTooMuch = createRowLimit(messagesInTurn)

  constructor(parts: MessageLimitsParts) {
    this.#parts = parts
  }

  /**
   * Counts a message. Returns its arrival time, or 0 if it must be ignored because its socket has
   * been closed.
   */
  admit(ws: Socket, bytes: number): number {
    const { counters, maxMessageBytes, clock } = this.#parts
    // A socket that does not read must not keep sending.
    if (!isOpen(ws)) return dropped(ws)
    counters.messagesReceived++
    if (bytes > maxMessageBytes) {
      closeWith(ws, 'message_too_big', closeCode.messageTooBig, `at most ${maxMessageBytes} bytes`)
      return 0
    }
    const nowMs = clock()
    // Sockets are checked once a second; nothing is done for one in between.
    if (nowMs >= ws.getUserData().session.expiresAtSeconds * 1000) {
      closeExpired(ws)
      return 0
    }
    return this.#isInRate(ws, nowMs) ? nowMs : 0
  }

  /** For uWS `ping` and `pong`: they count as messages do. */
  control(ws: Socket): void {
    if (isOpen(ws)) this.#isInRate(ws, this.#parts.clock())
    else ws.close()
  }

  /** False if the message came too early, and the socket has been closed. */
  #isInRate(ws: Socket, nowMs: number): boolean {
    const { rate: messageRate } = this.#parts
    if (this.#isTooMuch(ws)) return slowDown(ws, 1)
    const { rate } = messageRate
    if (rate === undefined) return true
    const session = ws.getUserData().session
    const next = messageRate.next(session.arrivalMs ?? 0, nowMs, rate)
    if (next < 0) return slowDown(ws, rate.seconds)
    session.arrivalMs = next
    return true
  }
}

function dropped(ws: Socket): 0 {
  ws.close()
  return 0
}

function slowDown(ws: Socket, seconds: number): false {
  const retryAfterMs = seconds * 1000 * (1 + Math.random())
  closeWith(ws, 'rate_limited', closeCode.rateLimited, retryAfterReason(retryAfterMs))
  return false
}
