// message-pack/: reads and writes single MessagePack values in place. It knows neither tickets nor messages.

// The console bundles this file, with src/console/page/buffer.ts in place of `node:buffer`.
import { Buffer, isUtf8 } from 'node:buffer'
import { MessagePackError } from './error.js'

/** The types of https://github.com/msgpack/msgpack/blob/master/spec.md, without extensions. */
export type MessagePackType = 'nil' | 'boolean' | 'integer' | 'float' | 'text' | 'binary' | 'array' | 'map'

// Made once: capturing a stack trace would cost more than the rest.
const malformed = new MessagePackError('malformed')

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * Reads MessagePack from untrusted bytes, one value after another, and builds only what the caller
 * asks for. Every method throws MessagePackError if the next value has another type or is cut off.
 */
export class MessagePackReader {
  readonly #bytes: Buffer
  readonly #end: number
  #at: number

  constructor(bytes: Buffer, from = 0, end = bytes.length) {
    this.#bytes = bytes
    this.#at = from
    this.#end = end
  }

  /** Where the next value begins. */
  get at(): number {
    return this.#at
  }

  get isAtEnd(): boolean {
    return this.#at === this.#end
  }

  /** The type of the next value. Undefined at the end, for extensions, and for the unused 0xc1. */
  get type(): MessagePackType | undefined {
    return this.isAtEnd ? undefined : types[this.#bytes[this.#at] as number]
  }

  /** The number of keys in a map. Its keys and values follow. */
  mapSize(): number {
    const first = this.#uint8()
    if (first >> 4 === 0x8) return first & 0x0f
    if (first === 0xde) return this.#uint16()
    if (first === 0xdf) return this.#uint32()
    throw malformed
  }

  /** The number of elements in an array. They follow. */
  arraySize(): number {
    const first = this.#uint8()
    if (first >> 4 === 0x9) return first & 0x0f
    if (first === 0xdc) return this.#uint16()
    if (first === 0xdd) return this.#uint32()
    throw malformed
  }

  /** A str of well-formed UTF-8. */
  text(): string {
    const bytes = this.#bytes
    const from = this.#take(this.#textLength())
    const end = this.#at
    for (let at = from; at < end; at++) if ((bytes[at] as number) > 0x7f) return this.#decode(from)
    return bytes.toString('latin1', from, end)
  }

  /** A str of one ASCII character, as its code. */
  letter(): number {
    if (this.#textLength() !== 1) throw malformed
    return this.#uint8()
  }

  /** The index of the next str in `texts`, which are UTF-8. Returns -1 if it is not there. */
  indexIn(texts: readonly Uint8Array[]): number {
    const from = this.#take(this.#textLength())
    for (let index = 0; index < texts.length; index++)
      if (this.#isAt(from, texts[index] as Uint8Array)) return index
    this.#checkText(from)
    return -1
  }

  /** An integer or a float. Loses digits beyond the safe integers. */
  number(): number {
    const first = this.#uint8()
    if (first <= 0x7f) return first
    if (first >= 0xe0) return first - 0x100
    switch (first) {
      case 0xcc:
        return this.#uint8()
      case 0xcd:
        return this.#uint16()
      case 0xce:
        return this.#uint32()
      case 0xcf:
        return Number(this.#bytes.readBigUInt64BE(this.#take(8)))
      case 0xd0:
        return this.#bytes.readInt8(this.#take(1))
      case 0xd1:
        return this.#bytes.readInt16BE(this.#take(2))
      case 0xd2:
        return this.#bytes.readInt32BE(this.#take(4))
      case 0xd3:
        return Number(this.#bytes.readBigInt64BE(this.#take(8)))
      case 0xca:
        return this.#bytes.readFloatBE(this.#take(4))
      case 0xcb:
        return this.#bytes.readDoubleBE(this.#take(8))
      default:
        throw malformed
    }
  }

  boolean(): boolean {
    const first = this.#uint8()
    if (first !== 0xc2 && first !== 0xc3) throw malformed
    return first === 0xc3
  }

  /** A safe integer, 0 or more, in any number format. */
  count(): number {
    const value = this.number()
    if (!Number.isSafeInteger(value) || value < 0) throw malformed
    return value
  }

  /** A copy of a bin. */
  binary(): Buffer {
    const from = this.#take(this.#binaryLength())
    return Buffer.from(this.#bytes.subarray(from, this.#at))
  }

  /**
   * Skips one value. It must have no extensions, only UTF-8 text, only text as keys of maps, and be
   * nested at most `maxDepth` deep.
   */
  skip(maxDepth: number): void {
    const first = this.#uint8()
    if (first <= 0x7f || first >= 0xe0) return
    if (first <= 0x8f) return this.#skipPairs(first & 0x0f, maxDepth)
    if (first <= 0x9f) return this.#skipElements(first & 0x0f, maxDepth)
    if (first <= 0xbf) return this.#checkText(this.#take(first & 0x1f))
    const width = widths[first] as number
    if (width >= 0) return void this.#take(width)
    this.#at--
    switch (types[first]) {
      case 'text':
        return this.#skipText()
      case 'binary':
        return void this.#take(this.#binaryLength())
      case 'array':
        return this.#skipElements(this.arraySize(), maxDepth)
      case 'map':
        return this.#skipPairs(this.mapSize(), maxDepth)
      default:
        throw malformed
    }
  }

  #skipElements(size: number, maxDepth: number): void {
    if (maxDepth === 0) throw malformed
    for (let left = size; left > 0; left--) this.skip(maxDepth - 1)
  }

  #skipPairs(size: number, maxDepth: number): void {
    if (maxDepth === 0) throw malformed
    for (let left = size; left > 0; left--) {
      this.#skipText()
      this.skip(maxDepth - 1)
    }
  }

  #skipText(): void {
    this.#checkText(this.#take(this.#textLength()))
  }

  #checkText(from: number): void {
    const bytes = this.#bytes
    const end = this.#at
    for (let at = from; at < end; at++)
      if ((bytes[at] as number) > 0x7f) {
        if (!isUtf8(bytes.subarray(at, end))) throw malformed
        return
      }
  }

  /** Whether the bytes at `from` start with `wanted`. */
  #isAt(from: number, wanted: Uint8Array): boolean {
    if (wanted.length !== this.#at - from) return false
    for (let n = 0; n < wanted.length; n++) if (this.#bytes[from + n] !== wanted[n]) return false
    return true
  }

  #textLength(): number {
    const first = this.#uint8()
    if (first >> 5 === 0b101) return first & 0x1f
    if (first === 0xd9) return this.#uint8()
    if (first === 0xda) return this.#uint16()
    if (first === 0xdb) return this.#uint32()
    throw malformed
  }

  #binaryLength(): number {
    const first = this.#uint8()
    if (first === 0xc4) return this.#uint8()
    if (first === 0xc5) return this.#uint16()
    if (first === 0xc6) return this.#uint32()
    throw malformed
  }

  #decode(from: number): string {
    try {
      return utf8.decode(this.#bytes.subarray(from, this.#at))
    } catch {
      throw malformed
    }
  }

  #uint8(): number {
    return this.#bytes[this.#take(1)] as number
  }

