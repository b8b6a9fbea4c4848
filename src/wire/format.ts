import type { EncodingName } from '../protocol.js'

/** How deep data may be nested, in either encoding: readers at the other end often recurse. */
export const maxDepth = 128

/** The maximum length of an id, in characters. Every reply repeats it, so it must be small. */
export const maxIdLength = 64

/** An id as written, in the encoding of its message: text in JSON, bytes in MessagePack. */
export type MessageId = string | Uint8Array

/** The contents of a message to the server. Only `id` and the form of `data` are checked. */
export interface Incoming {
  readonly type?: unknown
  readonly channel?: unknown
  /**
   * A copy, exactly as written in the message, so that the reply repeats it unchanged: a number
   * keeps all its digits and its format. Undefined if it is absent or of the wrong type.
   */
  readonly id?: MessageId | undefined
  readonly ticket?: unknown
  readonly payload?: unknown
  /** Still encoded: a view of the received bytes. */
  readonly data?: Uint8Array | undefined
}

/** A message of a list, with the number of its members besides `channel` and `data`. */
export interface Listed extends Incoming {
  readonly others: number
}

/**
 * An encoding of messages. The server copies the data of a publication from one envelope to the
 * next unchanged.
 */
export interface Encoding {
  readonly name: EncodingName
  /** Whether its messages use binary frames. */
  readonly isBinary: boolean
  /** Reads a message from untrusted bytes. Returns undefined if they are not a message. */
  read(bytes: Buffer): Incoming | undefined
  /** Reads a message, or a list of them. */
  readAll(bytes: Buffer): readonly Listed[] | undefined
  /** A message, with the id of the request that it replies to. */
  write(message: object, id?: MessageId): string | Uint8Array
  /** The `ok` that replies to a request. */
  confirm(id: MessageId): string | Uint8Array
  /** A `message` around data that is already encoded. */
  envelope(channel: string, data: Uint8Array, user: string | undefined): Uint8Array
  unpack(data: Uint8Array): unknown
  /** Converts data of the other encoding to this one. */
  convert(data: Uint8Array): Uint8Array
}
