import type { HttpResponse } from 'uWebSockets.js'
import { Refusal } from '../errors.js'
import { isJsonObject } from '../protocol.js'

/** On the public listener: logins and ticket requests are small. */
export const maxBodyBytes = 8192

/** On the admin listener: messages come in batches. */
export const maxAdminBodyBytes = 1_048_576

// Each piece has a cost of its own: a body that comes byte by byte is refused when it has so many.
const maxPieces = (maxBytes: number): number => maxBytes / 32

const deadlineMs = 10_000

/** What is read of a refused body, and thrown away: who is still writing does not read the refusal. */
const discarded = { bytes: 1_048_576, pieces: 4096, ms: 2000 }

/**
 * Collects the body and hands it over once; or a refusal where it is too long or comes in too many pieces, after what is
 * left of it was thrown away. A body that is too slow closes its connection.
 */
export function readBody(res: HttpResponse, maxBytes: number, done: (body: Buffer | Refusal) => void): void {
  takeBody(res, maxBytes, body =>
    done(
      body ??
        new Refusal('body_too_large', {
          detail: `The body may have ${maxBytes} bytes at most, in ${maxPieces(maxBytes)} pieces.`,
        }),
    ),
  )
}

/** Throws a body away, within limits of size and time, before its request is refused. */
export function discardBody(res: HttpResponse, done: () => void): void {
  takeBody(res, undefined, done)
}

/**
 * @param maxBytes undefined: the body is refused in any case
 * @param done called once, unless the connection ends before; without a body where that is refused. It is called in a
 *   later turn: uWS hands over a body from within its parser, which goes on after an answer that closed the connection,
 *   in freed memory
 */
function takeBody(
  res: HttpResponse,
  maxBytes: number | undefined,
  done: (body: Buffer | undefined) => void,
): void {
  let body: Buffer = Buffer.alloc(0)
  let bytes = 0
  let pieces = 0
  let isRefused = maxBytes === undefined
  let over = false
  let aborted = false
  let deadline = setTimeout(expire, isRefused ? discarded.ms : deadlineMs)

  function expire(): void {
    if (isRefused) return finish(undefined)
    over = true
    res.close()
  }

  function finish(complete: Buffer | undefined): void {
    over = true
    clearTimeout(deadline)
    setImmediate(() => {
      if (!aborted) done(complete)
    })
  }

  function collect(chunk: ArrayBuffer, isLast: boolean): void {
    const from = bytes
    bytes += chunk.byteLength
    if (chunk.byteLength > 0) pieces++
    if (maxBytes === undefined || bytes > maxBytes || pieces > maxPieces(maxBytes)) {
      isRefused = true
      bytes = 0
      pieces = 0
      clearTimeout(deadline)
      deadline = setTimeout(expire, discarded.ms)
      return
    }
    if (bytes > body.length) body = enlarged(body, Math.max(bytes, Math.min(2 * body.length, maxBytes)))
    body.set(new Uint8Array(chunk), from)
    if (isLast) finish(body.subarray(0, bytes))
  }

  res.onAborted(() => {
    over = true
    aborted = true
    clearTimeout(deadline)
  })
  res.onData((chunk, isLast) => {
    if (over) return
    if (!isRefused) collect(chunk, isLast)
    else {
      bytes += chunk.byteLength
      pieces++
    }
    if (isRefused && (isLast || bytes > discarded.bytes || pieces > discarded.pieces)) finish(undefined)
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
