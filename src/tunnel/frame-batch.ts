import { randomFillSync } from 'node:crypto'

const maskBit = 0x80
const maskBytes = 4
const batchBytes = 65_536

// A call to the CSPRNG costs more than a frame, so each call fills a pool.
const masks = new Uint8Array(maskBytes * 1024)
let masksUsed = masks.length

// A mask, and the same four bytes as a word in memory order.
const maskWord = new Int32Array(1)
const maskOfWord = new Uint8Array(maskWord.buffer)

/** The destination of frames. */
export interface FrameSink {
  /**
   * Sends bytes. If it returns false, the caller reuses them; if true, they are read later and must
   * not change.
   */
  write(bytes: Buffer): boolean
  /** Everything added has been written; the socket may be ended now if it reads too slowly. */
  written(): void
}

/** The part of the batch for one sink. */
interface Run {
  readonly sink: FrameSink
  readonly start: number
  end: number
}

/**
 * Masked frames of a client (RFC 6455 section 5). Everything added in a turn of the event loop is
 * written at its end, because a write costs several times as much as a frame.
 */
export class FrameBatch {
  #bytes = Buffer.allocUnsafeSlow(batchBytes)
  #words = wordsOf(this.#bytes)
  #used = 0
  #runs: Run[] = []

  /**
   * Adds a frame. Its bytes are copied.
   * @param first the first byte of the frame: its kind, and bits
   */
  add(sink: FrameSink, first: number, payload: Uint8Array): void {
    const size = headerBytes(payload.length) + payload.length
    if (this.#used + size > batchBytes) this.flush()
    if (size > batchBytes) return writeAlone(sink, first, payload, size)
    const start = this.#used
    this.#used += size
    writeFrame(this.#bytes, this.#words, start, first, payload)
    const last = this.#runs.at(-1)
    if (last?.sink === sink) {
      last.end = this.#used
      return
    }
    if (last === undefined) setImmediate(() => this.flush())
    this.#runs.push({ sink, start, end: this.#used })
  }

  /** Sends everything added so far. */
  flush(): void {
    const runs = this.#runs
    if (runs.length === 0) return
    this.#runs = []
    let isHeld = false
    for (const { sink, start, end } of runs) if (sink.write(this.#bytes.subarray(start, end))) isHeld = true
    this.#used = 0
    if (isHeld) {
      this.#bytes = Buffer.allocUnsafeSlow(batchBytes)
      this.#words = wordsOf(this.#bytes)
    }
    // This may add more.
    for (const { sink } of runs) sink.written()
  }
}

const wordsOf = ({ buffer }: Buffer): Int32Array => new Int32Array(buffer)

/** A frame that is larger than a batch. */
function writeAlone(sink: FrameSink, first: number, payload: Uint8Array, size: number): void {
  const bytes = Buffer.allocUnsafeSlow(Math.ceil(size / maskBytes) * maskBytes)
  writeFrame(bytes, wordsOf(bytes), 0, first, payload)
  sink.write(bytes.subarray(0, size))
  sink.written()
}

const headerBytes = (length: number): number => (length < 126 ? 6 : length < 65_536 ? 8 : 14)

function writeFrame(
  bytes: Buffer,
  words: Int32Array,
  start: number,
  first: number,
  payload: Uint8Array,
): void {
  const { length } = payload
  const from = start + headerBytes(length)
  bytes[start] = first
  if (length < 126) bytes[start + 1] = maskBit | length
  else if (length < 65_536) {
    bytes[start + 1] = maskBit | 126
    bytes.writeUInt16BE(length, start + 2)
  } else {
    bytes[start + 1] = maskBit | 127
    bytes.writeUInt32BE(0, start + 2)
    bytes.writeUInt32BE(length, start + 6)
  }
  if (masksUsed === masks.length) {
    randomFillSync(masks)
    masksUsed = 0
  }
  const mask = from - maskBytes
  for (let n = 0; n < maskBytes; n++) bytes[mask + n] = masks[masksUsed++] ?? 0
  bytes.set(payload, from)
  applyMask(bytes, words, mask, from, from + length)
}

/** Masks bytes in place, as whole words where aligned, which takes a quarter of the time. */
function applyMask(bytes: Buffer, words: Int32Array, mask: number, from: number, to: number): void {
  let at = from
  for (; at < to && at % maskBytes !== 0; at++)
    bytes[at] = (bytes[at] ?? 0) ^ (bytes[mask + ((at - from) & 3)] ?? 0)
  for (let n = 0; n < maskBytes; n++) maskOfWord[n] = bytes[mask + ((at - from + n) & 3)] ?? 0
  const [word = 0] = maskWord
  const end = to >> 2
  for (let n = at >> 2; n < end; n++) words[n] = (words[n] ?? 0) ^ word
  for (at = Math.max(at, end << 2); at < to; at++)
    bytes[at] = (bytes[at] ?? 0) ^ (bytes[mask + ((at - from) & 3)] ?? 0)
}
