import type { EncodingName } from '../protocol.js'
import type { CarriedClaims } from '../ticket/carried-claims.js'
import type { Rights } from '../ticket/rights.js'
import type { Revocation } from '../token/revocation.js'

export type { Revocation } from '../token/revocation.js'

/** A message on a channel, for all its subscribers. */
export interface Publication {
  readonly type: 'publish'
  readonly channel: string
  /** The encoding of `data`: that of its publisher. */
  readonly encoding: EncodingName
  /**
   * The encoded data, exactly as published. A view of memory that may be gone when the call that
   * passes it returns.
   */
  readonly data: Uint8Array
  /** Its publisher; absent if the server published it. */
  readonly user?: string
}

/** A fresh token for sockets that cannot renew in band: those of a session, or one. */
export interface SessionRenewed {
  readonly type: 'renew'
  readonly user: string
  /** The session of the sockets. */
  readonly session: string | undefined
  /** The id of the socket, if it is for a single one. */
  readonly socket: string | undefined
  /** The session that the token names, if any. */
  readonly login: string | undefined
  readonly issuedAtSeconds: number
  readonly expiresAtSeconds: number
  readonly rights: Rights
  readonly carried: CarriedClaims | undefined
}

/** Messages to the threads of a gate. Plain data: they can be cloned. */
export type RelayMessage = Publication | Revocation | SessionRenewed

/** Asks the node of a socket to disconnect it. */
export interface SocketDisconnection {
  readonly type: 'disconnect'
  readonly socket: string
  /** The time until which it may renew, Unix seconds. If absent, it ends at once. */
  readonly renewBySeconds?: number
  readonly reason?: string
}

/**
 * A {@link SessionRenewed} of another node, with MACs, so that write access to Redis is not enough
 * to give rights to a socket.
 */
export interface SealedRenewal {
  readonly type: 'renew'
  readonly text: string
  /** One for each key that the nodes may share. */
  readonly macs: readonly Uint8Array[]
}

/** Messages between nodes. */
export type NodeMessage = Publication | Revocation | SocketDisconnection | SealedRenewal

/** Carries publications to the other threads of a gate, or to other gates. */
export interface Relay {
  /** MUST copy what it keeps: see {@link Publication.data}. */
  send(message: Publication): void
}
