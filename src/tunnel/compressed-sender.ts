import { deflate, maxPartBytes, stored } from './deflate.js'
import type { FrameBatch, FrameSink } from './frame-batch.js'
import { compressedBit, finBit, opcode } from './frames.js'

/** A message, or a close frame. */
interface Message {
  readonly kind: number
  readonly bytes: Uint8Array
}

// How much may wait behind a large message, and the approximate memory of one besides its bytes.
const maxBehindBytes = 262_144
const messageOverheadBytes = 128

// Below this, compression costs more than it saves.
const minBytes = 512

/**
 * Compresses messages to an upstream server (RFC 7692), each by itself, and keeps their order. A
 * large one becomes fragments, one per turn of the event loop, so that it does not hold up others.
 */
export class CompressedSender {
  readonly #sink: FrameSink
  readonly #batch: FrameBatch
  readonly #windowBits: number
  /** A large message, and those behind it. */
  #waiting: Message[] = []
  /** How much of the first is sent. */
  #sent = 0
  #behindBytes = 0
  #isScheduled = false

  constructor(sink: FrameSink, batch: FrameBatch, windowBits: number) {
    this.#sink = sink
    this.#batch = batch
    this.#windowBits = windowBits
  }

  /** Sends a message, or a close frame. Its bytes are copied. */
  send(kind: number, bytes: Uint8Array): void {
    const size = bytes.length + messageOverheadBytes
    if (this.#behindBytes + size > maxBehindBytes) this.#hurry()
    if (this.#waiting.length === 0) {
      if (bytes.length <= maxPartBytes) return void this.#sendPart({ kind, bytes }, true)
      this.#schedule()
    } else this.#behindBytes += size
    this.#waiting.push({ kind, bytes: Uint8Array.from(bytes) })
  }

  /** Drops what is waiting. */
  stop(): void {
    this.#waiting = []
    this.#sent = 0
    this.#behindBytes = 0
  }

  #schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    setImmediate(() => this.#next())
  }

  /** Sends what is waiting, up to a part of a large message or as much in small ones. */
  #next(): void {
    this.#isScheduled = false
    for (let left = maxPartBytes; left > 0; ) {
      const [first] = this.#waiting
      if (first === undefined) return
      left -= first.bytes.length - this.#sent
      this.#sendFirst(first, true)
    }
    if (this.#waiting.length > 0) this.#schedule()
  }

  /** Sends everything that is waiting at once, without compression, which would take too long. */
  #hurry(): void {
    for (let [first] = this.#waiting; first !== undefined; [first] = this.#waiting)
      this.#sendFirst(first, false)
  }

  #sendFirst(first: Message, isCompressed: boolean): void {
    if (!this.#sendPart(first, isCompressed)) return
    this.#waiting.shift()
    const [next] = this.#waiting
    if (next !== undefined) this.#behindBytes -= next.bytes.length + messageOverheadBytes
  }

  /** Sends a message, or the next part of a large one. Returns whether that was the last part. */
  #sendPart({ kind, bytes }: Message, isCompressed: boolean): boolean {
    if (kind >= opcode.close || bytes.length < minBytes) return this.#sendPlain(kind, bytes)
    const start = this.#sent
    const end = start + maxPartBytes
    const isLast = end >= bytes.length
    const plain = bytes.subarray(start, end)
    const part = isCompressed ? deflate(plain, isLast, this.#windowBits) : stored(plain, isLast)
    if (start === 0 && part.length >= plain.length) return this.#sendPlain(kind, bytes)
    const first = start === 0 ? compressedBit | kind : opcode.continuation
    this.#batch.add(this.#sink, isLast ? finBit | first : first, part)
    this.#sent = isLast ? 0 : end
    return isLast
  }

  #sendPlain(kind: number, bytes: Uint8Array): true {
    this.#batch.add(this.#sink, finBit | kind, bytes)
    return true
  }
}
