/** Bits of the first byte of a frame: the last of its message, and one whose message is compressed. */
export const finBit = 0x80
export const compressedBit = 0x40

/** Kinds of frames (RFC 6455 section 5.2). */
export const opcode = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const

/** Close codes (RFC 6455 section 7.4.1). */
export const closeStatus = {
  protocolError: 1002,
  none: 1005,
  lost: 1006,
  notUtf8: 1007,
  tooBig: 1009,
} as const

/** A violation of RFC 6455 by an upstream server, and the close code for it. */
export class FrameError extends Error {
  readonly closeCode: number

  constructor(closeCode: number, message: string) {
    super(message)
    this.closeCode = closeCode
  }
}

const maxReasonBytes = 123

/** Whether a close frame may contain this code. */
export const isCloseCode = (code: number): boolean =>
  (code >= 1000 && code <= 1014 && (code < 1004 || code > 1006)) || (code >= 3000 && code <= 4999)

/** The payload of a close frame. */
export function closePayload(code: number, reason: string): Buffer {
  if (!isCloseCode(code)) return Buffer.alloc(0)
  const text = Buffer.from(reason).subarray(0, maxReasonBytes)
  const payload = Buffer.allocUnsafe(2 + text.length)
  payload.writeUInt16BE(code)
  text.copy(payload, 2)
  return payload
}
