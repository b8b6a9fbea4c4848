/** Consecutive events, without their ids, which only the hub assigns. */
export interface PackedEvents {
  readonly bytes: Uint8Array
  /** The end of each event. */
  readonly ends: Uint32Array
  readonly count: number
}

const firstBytes = 16 * 1024
const firstCount = 64

/** More than the names, numbers and braces of any event. */
const bytesBesideTexts = 512

/** The length of the longest JSON escape of a UTF-16 code unit: `\u0000`. */
const bytesPerUnit = 6

const quote = 0x22
const backslash = 0x5c
const zero = 0x30

const encoder = new TextEncoder()

/** ASCII text as bytes, created once for {@link EventWriter.ascii}. */
export const asciiBytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'latin1'))

/**
 * Writes events in their final form, byte by byte. Strings would cost three times as much: each
 * part would be an object that is copied and collected.
 */
export class EventWriter implements PackedEvents {
  #bytes = new Uint8Array(firstBytes)
  #size = 0
  #ends = new Uint32Array(firstCount)
  #count = 0

  /** Longer than the events. Valid until the next one. */
  get bytes(): Uint8Array {
    return this.#bytes
  }

  get ends(): Uint32Array {
    return this.#ends
  }

  get count(): number {
    return this.#count
  }

  /** The number of bytes written. */
  get size(): number {
    return this.#size
  }

  /**
   * Makes room for one more event.
   * @param units the number of UTF-16 code units in its texts
   */
  reserve(units: number): void {
    const least = this.#size + units * bytesPerUnit + bytesBesideTexts
    if (least > this.#bytes.length)
      this.#bytes = enlarged(this.#bytes, Math.max(least, 2 * this.#bytes.length))
    if (this.#count === this.#ends.length) this.#ends = enlarged(this.#ends, 2 * this.#count)
  }

  ascii(bytes: Uint8Array): this {
    const out = this.#bytes
    let at = this.#size
    for (let n = 0; n < bytes.length; n++) out[at++] = bytes[n] as number
    this.#size = at
    return this
  }

  /** Writes the contents of a JSON string. */
  text(text: string): this {
    const out = this.#bytes
    let at = this.#size
    for (let n = 0; n < text.length; n++) {
      const code = text.charCodeAt(n)
      if (code < 0x20 || code > 0x7e || code === quote || code === backslash) return this.#escaped(text)
      out[at++] = code
    }
    this.#size = at
    return this
  }

  /** Writes a natural number. */
  natural(value: number): this {
    this.#size = writeNatural(this.#bytes, this.#size, value)
    return this
  }

  /** Writes JSON that was serialised elsewhere. */
  json(json: string): this {
    this.#size += encoder.encodeInto(json, this.#bytes.subarray(this.#size)).written
    return this
  }

  /** Ends an event. */
  end(): void {
    this.#ends[this.#count++] = this.#size
  }

  /** Starts over. */
  clear(): void {
    this.#size = 0
    this.#count = 0
  }

  /** Returns the events as a copy. */
  copy(): PackedEvents {
    return {
      bytes: this.#bytes.slice(0, this.#size),
      ends: this.#ends.slice(0, this.#count),
      count: this.#count,
    }
  }

  #escaped(text: string): this {
    return this.json(JSON.stringify(text).slice(1, -1))
  }
}

function enlarged<Numbers extends Uint8Array | Uint32Array>(numbers: Numbers, length: number): Numbers {
  const larger = new (numbers.constructor as new (length: number) => Numbers)(length)
  larger.set(numbers)
  return larger
}

/**
 * Writes a natural number in decimal digits.
 * @returns where it ends
 */
export function writeNatural(bytes: Uint8Array, at: number, value: number): number {
  let end = at + 1
  for (let least = 10; value >= least; least *= 10) end++
  let digit = end
  let rest = value
  // Beyond 31 bits, V8 divides much more slowly.
  for (; rest > 0x3fffffff; rest = Math.floor(rest / 10)) bytes[--digit] = zero + (rest % 10)
  for (let small = rest | 0; digit > at; small = (small / 10) | 0) bytes[--digit] = zero + (small % 10)
  return end
}
