import { isUtf8 } from 'node:buffer'
import { Refusal } from '../errors.js'
import { isJsonObject } from '../protocol.js'
import { parseUnambiguous } from '../token/strict-json.js'

/** On the public listener: logins and ticket requests are small. */
export const maxBodyBytes = 8192

/** On the admin listener: messages come in batches. */
export const maxAdminBodyBytes = 1_048_576

/** The media type of a body, without its parameters. */
export const mediaTypeOf = (contentType: string): string =>
  (contentType.split(';')[0] ?? '').trim().toLowerCase()

/**
 * The JSON object in a body.
 * @throws Refusal `unsupported_media_type`, or `bad_request` for anything but one object in UTF-8
 */
export function parseJsonObject(body: Buffer, contentType: string): Readonly<Record<string, unknown>> {
  const value = parseJson(body, contentType)
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
  contentType: string,
): Readonly<Record<string, unknown>> | readonly Readonly<Record<string, unknown>>[] {
  const value = parseJson(body, contentType)
  if (isJsonObject(value) || (Array.isArray(value) && value.every(isJsonObject))) return value
  throw new Refusal('bad_request', {
    detail: 'The body must be a JSON object, or a list of them, without duplicate members.',
  })
}

/** The object or list in a body. Undefined for anything else, and if a member is there twice. */
function parseJson(body: Buffer, contentType: string): unknown {
  if (contentType !== '' && mediaTypeOf(contentType) !== 'application/json')
    throw new Refusal('unsupported_media_type', {
      detail: 'Send the body as Content-Type: application/json.',
    })
  return isUtf8(body) ? parseUnambiguous(body.toString('utf8')) : undefined
}
