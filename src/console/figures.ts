// console/: the page at `/`. It is a client like any other, and knows only the client and the wire.

/**
 * The reply of `GET /console/figures`: counts since the start, and states. No names, addresses or
 * secrets.
 */
export interface Figures {
  /** What these figures are of: the whole server, or the one of its threads that replied. */
  readonly scope: 'server' | 'thread'
  readonly connections: number
  readonly tokensIssued: number
  readonly ticketsIssued: number
  readonly handshakesAccepted: number
  /** By code. */
  readonly handshakesRefused: Readonly<Record<string, number>>
  /** By code. */
  readonly requestsRefused: Readonly<Record<string, number>>
  readonly messagesReceived: number
  readonly messagesPublished: number
  /** Of the whole server, in any case. */
  readonly replay: { readonly size: number; readonly highWater: number; readonly capacity: number }
}

export const consolePaths = {
  page: '/',
  figures: '/console/figures',
  publish: '/console/publish',
  disconnect: '/console/disconnect',
} as const
