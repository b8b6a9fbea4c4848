import { isUtf8 } from 'node:buffer'
import { Refusal } from '../errors.js'
import { isJsonObject } from '../protocol.js'
import { parseUnambiguous } from '../token/strict-json.js'
import type { RequestHead } from './request.js'

/** What tells whether a body is JSON. */
type BodyHead = Pick<RequestHead, 'contentType' | 'origin'>

/** On the public listener: logins and ticket requests are small. */
export const maxBodyBytes = 8192

/** On the admin listener: messages come in batches. */
export const maxAdminBodyBytes = 1_048_576

/** The media type of a body, without its parameters. */
export const mediaTypeOf = (contentType: string): string =>
  (contentType.split(';')[0] ?? '').trim().toLowerCase()

/**
 * Requires the media type of JSON. Programs may omit it, but web pages may not: without it, any page
 * may send the request without a preflight.
 * @throws Refusal `unsupported_media_type`
 */
export function requireJson({ contentType, origin }: BodyHead): void {
  if (contentType === '' ? origin === '' : mediaTypeOf(contentType) === 'application/json') return
  throw new Refusal('unsupported_media_type', { detail: 'Send the body as Content-Type: application/json.' })
}

/**
 * The JSON object in a body.
 * @throws Refusal `unsupported_media_type`, or `bad_request` for anything but one object in UTF-8
 */
export function parseJsonObject(body: Buffer, head: BodyHead): Readonly<Record<string, unknown>> {
  const value = parseJson(body, head)
  if (isJsonObject(value)) return value
  throw new Refusal('bad_request', { detail: 'The body must be a JSON object without duplicate members.' })
}

/**
 * The fields of a form in a body (`application/x-www-form-urlencoded`).
 * @throws Refusal `unsupported_media_type`
 */
export function parseForm(body: Buffer, contentType: string): URLSearchParams {
  const mediaType = 'application/x-www-form-urlencoded'
  if (mediaTypeOf(contentType) !== mediaType)
    throw new Refusal('unsupported_media_type', { detail: `Send the body as Content-Type: ${mediaType}.` })
  return new URLSearchParams(body.toString('latin1'))
}

/**
 * The JSON object in a body, or the list of objects.
 * @throws Refusal `unsupported_media_type`, or `bad_request` for anything else
 */
export function parseJsonObjects(
  body: Buffer,
  head: BodyHead,
): Readonly<Record<string, unknown>> | readonly Readonly<Record<string, unknown>>[] {
  const value = parseJson(body, head)
  if (isJsonObject(value) || (Array.isArray(value) && value.every(isJsonObject))) return value
  throw new Refusal('bad_request', {
    detail: 'The body must be a JSON object, or a list of them, without duplicate members.',
  })
}

/** The object or list in a body. Undefined for anything else, and if a member is there twice. */
function parseJson(body: Buffer, head: BodyHead): unknown {
  requireJson(head)
  return isUtf8(body) ? parseUnambiguous(body.toString('utf8')) : undefined
}
