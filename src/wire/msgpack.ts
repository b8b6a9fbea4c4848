import { Packr } from 'msgpackr'
import { MessagePackError } from '../message-pack/error.js'
import { MessagePackReader } from '../message-pack/reader.js'
import { type Encoding, type Incoming, type Listed, type MessageId, maxDepth, maxIdLength } from './format.js'

// Plain maps, smallest encodings; no records, no extensions. Everything unpacked here has passed
// MessagePackReader.skip. With `auto`, which the types lack, a 64-bit integer becomes a bigint only
// if a number would lose digits.
const options = {
  useRecords: false,
  variableMapSize: true,
  copyBuffers: true,
  int64AsType: 'auto' as 'bigint',
} as const
const packr = new Packr({ ...options, mapsAsObjects: true })
const exactly = new Packr({ ...options, mapsAsObjects: false })

const members = ['type', 'channel', 'id', 'ticket', 'payload', 'data'].map(name => Buffer.from(name))

/**
 * Reads the next message. Returns undefined if a member occurs twice.
 *
 * @throws MessagePackError if it is malformed
 */
function readMessage(bytes: Buffer, reader: MessagePackReader): Incoming | undefined {
  let type: string | null | undefined
  let channel: string | null | undefined
  let id: Uint8Array | undefined
  let ticket: string | null | undefined
  let payload: string | null | undefined
  let data: Uint8Array | undefined
  let seen = 0
  for (let left = reader.mapSize(); left > 0; left--) {
    const member = reader.indexIn(members)
    // 0 for unknown keys, which may occur twice.
    const bit = (1 << (member + 1)) & ~1
    if ((seen & bit) !== 0) return undefined
    seen |= bit
    const from = reader.at
    if (member === 0) type = readText(reader)
    else if (member === 1) channel = readText(reader)
    else if (member === 2) id = readId(reader) ? Buffer.from(bytes.subarray(from, reader.at)) : undefined
    else if (member === 3) ticket = readText(reader)
    else if (member === 4) payload = readText(reader)
    else {
      reader.skip(maxDepth)
      if (member === 5) data = bytes.subarray(from, reader.at)
    }
  }
  return { type, channel, id, ticket, payload, data }
}

/** Reads the next text. Returns null for a value of another type. */
function readText(reader: MessagePackReader): string | null {
  if (reader.type === 'text') return reader.text()
  reader.skip(maxDepth)
  return null
}

/** Reads the next value. Returns whether it can be an id. */
function readId(reader: MessagePackReader): boolean {
  const { type } = reader
  if (type === 'text') return reader.text().length <= maxIdLength
  if (type === 'integer' || type === 'float') return Number.isFinite(reader.number())
  reader.skip(maxDepth)
  return false
}

/** Returns the result of `read`, which must consume all of `bytes`. */
function readWhole<T>(
  bytes: Buffer,
  read: (bytes: Buffer, reader: MessagePackReader) => T | undefined,
): T | undefined {
  try {
    const reader = new MessagePackReader(bytes)
    const value = read(bytes, reader)
    return reader.isAtEnd ? value : undefined
  } catch (error) {
    if (error instanceof MessagePackError) return undefined
    throw error
  }
}

function readMessages(bytes: Buffer, reader: MessagePackReader): readonly Listed[] | undefined {
  const messages: Listed[] = []
  const isList = reader.type === 'array'
  for (let left = isList ? reader.arraySize() : 1; left > 0; left--) {
    const size = new MessagePackReader(bytes, reader.at).mapSize()
    const message = readMessage(bytes, reader)
    if (message === undefined) return undefined
    const own = [message.channel, message.data].filter(value => value !== undefined)
    messages.push({ ...message, others: size - own.length })
  }
  return messages
}

const okMessage = { type: 'ok' }
const userKey = packr.pack('user')
const dataKey = packr.pack('data')
const idKey = packr.pack('id')

/** MessagePack in binary frames, by msgpackr. */
export const msgpack = {
  name: 'msgpack',
  isBinary: true,

  read: (bytes: Buffer): Incoming | undefined => readWhole(bytes, readMessage),

  readAll: (bytes: Buffer): readonly Listed[] | undefined => readWhole(bytes, readMessages),

  write(message: object, id?: MessageId): Uint8Array {
    const packed = packr.pack(message)
    if (!(id instanceof Uint8Array)) return packed
    // A small map, which gets one more entry.
    packed[0] = (packed[0] ?? 0) + 1
    return Buffer.concat([packed, idKey, id])
  },

  confirm: (id: MessageId): Uint8Array => msgpack.write(okMessage, id),

  envelope(channel: string, data: Uint8Array, user: string | undefined): Uint8Array {
    const head = packr.pack({ type: 'message', channel })
    // A map of two entries, which becomes one of three or four.
    head[0] = user === undefined ? 0x83 : 0x84
    return user === undefined
      ? Buffer.concat([head, dataKey, data])
      : Buffer.concat([head, dataKey, data, userKey, packr.pack(user)])
  },

  pack: (value: unknown): Uint8Array => packr.pack(value),

  unpack: (data: Uint8Array): unknown => packr.unpack(data),

  /** With maps as Map, so that no key is lost. */
  unpackExactly: (data: Uint8Array): unknown => exactly.unpack(data),
} as const satisfies Omit<Encoding, 'convert'> & {
  pack(value: unknown): Uint8Array
  unpackExactly(data: Uint8Array): unknown
}
