import type { HttpResponse } from 'uWebSockets.js'
import { Refusal } from '../errors.js'
import { isJsonObject } from '../json-object.js'

/** On the public listener: logins and ticket requests are small. */
export const maxBodyBytes = 8192

/** On the admin listener: messages come in batches. */
export const maxAdminBodyBytes = 1_048_576

const deadlineMs = 10_000

/** Collects the body and hands it over once. A body that is too long, or too slow, closes its connection. */
export function readBody(res: HttpResponse, maxBytes: number, done: (body: Buffer | Refusal) => void): void {
  const chunks: Buffer[] = []
  let length = 0
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
    length += chunk.byteLength
    if (length > maxBytes) {
      finish(new Refusal('body_too_large', { detail: `The body may have ${maxBytes} bytes at most.` }))
      return
    }
    chunks.push(Buffer.from(chunk.slice(0)))
    if (isLast) finish(Buffer.concat(chunks))
  })
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
