import { type RefusalCode, refusalCodes } from '../errors.js'

const slots = 65_536
const slotBits = BigInt(64 - Math.log2(slots))
const codeBits = 8n
const codeMask = (1n << codeBits) - 1n

/** The memory of refusals that all threads of a gate share: half a mebibyte. */
export const createRefusalBuffer = (): SharedArrayBuffer => new SharedArrayBuffer(8 * slots)

/**
 * With which code a ticket was refused last, by its nonce. The latest 65,536 or so are remembered:
 * a nonce has one slot, which the next one takes over. A slot is one word, so threads need no lock.
 */
export class RefusalMemory {
  readonly #words: BigUint64Array
  readonly #nonce = Buffer.alloc(16)

  constructor(buffer: SharedArrayBuffer = createRefusalBuffer()) {
    this.#words = new BigUint64Array(buffer)
  }

  /** @param nonce of a ticket whose MAC holds: anybody could fill the memory with others */
  note(nonce: string, code: RefusalCode): void {
    const mark = this.#markOf(nonce)
    Atomics.store(this.#words, this.#slotOf(), mark | BigInt(refusalCodes.indexOf(code) + 1))
  }

  find(nonce: string): RefusalCode | undefined {
    const mark = this.#markOf(nonce)
    const word = Atomics.load(this.#words, this.#slotOf())
    return (word & ~codeMask) === mark ? refusalCodes[Number(word & codeMask) - 1] : undefined
  }

  /** 56 bits of a nonce. Leaves its bytes for {@link #slotOf}, which takes others. */
  #markOf(nonce: string): bigint {
    this.#nonce.write(nonce, 'latin1')
    return this.#nonce.readBigUInt64BE(0) & ~codeMask
  }

  #slotOf(): number {
    return Number(this.#nonce.readBigUInt64BE(8) >> slotBits)
  }
}
