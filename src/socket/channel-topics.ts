import type { EncodingName } from '../protocol.js'
import { type Encoding, encodings } from '../wire/encoding.js'

/** What channels need of a uWS app, or of several as one. */
export interface Topics {
  /** Whether it is several: then a socket publishes to one of them only. */
  readonly isSplit?: boolean
  numSubscribers(topic: string): number
  publish(topic: string, message: Uint8Array, isBinary: boolean, compress: boolean): boolean
}

/** What channels need of a uWS socket. */
export interface Subscriber {
  subscribe(topic: string): boolean
  unsubscribe(topic: string): boolean
  isSubscribed(topic: string): boolean
  getTopics(): string[]
  publish(topic: string, message: Uint8Array, isBinary: boolean, compress: boolean): boolean
}

/** Some subscribers of a channel, all with the same encoding. */
export interface Shard {
  readonly encoding: Encoding
  readonly topic: string
  readonly subscribers: number
}

/**
 * The maximum number of subscribers of a uWS topic. uWS publishes to a topic in one call: for this
 * many, the largest default message takes some milliseconds, or many times that with compression.
 */
export const shardCapacity = { plain: 256, compressed: 64 } as const

interface Sharding {
  /** The number of topics, including empty ones. */
  count: number
  /** The one that new subscribers join. */
  joining: number
}

const all = Object.values(encodings)
const letterOf = { json: 'j', msgpack: 'm' } as const satisfies Record<EncodingName, string>

// Topics must not be empty, but channel names may be. Channel names contain no slash.
const firstTopic = (encoding: EncodingName, channel: string): string => letterOf[encoding] + channel

const topicAt = (first: string, index: number): string =>
  index === 0 ? first : `${first.slice(0, 1)}${index}/${first.slice(1)}`

/** The channel of a topic. */
export const channelOfTopic = (topic: string): string => topic.slice(Math.max(1, topic.indexOf('/') + 1))

/**
 * The subscribers of channels, as uWS topics: one for each encoding, and more if a channel has more
 * subscribers than one topic should have.
 */
export class ChannelTopics {
  readonly #topics: Topics
  readonly #capacity: number
  /** Channels with more than one topic for an encoding, by the first of these topics. */
  readonly #shardings = new Map<string, Sharding>()
  #pruneAt = 64
  /** The encodings that have had subscribers. */
  #spoken: readonly Encoding[] = []
  /**
   * The first topic that was joined last, and the least number of subscribers that it still has
   * room for.
   */
  #lately = ''
  #room = 0

  /** @param capacity the maximum number of subscribers of a topic */
  constructor(topics: Topics, capacity: number = shardCapacity.plain) {
    this.#topics = topics
    this.#capacity = capacity
  }

