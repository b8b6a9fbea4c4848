import { BroadcastChannel } from 'node:worker_threads'
import type { EncodingName } from '../protocol.js'
import type { Revocation } from '../token/revocation.js'

export type { Revocation } from '../token/revocation.js'

/** Something said on a channel, for all who hear it. */
export interface Publication {
  readonly type: 'publish'
  readonly channel: string
  /** How `data` is encoded: as its publisher sent it. */
  readonly encoding: EncodingName
  /**
   * The encoded data, exactly as published. A view of memory that may be gone when the call that
   * hands it over returns.
   */
  readonly data: Uint8Array
  /** Who published it; absent when the server did. */
  readonly user?: string
}

/** What the parts of one gate tell one another. Plain data: it can be cloned, and packed. */
export type RelayMessage = Publication | Revocation

/** Asks the node whose socket it is to disconnect it. */
export interface SocketDisconnection {
  readonly type: 'disconnect'
  readonly socket: string
  /** Until when it may renew; without it, it ends at once. Unix seconds. */
  readonly renewBySeconds?: number
  readonly reason?: string
}

/** What nodes tell one another. */
export type NodeMessage = RelayMessage | SocketDisconnection

/** Carries messages to the other threads of a gate, or to other gates. */
export interface Relay {
  /** MUST copy what it keeps: see {@link Publication.data}. */
  send(message: RelayMessage): void
  /** Calls back for what another thread has sent. */
  onMessage(receive: (message: RelayMessage) => void): void
  close(): void
}

/** @param name tells one gate's threads from those of another in the same process */
export function createRelay(name: string): Relay {
  const channel = new BroadcastChannel(name)
  return {
    // What is cloned is all of the memory that a view is of, such as what was read from a socket at
    // once.
    send: message =>
      channel.postMessage(
        message.type === 'publish' ? { ...message, data: new Uint8Array(message.data) } : message,
      ),
    onMessage(receive) {
      channel.onmessage = event => receive((event as { readonly data: RelayMessage }).data)
    },
    close: () => channel.close(),
  }
}
