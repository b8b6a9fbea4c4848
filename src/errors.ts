import { problemType } from './protocol.js'

/**
 * Every refusal, once: its code, status and title. Clients rely on codes, so a code is never
 * renamed, and docs/errors.md lists them all (a test compares the two).
 */
const refusals = {
  bad_request: [400, 'The request is malformed'],
  channel_invalid: [400, 'The channel name is invalid'],
  subprotocol_missing: [400, 'No WebSocket subprotocol that this server speaks was offered'],
  logout_token_invalid: [400, 'The logout token is invalid'],
  ticket_ambiguous: [400, 'More than one ticket was presented'],
  bad_credentials: [401, 'User or password is wrong'],
  admin_key_invalid: [401, 'The admin key is missing or wrong'],
  token_missing: [401, 'A bearer token is required'],
  token_invalid: [401, 'The token is invalid'],
  token_expired: [401, 'The token has expired'],
  token_revoked: [401, 'The token has been revoked'],
  token_in_url: [401, 'A token was presented where a ticket belongs'],
  ticket_missing: [401, 'A ticket is required'],
  ticket_invalid: [401, 'The ticket is invalid'],
  ticket_expired: [401, 'The ticket has expired'],
  ticket_used: [401, 'The ticket has been used'],
  ticket_predates_gate: [401, 'The ticket is older than the gate'],
  origin_forbidden: [403, 'This origin may not connect'],
  channel_forbidden: [403, 'This channel may not be opened'],
  address_mismatch: [403, 'The ticket was issued to another address'],
  not_found: [404, 'Not found'],
  method_not_allowed: [405, 'This method is not allowed here'],
  length_required: [411, 'The request body needs a Content-Length'],
  body_too_large: [413, 'The request body is too large'],
  unsupported_media_type: [415, 'The media type of the request body is not supported here'],
  wrong_node: [421, 'The ticket is for another gate'],
  upgrade_required: [426, 'This is a WebSocket endpoint'],
  rate_limited: [429, 'Too many requests'],
  too_many_connections: [429, 'Too many connections'],
  token_too_large: [431, 'The token is too large'],
  internal_error: [500, 'Internal server error'],
  login_busy: [503, 'Too many logins are in progress'],
  keys_unavailable: [503, 'The keys of the identity provider are not known yet'],
  replay_cache_full: [503, 'The replay cache is full'],
  replay_cache_unavailable: [503, 'The replay cache is unavailable'],
  revocations_full: [503, 'The limit on revocations is reached'],
  upstream_unavailable: [503, 'The upstream server is unavailable'],
  draining: [503, 'The server is shutting down'],
} as const satisfies Record<string, readonly [status: number, title: string]>

/** The stable name of one reason for a refusal. */
export type RefusalCode = keyof typeof refusals

/** All codes, for tables (docs/errors.md, metrics). */
export const refusalCodes = Object.keys(refusals) as readonly RefusalCode[]

export const statusOf = (code: RefusalCode): number => refusals[code][0]
export const titleOf = (code: RefusalCode): string => refusals[code][1]

export interface RefusalOptions {
  /** What the client can do about it. Never contains a secret, or anything that the client sent. */
  readonly detail?: string
  /** For the log only: what the code does not say. */
  readonly reason?: string
  /** Whether it has been logged already. */
  readonly isTold?: true
  /** Sent as `Retry-After`, whole seconds. */
  readonly retryAfterSeconds?: number
  /** Further response headers, such as `Allow` or `WWW-Authenticate`. */
  readonly headers?: Readonly<Record<string, string>>
}

/**
 * A refused request: an expected outcome, not a fault. HTTP clients get it as problem+json (RFC
 * 9457).
 */
export class Refusal extends Error {
  override readonly name = 'Refusal'
  readonly code: RefusalCode
  readonly status: number
  readonly detail: string | undefined
  readonly reason: string | undefined
  readonly isTold: boolean
  readonly retryAfterSeconds: number | undefined
  readonly headers: Readonly<Record<string, string>>

  constructor(code: RefusalCode, options: RefusalOptions = {}) {
    super(options.detail ?? titleOf(code))
    this.code = code
    this.status = statusOf(code)
    this.detail = options.detail
    this.reason = options.reason
    this.isTold = options.isTold === true
    this.retryAfterSeconds = options.retryAfterSeconds
    this.headers = options.headers ?? {}
  }
}

/** The body of a refusal (RFC 9457). `detail` is for people: what to do about it. */
export const problemOf = (code: RefusalCode, detail: string = titleOf(code)) => ({
  type: problemType(code),
  title: titleOf(code),
  status: statusOf(code),
  code,
  detail,
})

/** For `Retry-After`: whole seconds, at least one. */
export const retryAfterSeconds = (waitMs: number): number => Math.max(1, Math.ceil(waitMs / 1000))

/**
 * Every reason not to start. Like refusal codes, these are a promise: embedding applications branch
 * on them.
 */
export type StartupErrorCode =
  | 'clock_mark_invalid'
  | 'config_invalid'
  | 'console_missing'
  | 'port_unavailable'
  | 'redis_evicts'
  | 'revocations_invalid'
  | 'state_directory_unavailable'
  | 'tls_invalid'
  | 'users_file_invalid'
  | 'uwebsockets_unavailable'

/**
 * A mistake of the operator: a bad option, a broken file, a port in use. The message says how to
 * fix it.
 */
export class StartupError extends Error {
  override readonly name = 'StartupError'
  readonly code: StartupErrorCode

  constructor(code: StartupErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
