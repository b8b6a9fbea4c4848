import { isUtf8 } from 'node:buffer'
import { Packr } from 'msgpackr'
import { type Encoding, type Incoming, maxDepth, maxIdLength } from './format.js'

// Plain maps, smallest encodings; no records, no extensions. What is decoded has passed
// `endOfValue` before. An integer of 64 bits is a bigint only if a number would lose digits:
// `auto`, which the types do not know.
const options = {
  useRecords: false,
  variableMapSize: true,
  copyBuffers: true,
  int64AsType: 'auto' as 'bigint',
} as const
const packr = new Packr({ ...options, mapsAsObjects: true })
const exactly = new Packr({ ...options, mapsAsObjects: false })

/**
 * Where the value at `from` ends, or undefined when it is cut off, nested too deep, or holds
 * anything but nil, booleans, numbers, text in UTF-8, bytes, arrays, and maps with text for keys.
 * Reads no further than `bytes` go, and every element it is told of costs its sender a byte.
 */
function endOfValue(bytes: Buffer, from: number, depth = 0): number | undefined {
  const type = bytes[from]
  if (type === undefined) return undefined
  const at = from + 1
  if (type <= 0x7f || type >= 0xe0) return at
  if (type <= 0x8f) return endOfItems(bytes, at, type & 0x0f, true, depth)
  if (type <= 0x9f) return endOfItems(bytes, at, type & 0x0f, false, depth)
  if (type <= 0xbf) return endOfText(bytes, at, type & 0x1f)
  const width = widths[type]
  if (width !== undefined) return within(bytes, at + width)
  const sized = sizes[type]
  if (sized === undefined || at + sized.bytes > bytes.length) return undefined
  const size = bytes.readUIntBE(at, sized.bytes)
  const start = at + sized.bytes
  if (sized.of === 'bytes') return within(bytes, start + size)
  if (sized.of === 'text') return endOfText(bytes, start, size)
  return endOfItems(bytes, start, size, sized.of === 'map', depth)
}

/** What follows the type byte, in bytes: nil, false, true, floats, unsigned and signed integers. */
const widths: Readonly<Record<number, number>> = {
  192: 0,
  194: 0,
  195: 0,
  202: 4,
  203: 8,
  204: 1,
  205: 2,
  206: 4,
  207: 8,
  208: 1,
  209: 2,
  210: 4,
  211: 8,
}

type Sized = { readonly bytes: 1 | 2 | 4; readonly of: 'bytes' | 'text' | 'array' | 'map' }

/** What says its own size, in how many bytes. */
const sizes: Readonly<Record<number, Sized>> = {
  196: { bytes: 1, of: 'bytes' },
  197: { bytes: 2, of: 'bytes' },
  198: { bytes: 4, of: 'bytes' },
  217: { bytes: 1, of: 'text' },
  218: { bytes: 2, of: 'text' },
  219: { bytes: 4, of: 'text' },
  220: { bytes: 2, of: 'array' },
  221: { bytes: 4, of: 'array' },
  222: { bytes: 2, of: 'map' },
  223: { bytes: 4, of: 'map' },
}

const within = (bytes: Buffer, end: number): number | undefined => (end <= bytes.length ? end : undefined)

function endOfText(bytes: Buffer, from: number, size: number): number | undefined {
  const end = from + size
  if (end > bytes.length) return undefined
  for (let at = from; at < end; at++)
    if ((bytes[at] ?? 0) > 0x7f) return isUtf8(bytes.subarray(at, end)) ? end : undefined
  return end
}

const isText = (type: number | undefined): boolean =>
  type !== undefined && ((type >= 0xa0 && type <= 0xbf) || (type >= 0xd9 && type <= 0xdb))

function endOfItems(
  bytes: Buffer,
  from: number,
  count: number,
  isMap: boolean,
  depth: number,
): number | undefined {
  if (depth === maxDepth) return undefined
  let at: number | undefined = from
  for (let item = 0; item < count; item++) {
    if (isMap) {
      if (!isText(bytes[at])) return undefined
      at = endOfValue(bytes, at)
      if (at === undefined) return undefined
    }
    at = endOfValue(bytes, at, depth + 1)
    if (at === undefined) return undefined
  }
  return at
}

