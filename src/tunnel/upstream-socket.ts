import type { Socket } from 'node:net'
import { CompressedSender } from './compressed-sender.js'
import { leastWindowBits } from './deflate.js'
import type { FrameBatch, FrameSink } from './frame-batch.js'
import { type FrameListener, FrameReader } from './frame-reader.js'
import { closePayload, closeStatus, FrameError, finBit, opcode } from './frames.js'
import { acceptedTerms } from './upstream-compression.js'
import { newKey, readAnswer, requestText, wrongIn } from './upstream-handshake.js'
import type { UpstreamRequest } from './upstream-request.js'

const dialTimeoutMs = 10_000
const closeTimeoutMs = 5000
const keepAliveMs = 30_000

// Approximate memory of a waiting write, besides its bytes.
const writeOverheadBytes = 256

/** Receives what happens to a socket to an upstream server. */
export interface UpstreamListener {
  /** The server is reachable. */
  connected(): void
  /** The server has responded, with whatever status. */
  answered(): void
  /** The server has refused the handshake. `closed` follows. */
  refused(status: number): void
  /**
   * Returns whether the selected subprotocol is acceptable; '' = none. If not, the socket is ended.
   */
  accepts(protocol: string): boolean
  opened(): void
  /** A message. Its bytes are valid only during the call. */
  message(bytes: Buffer, isBinary: boolean): void
  /** Calls `read`, which may deliver many messages at once. */
  several(read: () => void): void
  /** What was sent has been written, or is waiting: see `waitingBytes`. */
  written(): void
  /** The connection was lost, or the server broke the protocol. `closed` follows. */
  failed(error: Error): void
  /** The socket is closed; 1005 = without a code, 1006 = without a close frame. */
  closed(code: number, reason: string): void
}

export interface UpstreamSocketParts {
  readonly request: UpstreamRequest
  readonly listener: UpstreamListener
  readonly batch: FrameBatch
  readonly maxMessageBytes: number
  /** Whether permessage-deflate is offered. */
  readonly offersCompression: boolean
}

// All sockets of a thread read into this buffer, one after another: a new buffer for each read
// would cost more than the read.
const readBytes = 65_536
const readBuffer = Buffer.allocUnsafeSlow(readBytes)

/** What is needed until the upstream server has responded. */
interface Handshake {
  readonly key: string
  readonly maxMessageBytes: number
  readonly offersCompression: boolean
  head: Buffer
}

/**
 * A WebSocket to an upstream server. The package `ws` is not used here because it writes and masks
 * each message separately and keeps a stream, a sender and many listeners per socket: with it,
 * tunnels took twice as much CPU time as nginx, and ten times in bursts.
 */
export class UpstreamSocket implements FrameSink, FrameListener {
  readonly #listener: UpstreamListener
  readonly #batch: FrameBatch
  readonly #socket: Socket
  readonly #isSecure: boolean
  /** Undefined until the handshake is complete, as is the sender, or without compression. */
  #reader: FrameReader | undefined
  #sender: CompressedSender | undefined
  #handshake: Handshake | undefined
  #timer: NodeJS.Timeout | undefined
  /** Writes that are waiting behind others. */
  #waitingWrites = 0
  /** Whether a close frame was sent, or the socket must end without one. */
  #isClosing = false
  #isFinished = false
  #code: number = closeStatus.lost
  #reason = ''

