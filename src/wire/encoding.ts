import type { EncodingName } from '../protocol.js'
import { json } from './json.js'
import { msgpack } from './msgpack.js'
import type { Publication } from './relay.js'

/** What a message to the server says; nothing of it is checked but that `data` is well formed. */
export interface Incoming {
  readonly type?: unknown
  readonly channel?: unknown
  readonly id?: unknown
  readonly ticket?: unknown
  readonly payload?: unknown
  /** Still encoded: a view of the bytes that it came in. */
  readonly data?: Uint8Array | undefined
}

/** One way to write messages down. The server takes a publication's data from one envelope to the next as it is. */
export interface Encoding {
  readonly name: EncodingName
  /** Whether its messages go in binary frames. */
  readonly isBinary: boolean
  /** The message in `bytes`, or undefined when they are no message. The bytes may come from anybody. */
  read(bytes: Buffer): Incoming | undefined
  /** A message, or a list of them. */
  readAll(bytes: Buffer): readonly Incoming[] | undefined
  write(message: object): string | Uint8Array
  /** A `message` around data that is encoded already. */
  envelope(channel: string, data: Uint8Array, user: string | undefined): Uint8Array
  unpack(data: Uint8Array): unknown
  /** Data of the other encoding in this one. */
  convert(data: Uint8Array): Uint8Array
}

export const encodings: Readonly<Record<EncodingName, Encoding>> = {
  json: { ...json, convert: data => json.fromMsgpack(msgpack.unpackExactly(data)) },
  msgpack: { ...msgpack, convert: data => msgpack.pack(json.unpackPackable(data)) },
}

const all = Object.values(encodings)

/** The uWS topic of a channel's subscribers in one encoding: it may not be empty, a channel name may. */
export const topicOf = (encoding: EncodingName, channel: string): string =>
  encoding === 'json' ? `j${channel}` : `m${channel}`

/** What channels ask of uWS. */
export interface Topics {
  numSubscribers(topic: string): number
  publish(topic: string, message: Uint8Array, isBinary: boolean, compress: boolean): boolean
}

/** A socket that must not hear what it publishes. */
export interface Publisher extends Pick<Topics, 'publish'> {
  isSubscribed(topic: string): boolean
}

/**
 * Sends a publication to all who hear its channel here, save its publisher; answers how many that are. It is put into
 * an envelope once per encoding that anybody listens in, however many they are.
 */
export function fanOut(
  topics: Topics,
  { channel, encoding, data, user }: Publication,
  compress: boolean,
  publisher?: Publisher,
): number {
  let listeners = 0
  for (const to of all) {
    const topic = topicOf(to.name, channel)
    const count = topics.numSubscribers(topic)
    if (count === 0) continue
    const message = to.envelope(channel, to.name === encoding ? data : to.convert(data), user)
    // Only a subscriber can be left out; uWS publishes nothing for one that is none.
    const from = publisher?.isSubscribed(topic) ? publisher : topics
    from.publish(topic, message, to.isBinary, compress)
    listeners += count
  }
  return listeners
}
