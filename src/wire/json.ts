import { isJsonObject } from '../protocol.js'
import { type Encoding, type Incoming, type Listed, type MessageId, maxDepth, maxIdLength } from './format.js'
import { readPlain } from './plain-json.js'

const quote = 0x22
const backslash = 0x5c
const comma = 0x2c
const openBrace = 0x7b
const closeBrace = 0x7d
const openBracket = 0x5b
const closeBracket = 0x5d

// A byte order mark is not skipped: it is not JSON, and would shift all offsets.
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(decoder.decode(bytes))
  } catch {
    return undefined
  }
}

// The functions below read bytes that JSON.parse has accepted, so they do not validate them.

function skipSpace(bytes: Uint8Array, from: number): number {
  let at = from
  for (; at < bytes.length; at++) {
    const byte = bytes[at]
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) break
  }
  return at
}

/** Returns where the string ends whose opening quote is at `from`. */
function endOfString(bytes: Uint8Array, from: number): number {
  for (let at = from + 1; at < bytes.length; at++) {
    const byte = bytes[at]
    if (byte === quote) return at + 1
    if (byte === backslash) at++
  }
  return bytes.length
}

/** Returns where the value at `from` ends. Undefined if it is nested too deep. */
function endOfValue(bytes: Uint8Array, from: number): number | undefined {
  let depth = 0
  for (let at = from; at < bytes.length; ) {
    const byte = bytes[at]
    if (byte === quote) {
      at = endOfString(bytes, at)
      if (depth === 0) return at
    } else if (byte === openBrace || byte === openBracket) {
      if (++depth > maxDepth) return undefined
      at++
    } else if (byte === closeBrace || byte === closeBracket) {
      // Depth 0: a number or a word ends with its container.
      if (depth === 0) return at
      at++
      if (--depth === 0) return at
    } else {
      if (depth === 0 && (byte === comma || (byte !== undefined && byte <= 0x20))) return at
      at++
    }
  }
  return bytes.length
}

/** Returns the key between two quotes, unescaped. */
function keyIn(bytes: Buffer, from: number, to: number): string {
  const text = bytes.toString('utf8', from, to)
  return text.includes('\\') ? String(JSON.parse(text)) : text.slice(1, -1)
}

interface Located {
  readonly data: Uint8Array | undefined
  /** The last one if there are several, as in JSON.parse. */
  readonly id: Buffer | undefined
  /** The number of members, duplicates included. */
  readonly members: number
  readonly end: number
}

/**
 * Returns the bytes of `data` and `id` in the object at `from`. Undefined if `data` occurs twice,
 * because readers differ on which one counts.
 */
function locate(bytes: Buffer, from: number): Located | undefined {
  let data: Uint8Array | undefined
  let id: Buffer | undefined
  let members = 0
  let at = skipSpace(bytes, from + 1)
  while (bytes[at] === quote) {
    members++
    const keyEnd = endOfString(bytes, at)
    const key = keyIn(bytes, at, keyEnd)
    const start = skipSpace(bytes, skipSpace(bytes, keyEnd) + 1)
    const end = endOfValue(bytes, start)
    if (end === undefined || (key === 'data' && data !== undefined)) return undefined
    if (key === 'data') data = bytes.subarray(start, end)
    else if (key === 'id') id = bytes.subarray(start, end)
    at = skipSpace(bytes, end)
    if (bytes[at] === comma) at = skipSpace(bytes, at + 1)
  }
  return { data, id, members, end: at + 1 }
}

/** An id as it was written. Undefined if it is not a valid id. */
function idOf(value: unknown, written: Buffer | undefined): string | undefined {
  if (typeof value === 'string') return value.length <= maxIdLength ? JSON.stringify(value) : undefined
  if (typeof value !== 'number' || !Number.isFinite(value) || written === undefined) return undefined
  return written.length <= maxIdLength ? written.toString('latin1') : undefined
}

function incoming(value: Readonly<Record<string, unknown>>, located: Located | undefined): Incoming {
  const { type, channel, ticket, payload } = value
  return { type, channel, id: idOf(value.id, located?.id), ticket, payload, data: located?.data }
}

/** A message of a list. Duplicates of a member count among the others. */
function listed(value: Readonly<Record<string, unknown>>, located: Located): Listed {
  const own = Number(Object.hasOwn(value, 'channel')) + Number(Object.hasOwn(value, 'data'))
  return { ...incoming(value, located), others: located.members - own }
}

