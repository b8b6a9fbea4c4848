import type { Subscriber, Topics } from '../../src/socket/channel-topics.js'

/** A socket of {@link TopicModel}. */
export interface ModelSocket extends Subscriber {
  readonly heard: string[]
  /** Does what uWS does when a socket closes. */
  leave(): void
  getUserData(): { readonly session: { closeReason?: string } }
}

/** Publish and subscribe as in uWS, in memory. Messages are received as text. */
export class TopicModel implements Topics {
  readonly #subscribers = new Map<string, Set<ModelSocket>>()
  /** Every call of `publish`: topic, sockets reached, text, and whether to compress it. */
  readonly published: { topic: string; reached: number; text: string; compress: boolean }[] = []

  numSubscribers(topic: string): number {
    return this.#subscribers.get(topic)?.size ?? 0
  }

  publish(topic: string, message: Uint8Array, _isBinary: boolean, compress: boolean): boolean {
    return this.#publish(topic, message, compress, undefined)
  }

  socket(): ModelSocket {
    const topics = new Set<string>()
    const session: { closeReason?: string } = {}
    const socket: ModelSocket = {
      heard: [],
      subscribe: topic => {
        topics.add(topic)
        const all = this.#subscribers.get(topic) ?? new Set()
        this.#subscribers.set(topic, all.add(socket))
        return true
      },
      unsubscribe: topic => {
        this.#subscribers.get(topic)?.delete(socket)
        return topics.delete(topic)
      },
      isSubscribed: topic => topics.has(topic),
      getTopics: () => [...topics],
      publish: (topic, message, _isBinary, compress) =>
        topics.has(topic) && this.#publish(topic, message, compress, socket),
      leave: () => {
        for (const topic of [...topics]) socket.unsubscribe(topic)
        session.closeReason ??= 'other'
      },
      getUserData: () => ({ session }),
    }
    return socket
  }

  get sizes(): number[] {
    return [...this.#subscribers.values()].map(({ size }) => size).filter(size => size > 0)
  }

  #publish(topic: string, message: Uint8Array, compress: boolean, from: ModelSocket | undefined): boolean {
    const text = Buffer.from(message).toString('latin1')
    let reached = 0
    for (const each of this.#subscribers.get(topic) ?? [])
      if (each !== from) {
        each.heard.push(text)
        reached++
      }
    this.published.push({ topic, reached, text, compress })
    return reached > 0
  }
}
