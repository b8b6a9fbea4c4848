// console/: the page at `/`. It is a client like any other, and knows only the client and the wire.

/** What `GET /console/figures` answers: counts since the start, and states. No names, no addresses, no secrets. */
export interface Figures {
  /** What these figures are of: the whole server, or the one of its threads that answered. */
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

export const consolePaths = { page: '/', figures: '/console/figures' } as const