/** A map or array at `at`: how many items it says it has, and where they begin. */
function itemsOf(bytes: Buffer, at: number, of: 'map' | 'array'): [count: number, start: number] | undefined {
  const type = bytes[at] ?? 0
  if (type >> 4 === (of === 'map' ? 0x8 : 0x9)) return [type & 0x0f, at + 1]
  const sized = sizes[type]
  if (sized?.of !== of || at + 1 + sized.bytes > bytes.length) return undefined
  return [bytes.readUIntBE(at + 1, sized.bytes), at + 1 + sized.bytes]
}

const members = ['type', 'channel', 'id', 'ticket', 'payload', 'data'].map(name => ({
  name,
  bytes: Buffer.from(name),
}))

/**
 * Which member the text at `at` to `end` names, if any. By its bytes: to unpack a text takes ten
 * times as long, and what is no member may be keys of one letter by the thousand.
 */
function memberAt(bytes: Buffer, at: number, end: number): string | undefined {
  const type = bytes[at] ?? 0
  const from = type <= 0xbf ? at + 1 : at + 1 + (sizes[type]?.bytes ?? 0)
  for (const member of members)
    if (member.bytes.length === end - from && isAt(bytes, from, member.bytes)) return member.name
  return undefined
}

function isAt(bytes: Buffer, from: number, wanted: Buffer): boolean {
  for (let n = 0; n < wanted.length; n++) if (bytes[from + n] !== wanted[n]) return false
  return true
}

/** A copy of an id as it was written, or undefined for what is no id. */
function idIn(value: Buffer): Uint8Array | undefined {
  const type = value[0] ?? 0
  const isInteger = type <= 0x7f || type >= 0xe0 || (type >= 0xcc && type <= 0xd3)
  const isId = isInteger || (isText(type) ? isShort(value) : isFiniteFloat(value))
  return isId ? Buffer.from(value) : undefined
}

const isShort = (text: Buffer): boolean => (packr.unpack(text) as string).length <= maxIdLength

const isFiniteFloat = (value: Buffer): boolean =>
  (value[0] === 0xca && Number.isFinite(value.readFloatBE(1))) ||
  (value[0] === 0xcb && Number.isFinite(value.readDoubleBE(1)))

/** The message at `from` and where it ends; undefined when it is none, or says one thing twice. */
function readAt(bytes: Buffer, from: number): { message: Incoming; end: number } | undefined {
  const items = itemsOf(bytes, from, 'map')
  if (items === undefined) return undefined
  const message: Record<string, unknown> = {}
  let [count, at] = items
  for (; count > 0; count--) {
    if (!isText(bytes[at])) return undefined
    const keyEnd = endOfValue(bytes, at)
    const end = keyEnd === undefined ? undefined : endOfValue(bytes, keyEnd)
    if (keyEnd === undefined || end === undefined) return undefined
    const key = memberAt(bytes, at, keyEnd)
    if (key !== undefined) {
      if (Object.hasOwn(message, key)) return undefined
      const value = bytes.subarray(keyEnd, end)
      if (key === 'data') message.data = value
      else message[key] = key === 'id' ? idIn(value) : packr.unpack(value)
    }
    at = end
  }
  return { message, end: at }
}

const userKey = packr.pack('user')
const dataKey = packr.pack('data')
const idKey = packr.pack('id')

/** MessagePack in binary frames, by msgpackr. */
export const msgpack = {
  name: 'msgpack',
  isBinary: true,

  read(bytes: Buffer): Incoming | undefined {
    const read = readAt(bytes, 0)
    return read?.end === bytes.length ? read.message : undefined
  },

  readAll(bytes: Buffer): readonly Incoming[] | undefined {
    const items = itemsOf(bytes, 0, 'array')
    if (items === undefined) {
      const one = msgpack.read(bytes)
      return one === undefined ? undefined : [one]
    }
    const messages: Incoming[] = []
    let [count, at] = items
    for (; count > 0; count--) {
      const read = readAt(bytes, at)
      if (read === undefined) return undefined
      messages.push(read.message)
      at = read.end
    }
    return at === bytes.length ? messages : undefined
  },

  write(message: object, id?: Uint8Array): Uint8Array {
    const packed = packr.pack(message)
    if (id === undefined) return packed
    // A small map, to have one entry more.
    packed[0] = (packed[0] ?? 0) + 1
    return Buffer.concat([packed, idKey, id])
  },

  envelope(channel: string, data: Uint8Array, user: string | undefined): Uint8Array {
    const head = packr.pack({ type: 'message', channel })
    // A map of two entries, to be one of three or four.
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
