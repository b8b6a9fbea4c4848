// wire/: the encodings of messages, and what gates tell one another. It knows no sockets.

import type { EncodingName } from '../protocol.js'
import { json } from './json.js'
import { msgpack } from './msgpack.js'

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
