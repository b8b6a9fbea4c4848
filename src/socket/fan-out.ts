import type { EncodingName } from '../protocol.js'
import { encodings } from '../wire/encoding.js'
import type { Publication } from '../wire/relay.js'

/** The uWS topic of a channel's subscribers in one encoding: it may not be empty, a channel name may. */
export const topicOf = (encoding: EncodingName, channel: string): string =>
  encoding === 'json' ? `j${channel}` : `m${channel}`

/** What channels ask of uWS. */
export interface Topics {
  numSubscribers(topic: string): number
  publish(topic: string, message: Uint8Array, isBinary: boolean, compress: boolean): boolean
}

/** A socket that must not hear what it publishes. */
export interface PublishingSocket extends Pick<Topics, 'publish'> {
  isSubscribed(topic: string): boolean
}

const all = Object.values(encodings)

/**
 * Sends a publication to all who hear its channel here, except its publisher, and returns how many that are. It is put into
 * an envelope once per encoding that anybody listens in, however many they are.
 */
export function fanOut(
  topics: Topics,
  { channel, encoding, data, user }: Publication,
  compress: boolean,
  publisher?: PublishingSocket,
): number {
  let subscribers = 0
  for (const to of all) {
    const topic = topicOf(to.name, channel)
    const count = topics.numSubscribers(topic)
    if (count === 0) continue
    const message = to.envelope(channel, to.name === encoding ? data : to.convert(data), user)
    // Only a subscriber can be left out; uWS publishes nothing for one that is none.
    const from = publisher?.isSubscribed(topic) ? publisher : topics
    from.publish(topic, message, to.isBinary, compress)
    subscribers += count
  }
  return subscribers
}
