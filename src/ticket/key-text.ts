import { type TicketKey, ticketKey } from './key-ring.js'

const entryPattern = /^([1-9]\d{0,2}):([A-Za-z0-9_-]+)$/

/**
 * Parses configured keys: `id:base64url[,id:base64url…]`, separated by commas or white space.
 * @param options.node the gate that the keys are for
 * @param options.notSecret the token secret, which no ticket key may equal
 * @throws TypeError that names the wrong entry, without its secret
 */
export function parseTicketKeys(
  text: string,
  options: { readonly node: string; readonly notSecret: string },
): TicketKey[] {
  const keys = text
    .split(/[,\s]+/)
    .filter(entry => entry !== '')
    .map((entry, index) => parseEntry(entry, index + 1, options))
  if (keys.length === 0) throw new TypeError('contains no key')
  const ids = new Set(keys.map(key => key.id))
  if (ids.size < keys.length) throw new TypeError('has two keys with the same id')
  return keys
}

function parseEntry(
  entry: string,
  position: number,
  { node, notSecret }: { readonly node: string; readonly notSecret: string },
): TicketKey {
  const [, id, encoded] = entryPattern.exec(entry) ?? []
  if (id === undefined || encoded === undefined || Number(id) > 255)
    throw new TypeError(`entry ${position} is not ID:BASE64URL with an id from 1 to 255`)
  const secret = Buffer.from(encoded, 'base64url')
  if (secret.toString('base64url') !== encoded)
    throw new TypeError(`entry ${position} is not canonical base64url`)
  if (secret.length < 32) throw new TypeError(`the key of entry ${position} is shorter than 32 bytes`)
  if (encoded === notSecret || secret.equals(Buffer.from(notSecret)))
    throw new TypeError(`the key of entry ${position} is the token secret: make a separate key`)
  return ticketKey(Number(id), secret, node)
}
