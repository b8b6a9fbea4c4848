import { isUtf8 } from 'node:buffer'
import { inflate, maxInflatedBytes } from './deflate.js'
import { closeStatus, compressedBit, FrameError, finBit, isCloseCode, opcode } from './frames.js'

const reservedBits = 0x70
const opcodeBits = 0x0f
const maskBit = 0x80
const lengthBits = 0x7f
const maxControlBytes = 125

/** Receives the frames. */
export interface FrameListener {
  /** A complete message. Its bytes are valid only during the call. */
  message(bytes: Buffer, isBinary: boolean): void
  ping(bytes: Buffer): void
  /** The close frame; 1005 if it had no code. */
  closeFrame(code: number, reason: string): void
  /** The reader can go on after a compressed message, with {@link FrameReader.continue}. */
  ready(): void
}

/** Reads the frames of a server (RFC 6455 section 5), with permessage-deflate if it is agreed on. */
export class FrameReader {
  readonly #listener: FrameListener
  readonly #maxBytes: number
  readonly #isDeflated: boolean
  /**
   * The received part of an incomplete frame, its expected size as far as known, and the size of
   * the part.
   */
  #partial: Buffer | undefined
  #filled = 0
  /** The fragments of the current message, and their total size. */
  #fragments: Buffer | undefined
  #size = 0
  #isBinary = false
  #isCompressed = false
  #isDone = false
  #isHeld = false
  /** Whether a message is decompressed elsewhere, or enough was in this turn. */
  #isInflating = false
  #inflatedBytes = 0
  /** A large message that is decompressed, or why it cannot be. */
  #inflated: Buffer | FrameError | undefined
  /** What has arrived since it waits. */
  #rest: Buffer | undefined

  /**
   * @param maxBytes the largest message
   * @param isDeflated whether messages may be compressed (RFC 7692)
   */
  constructor(listener: FrameListener, maxBytes: number, isDeflated: boolean) {
    this.#listener = listener
    this.#maxBytes = maxBytes
    this.#isDeflated = isDeflated
  }

  /** Whether it keeps what it is given, so that no more should be read. */
  get isWaiting(): boolean {
    return this.#isHeld || this.#isInflating
  }

  /** Delivers nothing until it is released, not even the rest of a chunk. */
  hold(): void {
    this.#isHeld = true
  }

  release(): void {
    this.#isHeld = false
  }

  /**
   * Reads what it has kept, unless it is waiting.
   * @throws FrameError as {@link FrameReader.read}
   */
  continue(): void {
    if (this.isWaiting) return
    const inflated = this.#inflated
    this.#inflated = undefined
    if (inflated instanceof FrameError) throw inflated
    if (inflated !== undefined) this.#deliver(inflated)
    const rest = this.#rest
    this.#rest = undefined
    if (rest !== undefined) this.read(rest)
  }

  /** Whether a chunk contains more than one frame, or the end of one. */
  hasSeveral(chunk: Buffer): boolean {
    return this.#partial !== undefined || sizeAt(chunk, 0) < chunk.length
  }

  /**
   * Reads bytes, which the caller may reuse afterwards.
   * @throws FrameError for the first violation; nothing may be read after it
   */
  read(chunk: Buffer): void {
    this.#inflatedBytes = 0
    let at = this.isWaiting || this.#partial === undefined ? 0 : this.#fill(this.#partial, chunk)
    while (at < chunk.length && !this.#isDone) {
      if (this.isWaiting) return this.#keep(chunk.subarray(at))
      const size = sizeAt(chunk, at)
      this.#check(chunk, at)
      if (size > chunk.length - at) {
        this.#partial = Buffer.allocUnsafe(size)
        this.#filled = chunk.copy(this.#partial, 0, at)
        return
      }
      this.#frame(chunk, at, size)
      at += size
    }
  }