/** JSON (RFC 8259) in text frames. */
export const json = {
  name: 'json',
  isBinary: false,

  read(bytes: Buffer): Incoming | undefined {
    const plain = readPlain(bytes)
    if (plain !== undefined) return plain
    const value = parse(bytes)
    if (!isJsonObject(value)) return undefined
    // A fast path: most messages without data are tiny. Clients that send others can do without.
    if (!Object.hasOwn(value, 'data') && typeof value.id !== 'number') return incoming(value, undefined)
    const located = locate(bytes, skipSpace(bytes, 0))
    return located === undefined ? undefined : incoming(value, located)
  },

  readAll(bytes: Buffer): readonly Listed[] | undefined {
    const values = parse(bytes)
    if (!Array.isArray(values)) {
      if (!isJsonObject(values)) return undefined
      const located = locate(bytes, skipSpace(bytes, 0))
      return located === undefined ? undefined : [listed(values, located)]
    }
    const messages: Listed[] = []
    let at = skipSpace(bytes, skipSpace(bytes, 0) + 1)
    for (const value of values) {
      if (!isJsonObject(value)) return undefined
      const located = locate(bytes, at)
      if (located === undefined) return undefined
      messages.push(listed(value, located))
      at = skipSpace(bytes, skipSpace(bytes, located.end) + 1)
    }
    return messages
  },

  write(message: object, id?: MessageId): string {
    const text = JSON.stringify(message)
    return id === undefined ? text : `${text.slice(0, -1)},"id":${id}}`
  },

  confirm: (id: MessageId): string => `{"type":"ok","id":${id}}`,

  envelope(channel: string, data: Uint8Array, user: string | undefined): Uint8Array {
    // Nothing in a channel name needs escaping.
    const head = `{"type":"message","channel":"${channel}","data":`
    const tail = user === undefined ? '}' : `,"user":${JSON.stringify(user)}}`
    // A user name may take up to three bytes per character.
    const message = Buffer.allocUnsafe(head.length + data.length + tail.length * 3)
    message.write(head, 'latin1')
    message.set(data, head.length)
    const end = head.length + data.length
    return message.subarray(0, end + message.write(tail, end))
  },

  pack(value: unknown): Uint8Array {
    const text = JSON.stringify(value) as string | undefined
    if (text === undefined) throw new TypeError('data must be something that JSON can say')
    return Buffer.from(text)
  },

  unpack: (data: Uint8Array): unknown => JSON.parse(decoder.decode(data)),

  /**
   * Data that msgpackr can pack safely. Half a surrogate pair, which JSON can write as an escape,
   * becomes U+FFFD. msgpackr would take a member `constructor` for the class of its object, and
   * call a member `toJSON`, so such an object becomes a Map.
   */
  unpackPackable(data: Uint8Array): unknown {
    const value = json.unpack(data)
    return data.includes(backslash) || asBuffer(data).includes('"constructor"') ? packable(value) : value
  },

  /**
   * Encodes decoded MessagePack data, with maps as Map and large integers as bigint: those keep all
   * their digits, bytes become base64, and numbers that JSON lacks become null.
   */
  fromMsgpack: (value: unknown): Uint8Array => Buffer.from(textOf(value)),
} as const satisfies Omit<Encoding, 'convert'> & {
  pack(value: unknown): Uint8Array
  unpackPackable(data: Uint8Array): unknown
  fromMsgpack(value: unknown): Uint8Array
}

const asBuffer = ({ buffer, byteOffset, byteLength }: Uint8Array): Buffer =>
  Buffer.from(buffer, byteOffset, byteLength)

function packable(value: unknown): unknown {
  if (typeof value === 'string') return value.toWellFormed()
  if (Array.isArray(value)) return value.map(packable)
  if (!isJsonObject(value)) return value
  return new Map(Object.entries(value).map(([key, member]) => [key.toWellFormed(), packable(member)]))
}

function textOf(value: unknown): string {
  if (value instanceof Map)
    return `{${[...value].map(([key, member]) => `${JSON.stringify(key)}:${textOf(member)}`).join(',')}}`
  if (Array.isArray(value)) return `[${value.map(textOf).join(',')}]`
  if (value instanceof Uint8Array) return `"${Buffer.from(value).toString('base64')}"`
  return typeof value === 'bigint' ? String(value) : JSON.stringify(value)
}
