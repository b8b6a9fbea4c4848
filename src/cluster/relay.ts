import { BroadcastChannel } from 'node:worker_threads'

/** What the parts of one gate tell one another. Plain data: it can be cloned, and packed. */
export interface RelayMessage {
  readonly type: 'publish'
  readonly channel: string
  /** The whole message, as subscribers hear it. */
  readonly text: string
}

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
