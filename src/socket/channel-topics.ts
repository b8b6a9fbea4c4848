import type { EncodingName } from '../protocol.js'
import { type Encoding, encodings } from '../wire/encoding.js'

/** What channels ask of a uWS app, or of several as one. */
export interface Topics {
  /** Whether it is several now: then a socket publishes to one of them only. */
  readonly isSplit?: boolean
  numSubscribers(topic: string): number
  publish(topic: string, message: Uint8Array, isBinary: boolean, compress: boolean): boolean
}

/** What channels ask of a uWS socket. */
export interface Subscriber {
  subscribe(topic: string): boolean
  unsubscribe(topic: string): boolean
  isSubscribed(topic: string): boolean
  getTopics(): string[]
  publish(topic: string, message: Uint8Array, isBinary: boolean, compress: boolean): boolean
}

/** Some subscribers of a channel, who all hear it in one encoding. */
export interface Shard {
  readonly encoding: Encoding
  readonly topic: string
  readonly subscribers: number
}

/**
 * How many subscribers a uWS topic has at most. uWS publishes to a topic in one go: to so many the
 * largest message of the default takes some milliseconds. Compressed anew for each it takes many
 * times that.
 */
export const shardCapacity = { plain: 256, compressed: 64 } as const

interface Sharding {
  /** How many topics there are, empty ones included. */
  count: number
  /** The one that newcomers join. */
  joining: number
}

const all = Object.values(encodings)
const letterOf = { json: 'j', msgpack: 'm' } as const satisfies Record<EncodingName, string>

// A topic may not be empty, a channel name may. No channel name has a slash in it.
const firstTopic = (encoding: EncodingName, channel: string): string => letterOf[encoding] + channel

const topicAt = (first: string, index: number): string =>
  index === 0 ? first : `${first.slice(0, 1)}${index}/${first.slice(1)}`

/** The channel of a topic. */
export const channelOfTopic = (topic: string): string => topic.slice(Math.max(1, topic.indexOf('/') + 1))

/**
 * The subscribers of channels, as uWS topics: one for each encoding, and further ones where a
 * channel has more subscribers than one topic should have.
 */
export class ChannelTopics {
  readonly #topics: Topics
  readonly #capacity: number
  /** Channels with more than one topic for an encoding, by the first of them. */
  readonly #shardings = new Map<string, Sharding>()
  #pruneAt = 64
  /** The encodings in which anybody has heard anything yet. */
  #spoken: readonly Encoding[] = []
  /** The first topic that was joined last, and for how many more it has room at least. */
  #lately = ''
  #room = 0

  /** @param capacity how many subscribers a topic has at most */
  constructor(topics: Topics, capacity: number = shardCapacity.plain) {
    this.#topics = topics
    this.#capacity = capacity
  }

  /** Subscribes a socket that hears nothing yet. */
  join(ws: Subscriber, encoding: EncodingName, channel: string): void {
    if (this.#spoken.length < all.length) this.#speak(encoding)
    ws.subscribe(this.#topicWithRoom(firstTopic(encoding, channel)))
  }

  /** Subscribes a socket, once however often it asks. Returns whether that is new. */
  subscribe(ws: Subscriber, encoding: EncodingName, channel: string): boolean {
    if (this.isSubscribed(ws, encoding, channel)) return false
    this.join(ws, encoding, channel)
    return true
  }

  /** Returns whether the socket heard the channel. */
  unsubscribe(ws: Subscriber, encoding: EncodingName, channel: string): boolean {
    const topic = this.#topicOf(ws, firstTopic(encoding, channel))
    return topic !== undefined && ws.unsubscribe(topic)
  }

  isSubscribed(ws: Subscriber, encoding: EncodingName, channel: string): boolean {
    return this.#topicOf(ws, firstTopic(encoding, channel)) !== undefined
  }

  /** How many channels a socket hears. */
  countOf(ws: Subscriber): number {
    return ws.getTopics().length
  }

  /** Unsubscribes a socket from all channels but those that it may hear; returns the channels. */
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

  /** Those who hear a channel, without shards that are empty: one encoding after the other. */
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

  /** Publishes to a shard, save to `publisher` if that is in it. */
  publish(
    { topic, encoding }: Shard,
    message: Uint8Array,
    compress: boolean,
    publisher: Subscriber | undefined,
  ): void {
    const { isBinary } = encoding
    // Only a subscriber can be left out; uWS publishes nothing for one that is none.
    if (publisher === undefined || !publisher.isSubscribed(topic))
      this.#topics.publish(topic, message, isBinary, compress)
    else if (this.#topics.isSplit) this.#publishWithout(publisher, topic, message, isBinary, compress)
    else publisher.publish(topic, message, isBinary, compress)
  }

  /** What the socket has yet to be sent of the topic still reaches it: uWS keeps that apart. */
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

  /** Asks uWS for the size of a topic only when it may be full: many sockets join the same. */
  #hasRoom(first: string): boolean {
    if (first !== this.#lately || this.#room <= 0) {
      this.#lately = first
      this.#room = this.#capacity - this.#sizeAt(first, 0)
    }
    return this.#room-- > 0
  }

  /**
   * Newcomers join the smallest shard, or a new one if no shard is half empty: so the next search
   * is far away.
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
   * Forgets the shardings of channels that nobody hears any more, when there are twice as many as
   * the last time.
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
