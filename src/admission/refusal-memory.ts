import { type RefusalCode, refusalCodes } from '../errors.js'

const slots = 65_536
const slotBits = BigInt(64 - Math.log2(slots))
const codeBits = 8n
const codeMask = (1n << codeBits) - 1n

/** The memory of refusals that all threads of a gate share: half a mebibyte. */
export const createRefusalBuffer = (): SharedArrayBuffer => new SharedArrayBuffer(8 * slots)

/**
 * The code with which each ticket was last refused, by its nonce. Remembers about 65,536 of them:
 * each nonce has one slot, which a later nonce may overwrite. A slot is one word, so threads need
 * no lock.
 */
export class RefusalMemory {
  readonly #words: BigUint64Array
  readonly #nonce = Buffer.alloc(16)

  constructor(buffer: SharedArrayBuffer = createRefusalBuffer()) {
    this.#words = new BigUint64Array(buffer)
  }

  /** @param nonce of a ticket with a valid MAC; otherwise anybody could fill the memory */
  note(nonce: string, code: RefusalCode): void {
    const mark = this.#markOf(nonce)
    Atomics.store(this.#words, this.#slotOf(), mark | BigInt(refusalCodes.indexOf(code) + 1))
  }

  find(nonce: string): RefusalCode | undefined {
    const mark = this.#markOf(nonce)
    const word = Atomics.load(this.#words, this.#slotOf())
    return (word & ~codeMask) === mark ? refusalCodes[Number(word & codeMask) - 1] : undefined
  }

  /** 56 bits of a nonce. Does not use the bytes that {@link #slotOf} uses. */
  #markOf(nonce: string): bigint {
    this.#nonce.write(nonce, 'latin1')
    return this.#nonce.readBigUInt64BE(0) & ~codeMask
  }

  #slotOf(): number {
    return Number(this.#nonce.readBigUInt64BE(8) >> slotBits)
  }
}
