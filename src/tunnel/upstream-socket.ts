import type { Socket } from 'node:net'
import type { FrameBatch, FrameSink } from './frame-batch.js'
import { FrameError, type FrameListener, FrameReader } from './frame-reader.js'
import { closePayload, closeStatus, opcode } from './frames.js'
import { newKey, readAnswer, requestText, wrongIn } from './upstream-handshake.js'
import type { UpstreamRequest } from './upstream-request.js'

const dialTimeoutMs = 10_000
const closeTimeoutMs = 5000
const keepAliveMs = 30_000

// What a write that waits takes besides its bytes, about.
const writeOverheadBytes = 256

/** What becomes of a socket to an upstream server. */
export interface UpstreamListener {
  /** It can be reached. */
  connected(): void
  /** It has responded, whatever it said. */
  answered(): void
  /** It has refused the handshake. `closed` follows. */
  refused(status: number): void
  /** Whether the subprotocol that it has chosen will do; '' = none. If not, it is ended. */
  accepts(protocol: string): boolean
  opened(): void
  /** A message; its bytes are gone when this returns. */
  message(bytes: Buffer, isBinary: boolean): void
  /** Calls `read`, which may bring many messages at once. */
  several(read: () => void): void
  /** What was sent is written, or waits: see `waitingBytes`. */
  written(): void
  /** It was lost, or has broken the protocol. `closed` follows. */
  failed(error: Error): void
  /** It is gone; 1005 = it gave no code, 1006 = it sent no close frame. */
  closed(code: number, reason: string): void
}

export interface UpstreamSocketParts {
  readonly request: UpstreamRequest
  readonly listener: UpstreamListener
  readonly batch: FrameBatch
  readonly maxMessageBytes: number
}

// All sockets of a thread read into this, one after the other: a buffer for each read costs more
// than the read.
const readBytes = 65_536
const readBuffer = Buffer.allocUnsafeSlow(readBytes)

/** What is needed until the upstream server has answered. */
interface Handshake {
  readonly key: string
  head: Buffer
}

/**
 * A WebSocket to an upstream server. Why it is not one of the package `ws`: that one writes each
 * message by itself, masks it byte by byte and keeps a stream, a sender and many listeners for each
 * socket, so tunnels took twice as much CPU time as nginx, and ten times in bursts.
 */
export class UpstreamSocket implements FrameSink, FrameListener {
  readonly #listener: UpstreamListener
  readonly #batch: FrameBatch
  readonly #socket: Socket
  readonly #isSecure: boolean
  readonly #reader: FrameReader
  #handshake: Handshake | undefined
  #timer: NodeJS.Timeout | undefined
  /** Writes that wait behind others. */
  #waitingWrites = 0
  /** Whether a close frame was sent, or it has to end without one. */
  #isClosing = false
  #isFinished = false
  #code: number = closeStatus.lost
  #reason = ''

  /**
   * Dials.
   * @throws TypeError if a header field has a character that it may not have
   */
  constructor({ request, listener, batch, maxMessageBytes }: UpstreamSocketParts) {
    this.#listener = listener
    this.#batch = batch
    this.#reader = new FrameReader(this, maxMessageBytes)
    this.#isSecure = request.target.tls !== undefined
    this.#handshake = { key: newKey(), head: Buffer.alloc(0) }
    const text = requestText(request, this.#handshake.key)
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

  /** What the upstream server has not taken yet. */
  get waitingBytes(): number {
    const { writableLength } = this.#socket
    return writableLength === 0 ? 0 : writableLength + this.#waitingWrites * writeOverheadBytes
  }

  /** Sends a message, at the end of this turn. Its bytes are copied. */
  send(bytes: Uint8Array, isBinary: boolean): void {
    if (!this.#isClosing) this.#batch.add(this, isBinary ? opcode.binary : opcode.text, bytes)
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  /** Closes it; no code, or one that no frame may have: without one. */
  close(code: number, reason: string): void {
    if (this.#isClosing) return
    this.#batch.add(this, opcode.close, closePayload(code, reason))
    this.#isClosing = true
    this.#timer = setTimeout(() => this.terminate(), closeTimeoutMs)
  }

  /** Ends it at once. */
  terminate(): void {
    this.#isClosing = true
    this.#isFinished = true
    this.#socket.destroy()
  }

  write(bytes: Buffer): boolean {
    const socket = this.#socket
    if (!socket.writable) return false
    const isIdle = socket.writableLength === 0
    this.#waitingWrites = isIdle ? 0 : this.#waitingWrites + 1
    // TLS reads what it is given only later.
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
    if (!this.#isClosing) this.#batch.add(this, opcode.pong, bytes)
  }

  closeFrame(code: number, reason: string): void {
    this.#code = code
    this.#reason = reason
    this.#isFinished = true
    // The server closes the connection first (RFC 6455 section 7.1.1): the port is free sooner.
    this.close(code, '')
  }

  #read(buffer: Buffer, size: number): boolean {
    const bytes = buffer.subarray(0, size)
    try {
      if (this.#handshake !== undefined) this.#readHead(this.#handshake, bytes)
      else this.#readFrames(bytes)
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
    if (!this.#listener.accepts(answer.headers.get('sec-websocket-protocol') ?? '')) return this.terminate()
    this.#handshake = undefined
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#listener.opened()
    if (rest.length > 0) this.#readFrames(rest)
  }

  #readFrames(bytes: Buffer): void {
    if (this.#isFinished) return
    if (this.#reader.hasSeveral(bytes)) this.#listener.several(() => this.#readAll(bytes))
    else this.#readAll(bytes)
  }

  /** Catches what it throws: nothing may be thrown through uWS. */
  #readAll(bytes: Buffer): void {
    try {
      this.#reader.read(bytes)
    } catch (error) {
      this.#broken(error as Error)
    }
  }

  /** What it sends is not to be understood. */
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
