import { BroadcastChannel } from 'node:worker_threads'
import type { EncodingName } from '../protocol.js'

/** Something said on a channel, for all who hear it. */
export interface Publication {
  readonly type: 'publish'
  readonly channel: string
  /** How `data` is encoded: as its publisher sent it. */
  readonly encoding: EncodingName
  /** The encoded data, exactly as published. */
  readonly data: Uint8Array
  /** Who published it; absent when the server did. */
  readonly user?: string
}

/** Ends what a user, or one login session, was given so far. */
export interface Revocation {
  readonly type: 'revoke'
  readonly subject: 'user' | 'session'
  readonly name: string
  /** Tokens issued in this second or before are revoked. Unix seconds. */
  readonly atSeconds: number
  /** When the last of them has expired, so that this may be forgotten. Unix seconds. */
  readonly untilSeconds: number
}

/** What the parts of one gate tell one another. Plain data: it can be cloned, and packed. */
export type RelayMessage = Publication | Revocation

/** Carries messages to the other threads of a gate. */
export interface Relay {
  send(message: RelayMessage): void
  /** Calls back for what another thread has sent. */
  onMessage(receive: (message: RelayMessage) => void): void
  close(): void
}

/** @param name tells one gate's threads from those of another in the same process */
export function createRelay(name: string): Relay {
  const channel = new BroadcastChannel(name)
  return {
    send: message => channel.postMessage(message),
    onMessage(receive) {
      channel.onmessage = event => receive((event as { readonly data: RelayMessage }).data)
    },
    close: () => channel.close(),
  }
}