  /** Subscribes a socket without subscriptions. */
  join(ws: Subscriber, encoding: EncodingName, channel: string): void {
    if (this.#spoken.length < all.length) this.#speak(encoding)
    ws.subscribe(this.#topicWithRoom(firstTopic(encoding, channel)))
  }

  /** Subscribes a socket, only once. Returns whether that is new. */
  subscribe(ws: Subscriber, encoding: EncodingName, channel: string): boolean {
    if (this.isSubscribed(ws, encoding, channel)) return false
    this.join(ws, encoding, channel)
    return true
  }

  /** Unsubscribes a socket. Returns whether it was subscribed. */
  unsubscribe(ws: Subscriber, encoding: EncodingName, channel: string): boolean {
    const topic = this.#topicOf(ws, firstTopic(encoding, channel))
    return topic !== undefined && ws.unsubscribe(topic)
  }

  isSubscribed(ws: Subscriber, encoding: EncodingName, channel: string): boolean {
    return this.#topicOf(ws, firstTopic(encoding, channel)) !== undefined
  }

  /** How many channels a socket is subscribed to. */
  countOf(ws: Subscriber): number {
    return ws.getTopics().length
  }

  /**
   * Unsubscribes a socket from all channels except those it may subscribe to; returns the channels.
   */
  restrict(ws: Subscriber, mayHear: (channel: string) => boolean): string[] {
    const lost: string[] = []
    for (const topic of ws.getTopics()) {
      const channel = channelOfTopic(topic)
      if (mayHear(channel)) continue
      ws.unsubscribe(topic)
      lost.push(channel)
    }
    return lost
  }

  /** The subscribers of a channel, without empty shards: one encoding after another. */
  shardsOf(channel: string): Shard[] {
    const shards: Shard[] = []
    for (const encoding of this.#spoken) {
      const first = firstTopic(encoding.name, channel)
      const count = this.#shardings.get(first)?.count ?? 1
      for (let index = 0; index < count; index++) {
        const topic = topicAt(first, index)
        const subscribers = this.#topics.numSubscribers(topic)
        if (subscribers > 0) shards.push({ encoding, topic, subscribers })
      }
    }
    return shards
  }

  /** Publishes to a shard, except to `publisher` if it is in it. */
  publish(
    { topic, encoding }: Shard,
    message: Uint8Array,
    compress: boolean,
    publisher: Subscriber | undefined,
  ): void {
    const { isBinary } = encoding
    // Only subscribers can be excluded; uWS publishes nothing for other sockets.
    if (publisher === undefined || !publisher.isSubscribed(topic))
      this.#topics.publish(topic, message, isBinary, compress)
    else if (this.#topics.isSplit) this.#publishWithout(publisher, topic, message, isBinary, compress)
    else publisher.publish(topic, message, isBinary, compress)
  }

  /**
   * Messages of the topic that are still queued for the socket reach it nevertheless: uWS queues
   * them separately.
   */
  #publishWithout(
    publisher: Subscriber,
    topic: string,
    message: Uint8Array,
    isBinary: boolean,
    compress: boolean,
  ): void {
    publisher.unsubscribe(topic)
    this.#topics.publish(topic, message, isBinary, compress)
    publisher.subscribe(topic)
  }

  #speak(encoding: EncodingName): void {
    this.#spoken = all.filter(each => each.name === encoding || this.#spoken.includes(each))
  }

  #topicOf(ws: Subscriber, first: string): string | undefined {
    const count = this.#shardings.get(first)?.count ?? 1
    for (let index = 0; index < count; index++) {
      const topic = topicAt(first, index)
      if (ws.isSubscribed(topic)) return topic
    }
    return undefined
  }

  #topicWithRoom(first: string): string {
    const sharding = this.#shardings.size === 0 ? undefined : this.#shardings.get(first)
    if (sharding === undefined) {
      if (this.#hasRoom(first)) return first
      this.#prune()
      this.#shardings.set(first, { count: 2, joining: 1 })
      return topicAt(first, 1)
    }
    if (this.#sizeAt(first, sharding.joining) >= this.#capacity) this.#moveOn(first, sharding)
    return topicAt(first, sharding.joining)
  }

  /**
   * Asks uWS for the size of a topic only when it may be full, because many sockets join the same
   * one.
   */
  #hasRoom(first: string): boolean {
    if (first !== this.#lately || this.#room <= 0) {
      this.#lately = first
      this.#room = this.#capacity - this.#sizeAt(first, 0)
    }
    return this.#room-- > 0
  }

  /**
   * New subscribers join the smallest shard, or a new one if no shard is half empty, so that the
   * next search is a long time away.
   */
  #moveOn(first: string, sharding: Sharding): void {
    let least = this.#capacity / 2
    let smallest: number | undefined
    for (let index = 0; index < sharding.count; index++) {
      const size = this.#sizeAt(first, index)
      if (size >= least) continue
      least = size
      smallest = index
    }
    sharding.joining = smallest ?? sharding.count++
  }

  #sizeAt(first: string, index: number): number {
    return this.#topics.numSubscribers(topicAt(first, index))
  }

  /**
   * Forgets the shards of channels without subscribers, when there are twice as many as the last
   * time.
   */
  #prune(): void {
    if (this.#shardings.size < this.#pruneAt) return
    for (const [first, { count }] of this.#shardings) {
      let subscribers = 0
      for (let index = 1; index < count; index++) subscribers += this.#sizeAt(first, index)
      if (subscribers === 0) this.#shardings.delete(first)
    }
    this.#pruneAt = Math.max(64, 2 * this.#shardings.size)
  }
}
