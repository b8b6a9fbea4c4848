import { createHash, randomBytes } from 'node:crypto'
import { validateHeaderName, validateHeaderValue } from 'node:http'
import { compressionOffer } from './upstream-compression.js'
import type { UpstreamRequest } from './upstream-request.js'

// RFC 6455 section 1.3.
const keySuffix = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'

/** The largest response head that is accepted, in bytes. */
export const maxHeadBytes = 16_384

/** The response of an upstream server to a handshake. */
export interface UpstreamAnswer {
  readonly status: number
  /** Names in lower case; repeated fields are joined with commas. */
  readonly headers: ReadonlyMap<string, string>
  /** The size of the head, in bytes. */
  readonly size: number
}

/** Generates a `Sec-WebSocket-Key`. */
export const newKey = (): string => randomBytes(16).toString('base64')

/**
 * The request that opens a WebSocket (RFC 6455 section 4.1), one character per byte.
 * @throws TypeError if a header field contains a forbidden character
 */
export function requestText(
  { target, url, protocols, headers, assert }: UpstreamRequest,
  key: string,
  isCompressionOffered: boolean,
): string {
  const host = url.host === '' ? 'localhost' : url.host
  const lines = [`GET ${target.pathIn(url)}${url.search} HTTP/1.1`]
  for (const [name, value] of Object.entries({ host, ...headers, ...assert() })) {
    validateHeaderName(name)
    validateHeaderValue(name, value)
    lines.push(`${name}: ${value}`)
  }
  lines.push('Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13')
  lines.push(`Sec-WebSocket-Key: ${key}`)
  if (protocols.length > 0) lines.push(`Sec-WebSocket-Protocol: ${protocols.join(', ')}`)
  if (isCompressionOffered) lines.push(`Sec-WebSocket-Extensions: ${compressionOffer}`)
  return `${lines.join('\r\n')}\r\n\r\n`
}

const headEnd = '\r\n\r\n'
const statusForm = /^HTTP\/1\.1 (\d{3})(?: |$)/
const nameForm = /^[!#$%&'*+.^_`|~\w-]+$/

/**
 * Reads a response head. Returns undefined while it is incomplete.
 * @throws Error if it is not HTTP/1.1, or too long
 */
export function readAnswer(bytes: Buffer): UpstreamAnswer | undefined {
  const end = bytes.indexOf(headEnd)
  if (end > maxHeadBytes || (end < 0 && bytes.length > maxHeadBytes))
    throw new Error('the head of its response is too long')
  if (end < 0) return undefined
  const [first = '', ...lines] = bytes.toString('latin1', 0, end).split('\r\n')
  const status = Number(statusForm.exec(first)?.[1])
  if (Number.isNaN(status)) throw new Error('its response is not HTTP/1.1')
  const headers = new Map<string, string>()
  for (const line of lines) {
    const colon = line.indexOf(':')
    const name = line.slice(0, Math.max(colon, 0)).toLowerCase()
    if (!nameForm.test(name)) throw new Error('its response has an invalid header field')
    const value = line.slice(colon + 1).trim()
    const known = headers.get(name)
    headers.set(name, known === undefined ? value : `${known}, ${value}`)
  }
  return { status, headers, size: end + headEnd.length }
}

const names = (value: string, token: string): boolean =>
  value.split(',').some(part => part.trim().toLowerCase() === token)

/**
 * Returns why a 101 does not open the requested WebSocket (RFC 6455 section 4.1); undefined if it
 * does.
 */
export function wrongIn({ headers }: UpstreamAnswer, key: string): string | undefined {
  const accept = createHash('sha1')
    .update(key + keySuffix)
    .digest('base64')
  if (!names(headers.get('upgrade') ?? '', 'websocket')) return 'its response upgrades to another protocol'
  if (!names(headers.get('connection') ?? '', 'upgrade')) return 'its response upgrades nothing'
  if (headers.get('sec-websocket-accept') !== accept) return 'its Sec-WebSocket-Accept is wrong'
  return undefined
}
