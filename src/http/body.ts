import type { HttpResponse } from 'uWebSockets.js'
import { Refusal } from '../errors.js'
import { isJsonObject } from '../json-object.js'

/** On the public listener: logins and ticket requests are small. */
export const maxBodyBytes = 8192

/** On the admin listener: messages come in batches. */
export const maxAdminBodyBytes = 1_048_576

/** What a body may have beyond its limit, to be read and thrown away: who is still writing does not read the refusal. */
const discardedBytes = 1_048_576

// Each piece has a cost of its own: a body that comes byte by byte is refused when it has so many.
const leastBytesPerPiece = 32

const deadlineMs = 10_000

/**
 * Collects the body and hands it over once. One that is too long is read to its end and then refused; one that is far too
 * long, or comes in too many pieces, at once. One that is too slow closes its connection.
 */
export function readBody(res: HttpResponse, maxBytes: number, done: (body: Buffer | Refusal) => void): void {
  const maxPieces = Math.max(maxBytes, 8192) / leastBytesPerPiece
  let body: Buffer = Buffer.alloc(0)
  let length = 0
  let pieces = 0
  let over = false
  const finish = (body: Buffer | Refusal): void => {
    over = true
    clearTimeout(deadline)
    done(body)
  }
  const deadline = setTimeout(() => {
    over = true
    res.close()
  }, deadlineMs)
  res.onAborted(() => {
    over = true
    clearTimeout(deadline)
  })
  res.onData((chunk, isLast) => {
    if (over) return
    const from = length
    length += chunk.byteLength
    pieces++
    const isTooLong = length > maxBytes
    if (pieces > maxPieces || (isTooLong && (isLast || length > maxBytes + discardedBytes)))
      return finish(new Refusal('body_too_large', { detail: `The body may have ${maxBytes} bytes at most.` }))
    if (isTooLong) return
    if (length > body.length) body = enlarged(body, Math.max(length, Math.min(2 * body.length, maxBytes)))
    body.set(new Uint8Array(chunk), from)
    if (isLast) finish(body.subarray(0, length))
  })
}

/** One buffer for all of a body: to keep each of its pieces would take hundreds of bytes apiece. */
function enlarged(body: Buffer, size: number): Buffer {
  const larger = Buffer.alloc(size)
  body.copy(larger)
  return larger
}

/** The media type of a body, without its parameters. */
export const mediaTypeOf = (contentType: string): string =>
  (contentType.split(';')[0] ?? '').trim().toLowerCase()

/**
 * The JSON object in a body.
 * @throws Refusal `unsupported_media_type`, or `bad_request` for anything but one object in UTF-8
 */
export function parseJsonObject(body: Buffer, contentType: string): Readonly<Record<string, unknown>> {
  if (contentType !== '' && mediaTypeOf(contentType) !== 'application/json')
    throw new Refusal('unsupported_media_type', {
      detail: 'Send the body as Content-Type: application/json.',
    })
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body))
    if (isJsonObject(value)) return value
  } catch {
    // One answer for all that is not a JSON object, below.
  }
  throw new Refusal('bad_request', { detail: 'The body must be one JSON object.' })
}