  #uint16(): number {
    return this.#bytes.readUInt16BE(this.#take(2))
  }

  #uint32(): number {
    return this.#bytes.readUInt32BE(this.#take(4))
  }

  /** Moves past `size` bytes. Returns where they begin. */
  #take(size: number): number {
    const at = this.#at
    if (size > this.#end - at) throw malformed
    this.#at = at + size
    return at
  }
}

/** The type that a first byte announces. */
const types: readonly (MessagePackType | undefined)[] = Array.from({ length: 256 }, (_, first) =>
  typeOf(first),
)

function typeOf(first: number): MessagePackType | undefined {
  if (first <= 0x7f || first >= 0xe0) return 'integer'
  if (first <= 0x8f || first === 0xde || first === 0xdf) return 'map'
  if (first <= 0x9f || first === 0xdc || first === 0xdd) return 'array'
  if (first <= 0xbf || (first >= 0xd9 && first <= 0xdb)) return 'text'
  if (first === 0xc0) return 'nil'
  if (first === 0xc2 || first === 0xc3) return 'boolean'
  if (first >= 0xc4 && first <= 0xc6) return 'binary'
  if (first === 0xca || first === 0xcb) return 'float'
  return first >= 0xcc && first <= 0xd3 ? 'integer' : undefined
}

/** How many bytes follow the first byte of a value of fixed size; -1 for other values. */
const widths = Int8Array.from({ length: 256 }, (_, first) => {
  if (first === 0xc0 || first === 0xc2 || first === 0xc3) return 0
  if (first === 0xca || first === 0xcb) return 4 << (first & 1)
  return first >= 0xcc && first <= 0xd3 ? 1 << (first & 3) : -1
})
