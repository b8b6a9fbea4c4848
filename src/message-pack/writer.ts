import { MessagePackError } from './error.js'

// Made once: capturing a stack trace would cost more than the rest.
const noRoom = new MessagePackError('no room')

/**
 * Writes values in place, one after another, each in its shortest format. Every method throws
 * MessagePackError if there is no room.
 */
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

  /** The head of a map. Its keys and values follow. */
  map(size: number): void {
    this.#require(size)
    if (size < 16) this.#put(0x80 | size)
    else this.#putSized(0xde, size, 2)
  }

  /** The head of an array of up to 65,535 elements. */
  array(size: number): void {
    if (size < 16) this.#put(0x90 | size)
    else this.#putSized(0xdc, size, 2)
  }

  texts(values: readonly string[]): void {
    this.#require(values.length)
    this.array(values.length)
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

  /** A safe integer, 0 or more. */
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

  /** A finite number: as an integer if it is a safe one, otherwise as a double. */
  anyNumber(value: number): void {
    if (Number.isSafeInteger(value) && value >= 0) this.number(value)
    else if (Number.isInteger(value) && value >= -0x8000_0000 && value < 0) this.#negative(value)
    else {
      this.#put(0xcb)
      this.#bytes.writeDoubleBE(value, this.#take(8))
    }
  }

  boolean(value: boolean): void {
    this.#put(value ? 0xc3 : 0xc2)
  }

  binary(value: Uint8Array): void {
    this.#require(value.length)
    if (value.length <= 0xff) this.#putSized(0xc4, value.length, 1)
    else this.#putSized(0xc5, value.length, 2)
    this.#bytes.set(value, this.#take(value.length))
  }

  #negative(value: number): void {
    if (value >= -0x20) this.#put(value + 0x100)
    else if (value >= -0x80) this.#putSized(0xd0, value + 0x100, 1)
    else if (value >= -0x8000) this.#putSized(0xd1, value + 0x1_0000, 2)
    else this.#putSized(0xd2, value + 0x1_0000_0000, 4)
  }

  /** Starts over for a text that is not ASCII. */
  #textAgain(value: string, start: number): void {
    this.#at = start
    const length = Buffer.byteLength(value)
    this.#textHead(length)
    this.#bytes.write(value, this.#take(length))
  }

  #textHead(length: number): void {
    this.#require(length)
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

  #require(size: number): void {
    if (size > this.#end - this.#at) throw noRoom
  }

  /** Claims `size` bytes. Returns where they begin. */
  #take(size: number): number {
    this.#require(size)
    this.#at += size
    return this.#at - size
  }
}
