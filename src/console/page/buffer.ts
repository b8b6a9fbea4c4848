/**
 * The parts of `node:buffer` that MessagePackReader uses, for browsers. The server uses Node's own:
 * `isUtf8` checks 60 kB of non-ASCII text in 3 microseconds, `TextDecoder` takes 230.
 */
export class Buffer extends Uint8Array<ArrayBuffer> {
  static override from(bytes: Iterable<number> | ArrayLike<unknown>): Buffer {
    const { buffer } = Uint8Array.from(bytes as ArrayLike<number>)
    return new Buffer(buffer)
  }

  override toString(_ = 'latin1', from = 0, end = this.length): string {
    return String.fromCharCode(...this.subarray(from, end))
  }

  readUInt16BE(at: number): number {
    return this.#view.getUint16(at)
  }

  readUInt32BE(at: number): number {
    return this.#view.getUint32(at)
  }

  readBigUInt64BE(at: number): bigint {
    return this.#view.getBigUint64(at)
  }

  readInt8(at: number): number {
    return this.#view.getInt8(at)
  }

  readInt16BE(at: number): number {
    return this.#view.getInt16(at)
  }

  readInt32BE(at: number): number {
    return this.#view.getInt32(at)
  }

  readBigInt64BE(at: number): bigint {
    return this.#view.getBigInt64(at)
  }

  readFloatBE(at: number): number {
    return this.#view.getFloat32(at)
  }

  readDoubleBE(at: number): number {
    return this.#view.getFloat64(at)
  }

  get #view(): DataView {
    return new DataView(this.buffer, this.byteOffset, this.length)
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true })

export function isUtf8(bytes: Uint8Array): boolean {
  try {
    utf8.decode(bytes)
    return true
  } catch {
    return false
  }
}
