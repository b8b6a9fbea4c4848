import type { EncodingName } from '../protocol.js'

/** How deep data may be nested, in either encoding: readers at the other end often recurse. */
export const maxDepth = 128

/**
 * An id is the client's own: it comes back with every reply, so it has to be small. In characters.
 */
export const maxIdLength = 64

/** An id as it was written, in the encoding of its message: text in JSON, bytes in MessagePack. */
export type MessageId = string | Uint8Array

/** What a message to the server says; only `id` and the form of `data` are checked. */
export interface Incoming {
  readonly type?: unknown
  readonly channel?: unknown
  /**
   * As it is written in the message, so that it comes back unchanged: a number keeps all its
   * digits, and the format of its type. A copy. Undefined where there is none, or something that is
   * no id.
   */
  readonly id?: MessageId | undefined
  readonly ticket?: unknown
  readonly payload?: unknown
  /** Still encoded: a view of the bytes that it came in. */
  readonly data?: Uint8Array | undefined
}

/** A message of a list, and how many members it has besides `channel` and `data`. */
export interface Listed extends Incoming {
  readonly others: number
}

/**
 * One way to write messages down. The server takes a publication's data from one envelope to the
 * next as it is.
 */
export interface Encoding {
  readonly name: EncodingName
  /** Whether its messages go in binary frames. */
  readonly isBinary: boolean
  /**
   * The message in `bytes`, or undefined when they are no message. The bytes may come from anybody.
   */
  read(bytes: Buffer): Incoming | undefined
  /** A message, or a list of them. */
  readAll(bytes: Buffer): readonly Listed[] | undefined
  /** A message, with the id of the request that it replies to. */
  write(message: object, id?: MessageId): string | Uint8Array
  /** The `ok` to a request. */
  confirm(id: MessageId): string | Uint8Array
  /** A `message` around data that is encoded already. */
  envelope(channel: string, data: Uint8Array, user: string | undefined): Uint8Array
  unpack(data: Uint8Array): unknown
  /** Data of the other encoding in this one. */
  convert(data: Uint8Array): Uint8Array
}
