/**
 * What helps: nothing (the client gives up), a new token (the next attempt requests one), or time
 * (the client tries again).
 */
export type Remedy = 'nothing' | 'token' | 'time'

/**
 * Why something did not work. `code` is one of the server's (docs/errors.md lists them), or one of
 * the client's own: `bad_reply`, `closed`, `connection_lost`, `handshake_failed`, `http_STATUS`,
 * `message_too_big`, `not_open`, `reader_too_slow`, `revoked`, `session_expired`,
 * `socket_unavailable`, `ticket_unavailable`, `timeout`, `token_unavailable`, `unreachable`,
 * `unsubscribed`.
 *
 * Thrown by `getToken` or `getTicket` with the remedy `nothing`, the default, it ends the
 * connection for good.
 */
export class GateError extends Error {
  override readonly name = 'GateError'
  readonly code: string
  readonly remedy: Remedy
  /** The wait requested by the server, in milliseconds. */
  readonly retryAfterMs: number | undefined

  constructor(code: string, message: string, remedy: Remedy = 'nothing', retryAfterMs?: number) {
    super(message)
    this.code = code
    this.remedy = remedy
    this.retryAfterMs = retryAfterMs
  }
}
