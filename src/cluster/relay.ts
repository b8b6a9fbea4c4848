import { BroadcastChannel } from 'node:worker_threads'

/** Carries published messages between the threads of one process. */
export interface Relay {
  send(topic: string, message: string): void
  /** Calls back for what another thread has sent. */
  onMessage(receive: (topic: string, message: string) => void): void
  close(): void
}

/** @param name tells one gate's threads from those of another in the same process */
export function createRelay(name: string): Relay {
  const channel = new BroadcastChannel(name)
  return {
    send: (topic, message) => channel.postMessage([topic, message]),
    onMessage(receive) {
      channel.onmessage = event => {
        const [topic, message] = (event as { readonly data: readonly [string, string] }).data
        receive(topic, message)
      }
    },
    close: () => channel.close(),
  }
}
