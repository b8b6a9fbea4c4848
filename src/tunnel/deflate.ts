import { constants, deflateRawSync, type InflateRaw, inflateRaw, inflateRawSync } from 'node:zlib'
import { closeStatus, FrameError } from './frames.js'

/**
 * How much is compressed at once, at most what fits into a stored block. It takes about 200 µs; a
 * call of the thread pool of Node costs more.
 */
export const maxPartBytes = 65_535

/** How much is decompressed at once, which takes about 300 µs. The thread pool does the rest. */
export const maxInflatedBytes = 262_144

// A message that is larger when compressed is seldom small enough to try.
const maxTriedBytes = 65_536

// Takes less time to set up than a larger one. JSON becomes 3 % larger than with the default window
// and level, in a quarter of the time.
const bestWindowBits = 13
const memLevel = 6

// An empty block, which a sender removes (RFC 7692 section 7.2.1).
const emptyBlock = Buffer.from([0, 0, 0xff, 0xff])

// With a final block, zlib reports if a message is truncated.
const ending = Buffer.concat([emptyBlock, Buffer.from([1, 0, 0, 0xff, 0xff])])

/** The smallest window that zlib can write for, in bits. */
export const leastWindowBits = 9

/**
 * Compresses a message, or a part of it.
 * @param windowBits the largest window that the reader accepts, at least {@link leastWindowBits}
 */
export function deflate(bytes: Uint8Array, isLast: boolean, windowBits: number): Buffer {
  const part = deflateRawSync(bytes, {
    level: constants.Z_BEST_SPEED,
    memLevel,
    windowBits: Math.min(windowBits, bestWindowBits),
    finishFlush: constants.Z_SYNC_FLUSH,
  })
  return isLast ? part.subarray(0, -emptyBlock.length) : part
}

/**
 * The same without compression: a stored block (RFC 1951 section 3.2.4). zlib takes far longer for
 * that than for compression.
 */
export function stored(bytes: Uint8Array, isLast: boolean): Buffer {
  const { length } = bytes
  const head = Buffer.alloc(5)
  head.writeUInt16LE(length, 1)
  head.writeUInt16LE(length ^ maxPartBytes, 3)
  return Buffer.concat(isLast ? [head, bytes, Buffer.alloc(1)] : [head, bytes])
}

interface Inflated {
  readonly buffer: Buffer
  readonly engine: InflateRaw
}

/**
 * Decompresses a message. Returns undefined if it is large; `done` is then called later.
 * @param maxBytes the largest message
 * @throws FrameError if it is larger, or broken
 */
export function inflate(
  payload: Buffer,
  maxBytes: number,
  done: (result: Buffer | FrameError) => void,
): Buffer | undefined {
  const input = Buffer.concat([payload, ending])
  if (payload.length <= maxTriedBytes) {
    const isWhole = maxBytes <= maxInflatedBytes
    try {
      const options = { maxOutputLength: isWhole ? maxBytes : maxInflatedBytes, info: true }
      return messageOf(inflateRawSync(input, options) as unknown as Inflated, input)
    } catch (error) {
      if (isWhole || !isTooLarge(error)) throw frameErrorOf(error, maxBytes)
    }
  }
  inflateRaw(input, { maxOutputLength: maxBytes, info: true }, (error, result) => {
    done(
      error === null
        ? resultOf(result as unknown as Inflated, input, maxBytes)
        : frameErrorOf(error, maxBytes),
    )
  })
  return undefined
}

function resultOf(inflated: Inflated, input: Buffer, maxBytes: number): Buffer | FrameError {
  try {
    return messageOf(inflated, input)
  } catch (error) {
    return frameErrorOf(error, maxBytes)
  }
}

/** The message, if it ends where it should. */
function messageOf({ buffer, engine }: Inflated, input: Buffer): Buffer {
  const left = input.length - engine.bytesWritten
  // Senders without empty blocks append a zero to a final block (RFC 7692 section 7.2.3.4).
  const isOtherForm = left === ending.length + 1 && input[engine.bytesWritten] === 0
  if (left > 0 && !isOtherForm) throw new Error('it continues after its end')
  return buffer
}

const isTooLarge = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE'

function frameErrorOf(error: unknown, maxBytes: number): FrameError {
  return isTooLarge(error)
    ? new FrameError(closeStatus.tooBig, `a message has more than ${maxBytes} bytes`)
    : new FrameError(closeStatus.notUtf8, 'a compressed message is broken')
}
