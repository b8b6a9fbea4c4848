// wire/: the encodings of messages, and the messages between gates. It knows no sockets.

import type { EncodingName } from '../protocol.js'
import type { Encoding } from './format.js'
import { json } from './json.js'
import { msgpack } from './msgpack.js'

export type { Encoding, Incoming, MessageId } from './format.js'

export const encodings: Readonly<Record<EncodingName, Encoding>> = {
  json: { ...json, convert: data => json.fromMsgpack(msgpack.unpackExactly(data)) },
  msgpack: { ...msgpack, convert: data => msgpack.pack(json.unpackPackable(data)) },
}