  /**
   * Connects.
   * @throws TypeError if a header field contains a forbidden character
   */
  constructor({ request, listener, batch, maxMessageBytes, offersCompression }: UpstreamSocketParts) {
    this.#listener = listener
    this.#batch = batch
    this.#isSecure = request.target.tls !== undefined
    const key = newKey()
    this.#handshake = { key, maxMessageBytes, offersCompression, head: Buffer.alloc(0) }
    const text = requestText(request, key, offersCompression)
    const socket = request.target.connect(() => listener.connected(), {
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: keepAliveMs,
      onread: { buffer: readBuffer, callback: (size, bytes) => this.#read(bytes as Buffer, size) },
    })
    this.#socket = socket
    this.#timer = setTimeout(() => this.#timedOut(), dialTimeoutMs)
    socket.on('error', error => this.#lost(error))
    socket.on('end', () => this.#ended())
    socket.on('close', () => this.#closed())
    socket.write(text, 'latin1')
  }

  /** Whether the upstream server has accepted the handshake. */
  get isOpen(): boolean {
    return this.#handshake === undefined
  }

  /** How many bytes the upstream server has not accepted yet. */
  get waitingBytes(): number {
    const { writableLength } = this.#socket
    return writableLength === 0 ? 0 : writableLength + this.#waitingWrites * writeOverheadBytes
  }

  /** Sends a message, at the end of this turn. Its bytes are copied. */
  send(bytes: Uint8Array, isBinary: boolean): void {
    if (this.#isClosing) return
    const kind = isBinary ? opcode.binary : opcode.text
    if (this.#sender === undefined) this.#batch.add(this, finBit | kind, bytes)
    else this.#sender.send(kind, bytes)
  }

  /** Delivers no more messages, not even those that have arrived. */
  pause(): void {
    this.#reader?.hold()
    this.#socket.pause()
  }

  resume(): void {
    this.#reader?.release()
    this.ready()
  }

  /** Closes the socket. Without a code, or with one that frames must not contain, sends none. */
  close(code: number, reason: string): void {
    if (this.#isClosing) return
    const payload = closePayload(code, reason)
    // The server ends it, so it does not wait for messages.
    if (this.#isFinished) this.#sender?.stop()
    if (this.#sender === undefined) this.#batch.add(this, finBit | opcode.close, payload)
    else this.#sender.send(opcode.close, payload)
    this.#isClosing = true
    this.#timer = setTimeout(() => this.terminate(), closeTimeoutMs)
  }

  /** Destroys the socket at once. */
  terminate(): void {
    this.#isClosing = true
    this.#isFinished = true
    this.#sender?.stop()
    this.#socket.destroy()
  }

  write(bytes: Buffer): boolean {
    const socket = this.#socket
    if (!socket.writable) return false
    const isIdle = socket.writableLength === 0
    this.#waitingWrites = isIdle ? 0 : this.#waitingWrites + 1
    // TLS reads the bytes later.
    const isLent = isIdle && !this.#isSecure
    socket.write(isLent ? bytes : Buffer.from(bytes))
    return isLent && socket.writableLength > 0
  }

  written(): void {
    this.#listener.written()
  }

  message(bytes: Buffer, isBinary: boolean): void {
    this.#listener.message(bytes, isBinary)
  }

  ping(bytes: Buffer): void {
    if (!this.#isClosing) this.#batch.add(this, finBit | opcode.pong, bytes)
  }

  closeFrame(code: number, reason: string): void {
    this.#code = code
    this.#reason = reason
    this.#isFinished = true
    // The server closes the connection first (RFC 6455 section 7.1.1), so that the port is free
    // sooner.
    this.close(code, '')
  }

  ready(): void {
    const reader = this.#reader
    if (this.#isFinished || reader === undefined) return
    this.#listener.several(() => this.#readAll(reader, undefined))
    if (!reader.isWaiting) this.#socket.resume()
  }

  #read(buffer: Buffer, size: number): boolean {
    const bytes = buffer.subarray(0, size)
    try {
      if (this.#handshake !== undefined) this.#readHead(this.#handshake, bytes)
      else if (this.#reader !== undefined) this.#readFrames(this.#reader, bytes)
    } catch (error) {
      this.#broken(error as Error)
    }
    return true
  }

  #readHead(handshake: Handshake, bytes: Buffer): void {
    handshake.head = Buffer.concat([handshake.head, bytes])
    const answer = readAnswer(handshake.head)
    if (answer === undefined) return
    const rest = handshake.head.subarray(answer.size)
    if (answer.status < 200 && answer.status !== 101) {
      handshake.head = Buffer.alloc(0)
      return this.#readHead(handshake, rest)
    }
    this.#listener.answered()
    if (answer.status !== 101) {
      this.#listener.refused(answer.status)
      return this.terminate()
    }
    const wrong = wrongIn(answer, handshake.key)
    if (wrong !== undefined) throw new Error(wrong)
    const { maxMessageBytes, offersCompression } = handshake
    const terms = acceptedTerms(answer.headers.get('sec-websocket-extensions'), offersCompression)
    if (!this.#listener.accepts(answer.headers.get('sec-websocket-protocol') ?? '')) return this.terminate()
    this.#handshake = undefined
    clearTimeout(this.#timer)
    this.#timer = undefined
    const reader = new FrameReader(this, maxMessageBytes, terms !== undefined)
    this.#reader = reader
    if (terms !== undefined && terms.windowBits >= leastWindowBits)
      this.#sender = new CompressedSender(this, this.#batch, terms.windowBits)
    this.#listener.opened()
    if (rest.length > 0) this.#readFrames(reader, rest)
  }

  #readFrames(reader: FrameReader, bytes: Buffer): void {
    if (this.#isFinished) return
    if (reader.hasSeveral(bytes)) this.#listener.several(() => this.#readAll(reader, bytes))
    else this.#readAll(reader, bytes)
  }

  /** Catches exceptions: none may be thrown through uWS. */
  #readAll(reader: FrameReader, bytes: Buffer | undefined): void {
    try {
      if (bytes === undefined) reader.continue()
      else reader.read(bytes)
      if (reader.isWaiting) this.#socket.pause()
    } catch (error) {
      this.#broken(error as Error)
    }
  }

  /** The server has broken the protocol. */
  #broken(error: Error): void {
    if (this.#isFinished) return
    this.#isFinished = true
    if (!(error instanceof FrameError)) {
      this.#listener.failed(error)
      return this.terminate()
    }
    this.close(error.closeCode, '')
    this.#batch.flush()
    this.#listener.failed(error)
    this.#socket.end()
  }

  #timedOut(): void {
    this.#broken(new Error('the handshake has timed out'))
  }

  #lost(error: Error): void {
    if (this.#isFinished && this.#isClosing) return
    this.#isFinished = true
    this.#isClosing = true
    this.#listener.failed(error)
  }

  /** The server has closed the connection, with or without a close frame before. */
  #ended(): void {
    if (this.#handshake !== undefined && !this.#isFinished)
      this.#lost(Object.assign(new Error('the upstream server has hung up'), { code: 'ECONNRESET' }))
    this.terminate()
  }

  #closed(): void {
    clearTimeout(this.#timer)
    this.#isClosing = true
    this.#listener.closed(this.#code, this.#reason)
  }
}
