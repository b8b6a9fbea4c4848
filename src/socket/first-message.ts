import type { TokenCheck } from '../admission/token-check.js'
import { closeCode, retryAfterReason } from '../protocol.js'
import { noClaims } from '../ticket/carried-claims.js'
import { newSessionId } from '../ticket/session-id.js'
import type { TokenClaims } from '../token/claims.js'
import type { Incoming } from '../wire/encoding.js'
import type { Application } from './application.js'
import { closeWith } from './closing.js'
import type { ConnectionSlots } from './connection-slots.js'
import { rightsOf, type Socket } from './session.js'
import type { SocketTable } from './socket-table.js'

export interface FirstMessageParts {
  readonly check: TokenCheck
  readonly slots: ConnectionSlots
  readonly table: SocketTable
  readonly application: Application | undefined
  readonly isDraining: () => boolean
}

/** How long a client waits after a temporary refusal, in milliseconds: up to twice as long. */
const waitMs = { capReached: 5000, keysUnavailable: 1000, draining: 1000 } as const

const spread = (ms: number): string => retryAfterReason(ms * (1 + Math.random()))

/**
 * Authenticates a socket that was opened without a ticket by its first message, `{type: "auth",
 * payload: TOKEN}`. The token is checked as at `/ws_ticket`. Anything else closes the socket.
 */
export class FirstMessageAuth {
  readonly #parts: FirstMessageParts

  constructor(parts: FirstMessageParts) {
    this.#parts = parts
  }

  /** True if the socket is authenticated; false if it is closed. */
  authenticate(ws: Socket, message: Incoming | undefined, nowMs: number): boolean {
    const { check, slots, application, table, isDraining } = this.#parts
    if (isDraining()) return refuse(ws, closeCode.draining, spread(waitMs.draining), 'draining')
    if (message?.type !== 'auth' || typeof message.payload !== 'string')
      return refuse(ws, closeCode.authRequired, 'auth_required')
    const session = ws.getUserData().session
    const token = check.identify(message.payload, nowMs)
    if (isKeysUnavailable(token)) return refuse(ws, closeCode.keysUnavailable, spread(waitMs.keysUnavailable))
    if ('code' in token) {
      const isForbidden = token.code === 'channel_forbidden'
      return refuse(ws, isForbidden ? closeCode.channelForbidden : closeCode.sessionExpired, token.code)
    }
    const refusal = check.permit(token, session.channel, nowMs)
    if (refusal?.code === 'rate_limited')
      return refuse(ws, closeCode.rateLimited, retryAfterReason(refusal.waitMs))
    if (refusal !== undefined) return refuse(ws, closeCode.channelForbidden, refusal.code)

    const { user, session: login, expiresAtSeconds, carried } = token
    const { channel, origin } = session
    const data = application?.authorize({
      user,
      session: login,
      channel,
      origin,
      expires: expiresAtSeconds,
      claims: carried ?? noClaims,
    })
    if (data === false) return refuse(ws, closeCode.channelForbidden, 'channel_forbidden')
    // The application may have revoked the token there.
    const again = application === undefined ? token : check.identify(message.payload, nowMs)
    if ('code' in again) return refuse(ws, closeCode.sessionExpired, again.code)
    if (!slots.authenticate(session, user))
      return refuse(ws, closeCode.rateLimited, spread(waitMs.capReached))
    session.id = login ?? newSessionId()
    session.rights = rightsOf(token)
    session.issuedAtSeconds = token.issuedAtSeconds
    if (carried !== undefined) session.carried = carried
    if (data !== undefined) session.data = data
    table.renew(ws, expiresAtSeconds)
    return true
  }
}

const isKeysUnavailable = (token: TokenClaims | { readonly code: string }): boolean =>
  'code' in token && token.code === 'keys_unavailable'

function refuse(
  ws: Socket,
  code: number,
  reason: string,
  counted: 'auth_refused' | 'draining' = 'auth_refused',
): false {
  closeWith(ws, counted, code, reason)
  return false
}
