import { Refusal } from '../errors.js'

// Each piece has a cost, so a body that arrives in too many small pieces is refused.
const maxPieces = (maxBytes: number): number => maxBytes / 32

const deadlineMs = 10_000

/**
 * How much of a refused body is read and discarded: a client that is still writing does not read
 * the refusal.
 */
const discarded = { bytes: 1_048_576, pieces: 4096, ms: 2000 }

const tooLarge = (maxBytes: number): Refusal =>
  new Refusal('body_too_large', {
    detail: `The body may have at most ${maxBytes} bytes, in at most ${maxPieces(maxBytes)} pieces.`,
  })

export interface BodyEnds {
  /** Called once with the body, or with a refusal after the body was discarded. */
  readonly done: (body: Buffer | Refusal) => void
  /** Called instead if the body is too slow and was not refused otherwise. */
  readonly late: () => void
}

/** Collects the pieces of one body, within limits of size, number and time. */
export class BodyReader {
  readonly #maxBytes: number
  readonly #ends: BodyEnds
  // One buffer for everything: keeping each piece would take hundreds of bytes apiece.
  #body: Buffer = Buffer.alloc(0)
  #bytes = 0
  #pieces = 0
  #refusal: Refusal | undefined
  #isOver = false
  #deadline: NodeJS.Timeout

  /** @param refusal why the body is refused in any case */
  constructor(maxBytes: number, ends: BodyEnds, refusal?: Refusal) {
    this.#maxBytes = maxBytes
    this.#ends = ends
    this.#refusal = refusal
    this.#deadline = setTimeout(() => this.#expire(), refusal === undefined ? deadlineMs : discarded.ms)
  }

  /** @param piece copied, because it is uWS's own memory */
  take(piece: ArrayBuffer, isLast: boolean): void {
    if (this.#isOver) return
    const from = this.#bytes
    this.#bytes += piece.byteLength
    if (piece.byteLength > 0) this.#pieces++
    if (this.#refusal === undefined) {
      if (this.#bytes <= this.#maxBytes && this.#pieces <= maxPieces(this.#maxBytes)) {
        this.#append(piece, from)
        if (isLast) this.#finish(this.#body.subarray(0, this.#bytes))
        return
      }
      this.#refuse(tooLarge(this.#maxBytes))
    }
    if (isLast || this.#bytes > discarded.bytes || this.#pieces > discarded.pieces)
      this.#finish(this.#refusal)
  }

  /** Stops without calling either, for a connection that has ended. */
  cancel(): void {
    this.#isOver = true
    clearTimeout(this.#deadline)
  }

  #append(piece: ArrayBuffer, from: number): void {
    if (this.#bytes > this.#body.length) {
      const larger = Buffer.alloc(Math.max(this.#bytes, Math.min(2 * this.#body.length, this.#maxBytes)))
      this.#body.copy(larger)
      this.#body = larger
    }
    this.#body.set(new Uint8Array(piece), from)
  }

  #refuse(refusal: Refusal): void {
    this.#refusal = refusal
    this.#body = Buffer.alloc(0)
    this.#bytes = 0
    this.#pieces = 0
    clearTimeout(this.#deadline)
    this.#deadline = setTimeout(() => this.#expire(), discarded.ms)
  }

  #expire(): void {
    if (this.#refusal !== undefined) return this.#finish(this.#refusal)
    this.cancel()
    this.#ends.late()
  }

  #finish(body: Buffer | Refusal | undefined): void {
    this.cancel()
    if (body !== undefined) this.#ends.done(body)
  }
}
