import { problemOf, type RefusalCode, statusOf, titleOf } from '../errors.js'
import type { BindingRefusal } from '../ticket/bindings.js'
import type { TicketRefusal } from '../ticket/verifier.js'

/** Why a verifier refuses a ticket. The codes are stable; docs/errors.md explains each. */
export type TicketErrorCode =
  | TicketRefusal
  | BindingRefusal
  | Extract<RefusalCode, 'ticket_used' | 'replay_cache_full'>

/**
 * A refused ticket. It is not spent, except with the code `ticket_used`. The error contains no
 * secret and nothing that the client sent. It is a complete HTTP response: `status`, `headers`, and
 * its own JSON as the body (RFC 9457).
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
  /** When to try again, with this ticket or another; only for refusals that are temporary. */
  readonly retryAfterSeconds: number | undefined

  constructor(code: TicketErrorCode, retryAfterSeconds?: number) {
    super(titleOf(code))
    this.code = code
    this.status = statusOf(code)
    this.retryAfterSeconds = retryAfterSeconds
  }

  /**
   * The headers of the response, in the letter case that `ws` and others use, so that they replace
   * theirs.
   */
  get headers(): Record<string, string> {
    return {
      'Content-Type': 'application/problem+json',
      'Cache-Control': 'no-store',
      ...(this.retryAfterSeconds === undefined ? {} : { 'Retry-After': String(this.retryAfterSeconds) }),
    }
  }

  /** The body of the response, as ticketgate's own server sends it. */
  toJSON() {
    return problemOf(this.code, this.message)
  }
}
