import type { Counters } from '../telemetry/metrics.js'
import type { Encoding } from '../wire/encoding.js'
import type { Publication } from '../wire/relay.js'
import type { ChannelTopics, Shard, Subscriber } from './channel-topics.js'
import { isCompressed } from './compression.js'
import { PublicationQueue, type Queued } from './publication-queue.js'

/**
 * A publishing socket: it does not receive its own publications, and may be closed before they are
 * sent to all.
 */
export interface PublishingSocket extends Subscriber {
  getUserData(): { readonly session: { readonly closeReason?: string } }
}

export interface FanOutOptions {
  readonly topics: ChannelTopics
  /** Whether large messages are compressed for those that support it. */
  readonly compresses: boolean
  /** The largest message of a client, in bytes. */
  readonly maxMessageBytes: number
  readonly counters: Pick<Counters, 'publicationsQueued' | 'publicationsRefused'>
  /** Called for malformed data: it is not sent to subscribers with another encoding. */
  readonly onMalformed: (error: unknown) => void
}

/**
 * How much is sent in one turn of the event loop, in microseconds of estimated work. uWS sends to
 * all subscribers of a topic in one call, during which nothing else is served: no `/healthz`, no
 * expiry, no revocation.
 */
const turnMicros = 40_000

/**
 * From this amount on, a turn is watched. The callback for its end has a cost, and few turns have
 * that much to send.
 */
const watchedMicros = turnMicros / 8

/** The estimated cost of a delivery in a batch, including the system call. */
const micros = { perDelivery: 1, perByte: 0.0005, perCompressedByte: 0.03 } as const

/** The memory of a publication besides its data, in bytes. */
const overheadBytes = 512

/** The limit per channel: more than a socket may publish at once at the default rate. */
const leastChannelBytes = 8 * 1024 * 1024

/** A single channel's share of the total limit. */
const channelsAtOnce = 8

/** A publication on its way to its subscribers, shard by shard. */
class Delivery implements Queued {
  readonly bytes: number
  readonly #publication: Publication
  readonly #publisher: PublishingSocket | undefined
  readonly #shards: readonly Shard[]
  readonly #isCompressed: boolean
  #next = 0
  /** The message in the encoding of the previous shard: encoded once for each. */
  #message: Uint8Array | undefined
  #encoding: Encoding | undefined

  constructor(
    publication: Publication,
    publisher: PublishingSocket | undefined,
    shards: readonly Shard[],
    isCompressed: boolean,
  ) {
    this.bytes = publication.data.length + overheadBytes
    this.#publication = publication
    this.#publisher = publisher
    this.#shards = shards
    this.#isCompressed = isCompressed
  }

  get channel(): string {
    return this.#publication.channel
  }

  get isDone(): boolean {
    return this.#next === this.#shards.length
  }

  /** A copy of the rest, for later: the memory behind its data may be gone then. */
  kept(): Delivery {
    const { data } = this.#publication
    const publication = { ...this.#publication, data: Buffer.from(data) }
    return new Delivery(publication, this.#publisher, this.#shards.slice(this.#next), this.#isCompressed)
  }

  /** Sends to the next shard, and returns the estimated microseconds. */
  step(topics: ChannelTopics): number {
    const shard = this.#shards[this.#next++]
    if (shard === undefined) return 0
    const closeReason = this.#publisher?.getUserData().session.closeReason
    // Waiting publications of a user are dropped when the authority is revoked.
    if (closeReason === 'revoked') {
      this.#next = this.#shards.length
      return 0
    }
    const message = this.#messageIn(shard.encoding)
    topics.publish(
      shard,
      message,
      this.#isCompressed,
      closeReason === undefined ? this.#publisher : undefined,
    )
    const { perDelivery, perByte, perCompressedByte } = micros
    const bytes = message.length
    return shard.subscribers * (perDelivery + bytes * (this.#isCompressed ? perCompressedByte : perByte))
  }

  #messageIn(encoding: Encoding): Uint8Array {
    if (this.#message !== undefined && this.#encoding === encoding) return this.#message
    const { channel, data, user } = this.#publication
    const own = encoding.name === this.#publication.encoding ? data : encoding.convert(data)
    this.#encoding = encoding
    this.#message = encoding.envelope(channel, own, user)
    return this.#message
  }
}

/**
 * Sends publications to the subscribers of this thread: at once while a turn of the event loop has
 * room, else in later turns, in order on each channel.
 */
export class FanOut {
  readonly #options: FanOutOptions
  readonly #queue: PublicationQueue<Delivery>
  /** The work since the turn began, or since turns were last watched. */
  #spentMicros = 0
  #isWatched = false

  constructor(options: FanOutOptions) {
    const channelBytes = Math.max(leastChannelBytes, 2 * (options.maxMessageBytes + overheadBytes))
    this.#options = options
    this.#queue = new PublicationQueue({ channelBytes, totalBytes: channelsAtOnce * channelBytes })
  }

  /**
   * Sends a publication to all subscribers of its channel here, except its publisher, and returns
   * how many there are; undefined if too much is waiting, so it is dropped. It is encoded once per
   * encoding that has subscribers.
   */
  send(publication: Publication, publisher?: PublishingSocket): number | undefined {
    const { topics, compresses, counters } = this.#options
    const { channel, data } = publication
    const shards = topics.shardsOf(channel)
    if (shards.length === 0 || (publisher !== undefined && isAlone(publisher, shards))) return shards.length
    const delivery = new Delivery(publication, publisher, shards, compresses && isCompressed(data.length))
    const mustWait = this.#spentMicros >= turnMicros || this.#queue.has(channel)
    if (mustWait && !this.#queue.hasRoom(channel, delivery.bytes)) {
      counters.publicationsRefused++
      return undefined
    }
    if (!mustWait) this.#run(delivery)
    if (!delivery.isDone) {
      counters.publicationsQueued++
      this.#queue.add(delivery.kept())
    }
    return subscribersOf(shards)
  }

  /** Drops everything that is waiting. */
  close(): void {
    this.#queue.clear()
  }

  #run(delivery: Delivery): void {
    while (!delivery.isDone && this.#spentMicros < turnMicros) this.#step(delivery)
    if (this.#spentMicros >= watchedMicros) this.#watch()
  }

  #step(delivery: Delivery): void {
    const { topics, onMalformed } = this.#options
    try {
      this.#spentMicros += delivery.step(topics)
    } catch (error) {
      onMalformed(error)
    }
  }

  #watch(): void {
    if (this.#isWatched) return
    this.#isWatched = true
    setImmediate(() => this.#beginTurn())
  }

  #beginTurn(): void {
    this.#isWatched = false
    this.#spentMicros = 0
    while (!this.#queue.isEmpty && this.#spentMicros < turnMicros)
      this.#queue.turn(delivery => {
        this.#step(delivery)
        return delivery.isDone
      })
    if (!this.#queue.isEmpty) this.#watch()
  }
}

/** Whether the publisher is the only subscriber of the channel. */
const isAlone = (publisher: PublishingSocket, [shard, another]: readonly Shard[]): boolean =>
  shard?.subscribers === 1 && another === undefined && publisher.isSubscribed(shard.topic)

function subscribersOf(shards: readonly Shard[]): number {
  let subscribers = 0
  for (const shard of shards) subscribers += shard.subscribers
  return subscribers
}
