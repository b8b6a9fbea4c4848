import { randomBytes } from 'node:crypto'
import type { TokenCheck } from '../admission/token-check.js'
import type { ConnectionCaps } from '../limits/caps.js'
import { closeCode, retryAfterReason } from '../protocol.js'
import type { Incoming } from '../wire/encoding.js'
import type { Embedding } from './application.js'
import { endWith, type SocketTable } from './lifecycle.js'
import { rightsOf, type Socket } from './session.js'

/**
 * Counts the sockets of one thread whose user is not known yet: apart from all others, so they crowd out nobody, save that
 * they are sockets from their address like any.
 */
export interface Lobby {
  /** False when it is full, or there are too many from this address. */
  enter(address: string): boolean
  /** Lets one in that has said who it is: among all others, if their caps allow it. If not, it stays. */
  admit(user: string): boolean
  /** For one that ends before it was let in. */
  leave(address: string): void
}

export function createLobby(capacity: number, caps: ConnectionCaps): Lobby {
  let waiting = 0
  return {
    enter(address) {
      if (waiting >= capacity || !caps.enterUnknown(address)) return false
      waiting++
      return true
    },
    admit(user) {
      if (!caps.identify(user)) return false
      waiting--
      return true
    },
    leave(address) {
      waiting--
      caps.leaveUnknown(address)
    },
  }
}

export interface FirstMessageParts {
  readonly check: TokenCheck
  readonly lobby: Lobby
  readonly table: SocketTable
  readonly embedding: Embedding | undefined
  readonly enter: (ws: Socket) => void
}

/**
 * The first message on a socket without a ticket: `{type: "auth", payload: TOKEN}`. The token is checked as at
 * `/ws_ticket`. Anything else closes the socket.
 */
export function createFirstMessage({ check, lobby, table, embedding, enter }: FirstMessageParts) {
  const refuse = (ws: Socket, code: number, reason: string): void => endWith(ws, 'auth_refused', code, reason)

  return (ws: Socket, message: Incoming | undefined, nowMs: number): void => {
    if (message?.type !== 'auth' || typeof message.payload !== 'string')
      return refuse(ws, closeCode.sessionExpired, 'auth_required')
    const session = ws.getUserData().session
    const token = check.identify(message.payload, nowMs)
    const denial = 'code' in token ? token : check.permit(token, session.channel, nowMs)
    if (denial?.code === 'rate_limited')
      return refuse(ws, closeCode.rateLimited, retryAfterReason(denial.waitMs))
    // Nothing is wrong with the token: come back for it.
    if (denial?.code === 'keys_unavailable')
      return refuse(ws, closeCode.draining, retryAfterReason(1000 * (1 + Math.random())))
    if (denial?.code === 'channel_forbidden') return refuse(ws, closeCode.revoked, denial.code)
    if ('code' in token) return refuse(ws, closeCode.sessionExpired, token.code)

    const { user, session: login, expiresAtSeconds } = token
    const { channel, origin } = session
    const data = embedding?.authorize({ user, session: login, channel, origin, expires: expiresAtSeconds })
    if (data === false) return refuse(ws, closeCode.revoked, 'channel_forbidden')
    if (!lobby.admit(user))
      return refuse(ws, closeCode.rateLimited, retryAfterReason(5000 * (1 + Math.random())))
    // From here on it is counted as one of this user, and when it closes as well.
    session.user = user
    session.id = login ?? newSessionId()
    session.rights = rightsOf(token)
    session.issuedAtSeconds = token.issuedAtSeconds
    if (data !== undefined) session.data = data
    table.renew(ws, expiresAtSeconds)
    enter(ws)
  }
}

/** Names a socket whose token names no login session. */
export const newSessionId = (): string => randomBytes(12).toString('base64url')
