import type { WebSocket } from 'uWebSockets.js'
import type { CloseReason } from '../ops/metrics.js'
import type { Rights } from '../ticket/rights.js'

/** What the server knows of an open WebSocket. Small: there may be a million. */
export interface Session {
  readonly id: string
  readonly user: string
  /** The channel in the path. */
  readonly channel: string
  readonly rights: Rights
  /** When the authority it came from ends, Unix seconds. */
  readonly expiresAtSeconds: number
  /** For the cap per address; '' while that is off. */
  readonly addressKey: string
  /** Channels it is subscribed to. */
  subscriptions: number
  /** Theoretical arrival time of its next message, for the message rate. */
  arrivalMs: number
  /** Why we closed it, if we did. */
  closeReason: CloseReason
}

/**
 * The user data of a uWS socket: one property, because uWS copies each own property of it onto the socket object when it
 * opens, which costs about 0.3 µs apiece.
 */
export interface SocketData {
  readonly session: Session
}

export type Socket = WebSocket<SocketData>
