import { problemOf, type RefusalCode, statusOf, titleOf } from '../errors.js'
import type { BindingRefusal } from '../ticket/bindings.js'
import type { TicketRefusal } from '../ticket/verifier.js'

/** Why a verifier refuses a ticket. Stable; README lists what each means. */
export type TicketErrorCode =
  | TicketRefusal
  | BindingRefusal
  | Extract<RefusalCode, 'ticket_used' | 'replay_cache_full'>

/**
 * A ticket that is refused, and with every code but `ticket_used` it is not spent. Nothing in here is secret or came
 * from the client, and it is a whole HTTP answer: `status`, `headers`, and as body its own JSON (RFC 9457).
 *
 * @example
 * ```js
 * response.writeHead(error.status, error.headers).end(JSON.stringify(error))
 * ```
 */
export class TicketError extends Error {
  override readonly name = 'TicketError'
  readonly code: TicketErrorCode
  /** The HTTP status: 401, 403, 421 or 503. */
  readonly status: number
  /** When to try again, with another ticket or with this one; only for codes that pass by themselves. */
  readonly retryAfterSeconds: number | undefined

  constructor(code: TicketErrorCode, retryAfterSeconds?: number) {
    super(titleOf(code))
    this.code = code
    this.status = statusOf(code)
    this.retryAfterSeconds = retryAfterSeconds
  }

  /** The headers of the answer, in the case that `ws` and others write them in, so that these take the place of theirs. */
  get headers(): Record<string, string> {
    return {
      'Content-Type': 'application/problem+json',
      'Cache-Control': 'no-store',
      ...(this.retryAfterSeconds === undefined ? {} : { 'Retry-After': String(this.retryAfterSeconds) }),
    }
  }

  /** The body of the answer, as ticketgate's own server gives it. */
  toJSON() {
    return problemOf(this.code, this.message)
  }
}