  #keep(bytes: Buffer): void {
    this.#rest = Buffer.concat(this.#rest === undefined ? [bytes] : [this.#rest, bytes])
  }

  /** Appends to the incomplete frame, and returns how many bytes that took. */
  #fill(frame: Buffer, chunk: Buffer): number {
    let partial = frame
    for (let used = 0; ; ) {
      const copied = chunk.copy(partial, this.#filled, used)
      used += copied
      this.#filled += copied
      if (this.#filled < partial.length) return used
      const size = sizeAt(partial, 0)
      this.#check(partial, 0)
      if (size === partial.length) {
        this.#partial = undefined
        this.#frame(partial, 0, size)
        return used
      }
      const larger = Buffer.allocUnsafe(size)
      partial.copy(larger)
      partial = this.#partial = larger
    }
  }

  /** Checks the received part of a header. */
  #check(bytes: Buffer, at: number): void {
    const first = bytes[at] ?? 0
    const second = bytes[at + 1]
    const kind = first & opcodeBits
    const isFinal = (first & finBit) !== 0
    const isData = kind === opcode.text || kind === opcode.binary
    const allowedBits = this.#isDeflated && isData ? compressedBit : 0
    if ((first & reservedBits & ~allowedBits) !== 0)
      throw new FrameError(closeStatus.protocolError, 'a reserved bit is set')
    if (kind > opcode.pong || (kind > opcode.binary && kind < opcode.close))
      throw new FrameError(closeStatus.protocolError, `there is no opcode ${kind}`)
    if (kind >= opcode.close && !isFinal)
      throw new FrameError(closeStatus.protocolError, 'a control frame is fragmented')
    if (kind < opcode.close && (kind === opcode.continuation) !== (this.#fragments !== undefined))
      throw new FrameError(closeStatus.protocolError, 'a fragment is out of order')
    if (second === undefined) return
    if ((second & maskBit) !== 0)
      throw new FrameError(closeStatus.protocolError, 'a server has masked a frame')
    if (kind >= opcode.close && second > maxControlBytes)
      throw new FrameError(closeStatus.protocolError, 'a control frame is too long')
    if (isPadded(bytes, at))
      throw new FrameError(closeStatus.protocolError, 'a length is not encoded in the fewest bytes')
    const isCompressed = isData ? (first & compressedBit) !== 0 : this.#isCompressed
    if (kind < opcode.close && this.#size + payloadAt(bytes, at) > this.#limit(isCompressed))
      throw new FrameError(closeStatus.tooBig, `a message has more than ${this.#maxBytes} bytes`)
  }

  #frame(bytes: Buffer, at: number, size: number): void {
    const first = bytes[at] ?? 0
    const kind = first & opcodeBits
    const payload = bytes.subarray(at + headerAt(bytes, at), at + size)
    if (kind >= opcode.close) return this.#control(kind, payload)
    const isFinal = (first & finBit) !== 0
    if (kind !== opcode.continuation) {
      this.#isBinary = kind === opcode.binary
      this.#isCompressed = (first & compressedBit) !== 0
      if (isFinal) return this.#message(payload)
    }
    this.#append(payload)
    if (!isFinal) return
    const whole = this.#fragments?.subarray(0, this.#size) ?? payload
    this.#fragments = undefined
    this.#size = 0
    this.#message(whole)
  }

  /**
   * Appends to one buffer: otherwise, a message of many small fragments would take many times its
   * size.
   */
  #append(payload: Buffer): void {
    const size = this.#size + payload.length
    if (this.#fragments === undefined || this.#fragments.length < size) {
      const larger = Buffer.allocUnsafe(Math.min(2 * size, this.#limit(this.#isCompressed)))
      this.#fragments?.copy(larger, 0, 0, this.#size)
      this.#fragments = larger
    }
    payload.copy(this.#fragments, this.#size)
    this.#size = size
  }

  /** The largest message as it arrives: what cannot be compressed becomes a little larger. */
  #limit(isCompressed: boolean): number {
    return isCompressed ? this.#maxBytes + (this.#maxBytes >> 3) + 64 : this.#maxBytes
  }

  #message(payload: Buffer): void {
    if (!this.#isCompressed) return this.#deliver(payload)
    const bytes = inflate(payload, this.#maxBytes, result => {
      this.#inflated = result
      this.#goOn()
    })
    if (bytes === undefined) {
      this.#isInflating = true
      return
    }
    this.#inflatedBytes += bytes.length
    this.#deliver(bytes)
    if (this.#inflatedBytes < maxInflatedBytes) return
    this.#isInflating = true
    setImmediate(() => this.#goOn())
  }

  #goOn(): void {
    this.#isInflating = false
    this.#listener.ready()
  }

  #deliver(bytes: Buffer): void {
    if (!this.#isBinary && !isUtf8(bytes)) throw new FrameError(closeStatus.notUtf8, 'a text is not UTF-8')
    this.#listener.message(bytes, this.#isBinary)
  }

  #control(kind: number, payload: Buffer): void {
    if (kind === opcode.ping) return this.#listener.ping(payload)
    if (kind === opcode.pong) return
    this.#isDone = true
    if (payload.length === 0) return this.#listener.closeFrame(closeStatus.none, '')
    const code = payload.length === 1 ? 0 : payload.readUInt16BE()
    if (!isCloseCode(code)) throw new FrameError(closeStatus.protocolError, `${code} is no close code`)
    const reason = payload.subarray(2)
    if (!isUtf8(reason)) throw new FrameError(closeStatus.notUtf8, 'a close reason is not UTF-8')
    this.#listener.closeFrame(code, reason.toString())
  }
}

/** The size of a frame's header; if bytes are missing, the number needed to determine it. */
function headerAt(bytes: Buffer, at: number): number {
  const length = (bytes[at + 1] ?? 0) & lengthBits
  return length < 126 ? 2 : length === 126 ? 4 : 10
}

/** The size of a frame's payload; 0 while its header is incomplete. */
function payloadAt(bytes: Buffer, at: number): number {
  const header = headerAt(bytes, at)
  if (at + header > bytes.length) return 0
  if (header === 2) return (bytes[at + 1] ?? 0) & lengthBits
  return header === 4
    ? bytes.readUInt16BE(at + 2)
    : bytes.readUInt32BE(at + 2) * 2 ** 32 + bytes.readUInt32BE(at + 6)
}

/** Whether a length takes more bytes than it needs (RFC 6455 section 5.2). */
function isPadded(bytes: Buffer, at: number): boolean {
  const header = headerAt(bytes, at)
  if (header === 2 || at + header > bytes.length) return false
  return payloadAt(bytes, at) < (header === 4 ? 126 : 65_536)
}

/** The size of a frame, or of its header while that is incomplete. */
const sizeAt = (bytes: Buffer, at: number): number => headerAt(bytes, at) + payloadAt(bytes, at)
