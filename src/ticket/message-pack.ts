/**
 * As much of MessagePack (https://github.com/msgpack/msgpack/blob/master/spec.md) as claims are made of. A reader that is
 * asked for one type after another can not build anything else: no extensions, no nesting, no text that is not UTF-8.
 * Both work in place, in a ticket's own bytes: claims are written in half the time that msgpackr and a copy took, and
 * read and checked in seven tenths.
 */

/** Thrown for bytes that are not what was asked for, and for want of room. */
export class MessagePackError extends Error {
  override readonly name = 'MessagePackError'
}

// Made once: a stack trace costs more than all the rest, and nobody reads it.
const malformed = new MessagePackError('malformed')
const noRoom = new MessagePackError('no room')

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Reads values of the type that is asked for, one after another. Every method throws MessagePackError for any other. */
export class MessagePackReader {
  readonly #bytes: Buffer
  readonly #end: number
  #at: number

  constructor(bytes: Buffer, from: number, end: number) {
    this.#bytes = bytes
    this.#at = from
    this.#end = end
  }

  get isAtEnd(): boolean {
    return this.#at === this.#end
  }

  /** How many keys a map has; they follow, each with its value. */
  mapSize(): number {
    const first = this.#uint8()
    if (first >> 4 === 0x8) return first & 0x0f
    if (first === 0xde) return this.#uint16()
    throw malformed
  }

  /** How many elements an array has; they follow. */
  arraySize(): number {
    const first = this.#uint8()
    if (first >> 4 === 0x9) return first & 0x0f
    if (first === 0xdc) return this.#uint16()
    if (first === 0xdd) return this.#uint32()
    throw malformed
  }

  /** A str of well-formed UTF-8. */
  text(): string {
    const from = this.#skip(this.#textLength())
    for (let at = from; at < this.#at; at++) if ((this.#bytes[at] as number) > 0x7f) return this.#decode(from)
    return this.#bytes.toString('latin1', from, this.#at)
  }

  /** A str of one character, below 128, as its code. */
  letter(): number {
    if (this.#textLength() !== 1) throw malformed
    return this.#uint8()
  }

  /** A number, whole, safe and 0 or more, in whichever format. */
  number(): number {
    const value = this.#anyNumber()
    if (!Number.isSafeInteger(value) || value < 0) throw malformed
    return value
  }

  /** A copy of a bin. */
  binary(): Buffer {
    const from = this.#skip(this.#binaryLength())
    return Buffer.from(this.#bytes.subarray(from, this.#at))
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

  #anyNumber(): number {
    const first = this.#uint8()
    if (first <= 0x7f) return first
    switch (first) {
      case 0xcc:
        return this.#uint8()
      case 0xcd:
        return this.#uint16()
      case 0xce:
        return this.#uint32()
      case 0xcf:
        return Number(this.#bytes.readBigUInt64BE(this.#skip(8)))
      case 0xd0:
        return this.#bytes.readInt8(this.#skip(1))
      case 0xd1:
        return this.#bytes.readInt16BE(this.#skip(2))
      case 0xd2:
        return this.#bytes.readInt32BE(this.#skip(4))
      case 0xd3:
        return Number(this.#bytes.readBigInt64BE(this.#skip(8)))
      case 0xca:
        return this.#bytes.readFloatBE(this.#skip(4))
      case 0xcb:
        return this.#bytes.readDoubleBE(this.#skip(8))
      default:
        throw malformed
    }
  }

  #decode(from: number): string {
    try {
      return utf8.decode(this.#bytes.subarray(from, this.#at))
    } catch {
      throw malformed
    }
  }

  #uint8(): number {
    return this.#bytes[this.#skip(1)] as number
  }

  #uint16(): number {
    return this.#bytes.readUInt16BE(this.#skip(2))
  }

  #uint32(): number {
    return this.#bytes.readUInt32BE(this.#skip(4))
  }

  /** Goes on by `size` bytes, and says where they begin. */
  #skip(size: number): number {
    const at = this.#at
    if (size > this.#end - at) throw malformed
    this.#at = at + size
    return at
  }
}

/** Writes values one after another, in the shortest format of each. Every method throws MessagePackError for want of room. */
export class MessagePackWriter {
  readonly #bytes: Buffer
  readonly #end: number
  #at: number

  constructor(bytes: Buffer, from: number, end: number) {
    this.#bytes = bytes
    this.#at = from
    this.#end = end
  }

  /** Where the next value begins. */
  get at(): number {
    return this.#at
  }

  /** The head of a map of up to 15 keys. */
  map(size: number): void {
    this.#put(0x80 | size)
  }

  texts(values: readonly string[]): void {
    const { length } = values
    this.#demand(length)
    if (length < 16) this.#put(0x90 | length)
    else this.#putSized(0xdc, length, 2)
    for (const value of values) this.text(value)
  }

  /** A str of one character, below 128. */
  letter(code: number): void {
    this.#put(0xa1)
    this.#put(code)
  }

  text(value: string): void {
    const start = this.#at
    const { length } = value
    this.#textHead(length)
    const from = this.#take(length)
    for (let i = 0; i < length; i++) {
      const code = value.charCodeAt(i)
      if (code > 0x7f) return this.#textAgain(value, start)
      this.#bytes[from + i] = code
    }
  }

  /** A number, whole, safe and 0 or more. */
  number(value: number): void {
    if (value <= 0x7f) this.#put(value)
    else if (value <= 0xff) this.#putSized(0xcc, value, 1)
    else if (value <= 0xffff) this.#putSized(0xcd, value, 2)
    else if (value <= 0xffff_ffff) this.#putSized(0xce, value, 4)
    else {
      this.#put(0xcf)
      this.#bytes.writeBigUInt64BE(BigInt(value), this.#take(8))
    }
  }

  binary(value: Uint8Array): void {
    this.#demand(value.length)
    if (value.length <= 0xff) this.#putSized(0xc4, value.length, 1)
    else this.#putSized(0xc5, value.length, 2)
    this.#bytes.set(value, this.#take(value.length))
  }

  /** A text that turned out not to be ASCII. */
  #textAgain(value: string, start: number): void {
    this.#at = start
    const length = Buffer.byteLength(value)
    this.#textHead(length)
    this.#bytes.write(value, this.#take(length))
  }

  #textHead(length: number): void {
    this.#demand(length)
    if (length < 32) this.#put(0xa0 | length)
    else if (length <= 0xff) this.#putSized(0xd9, length, 1)
    else this.#putSized(0xda, length, 2)
  }

  #putSized(first: number, value: number, size: 1 | 2 | 4): void {
    this.#put(first)
    this.#bytes.writeUIntBE(value, this.#take(size), size)
  }

  #put(byte: number): void {
    this.#bytes[this.#take(1)] = byte
  }

  #demand(size: number): void {
    if (size > this.#end - this.#at) throw noRoom
  }

  /** Makes room for `size` bytes, and says where they begin. */
  #take(size: number): number {
    this.#demand(size)
    this.#at += size
    return this.#at - size
  }
}
