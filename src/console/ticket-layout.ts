/**
 * The bytes of a ticket by field (src/ticket/FORMAT.md), for people to look at. Checks nothing:
 * that is the gate's.
 */

export type FieldName = 'version' | 'key id' | 'issuedAt' | 'ttl' | 'nonce' | 'claims' | 'MAC'

export interface Field {
  readonly name: FieldName
  readonly offset: number
  readonly bytes: Uint8Array
  /** What they mean. */
  readonly value: string
}

export interface Claim {
  readonly key: string
  readonly meaning: string
  readonly value: string
}

export interface TicketLayout {
  readonly node: string | undefined
  readonly fields: readonly Field[]
  readonly claims: readonly Claim[]
  readonly ttlSeconds: number
}

const macBytes = 32

export function layoutOf(ticket: string): TicketLayout {
  const dot = ticket.indexOf('.')
  const bytes = bytesOf(ticket.slice(dot + 1))
  const view = new DataView(bytes.buffer)
  const issuedAtMs = view.getUint16(2) * 2 ** 32 + view.getUint32(4)
  const ttlSeconds = view.getUint16(8)
  const macAt = bytes.length - macBytes
  const claims = claimsOf(bytes.subarray(26, macAt))
  const keyId = view.getUint8(1)
  const field = (name: FieldName, offset: number, end: number, value: string): Field => ({
    name,
    offset,
    bytes: bytes.subarray(offset, end),
    value,
  })
  return {
    node: dot < 0 ? undefined : ticket.slice(0, dot),
    claims,
    ttlSeconds,
    fields: [
      field('version', 0, 1, String(view.getUint8(0))),
      field('key id', 1, 2, keyId === 0 ? '0, the boot key: it lives in this process only' : String(keyId)),
      field('issuedAt', 2, 8, new Date(issuedAtMs).toISOString()),
      field('ttl', 8, 10, `${ttlSeconds} s`),
      field('nonce', 10, 26, '16 random bytes: what the gate remembers as spent'),
      field('claims', 26, macAt, `MessagePack, ${macAt - 26} bytes`),
      field('MAC', macAt, bytes.length, 'HMAC-SHA-256 over all bytes before'),
    ],
  }
}

function bytesOf(base64url: string): Uint8Array<ArrayBuffer> {
  const binary = atob(base64url.replaceAll('-', '+').replaceAll('_', '/'))
  return Uint8Array.from(binary, letter => letter.charCodeAt(0))
}

const meanings: Readonly<Record<string, string>> = {
  u: 'user',
  x: 'session ends',
  t: 'token issued',
  i: 'session',
  c: 'channel',
  p: 'may publish',
  s: 'may subscribe',
  o: 'origin',
  a: 'address',
  e: 'epoch',
  d: 'claims that travel',
}

const times: readonly string[] = ['x', 't']

const claimsOf = (bytes: Uint8Array): Claim[] =>
  Object.entries(readMap(bytes)).map(([key, value]) => ({
    key,
    meaning: meanings[key] ?? 'unknown',
    value: times.includes(key) ? new Date(Number(value) * 1000).toISOString() : textOf(value),
  }))

function textOf(value: Value): string {
  if (typeof value !== 'object') return JSON.stringify(value)
  if (value instanceof Uint8Array) return hexOf(value)
  return isList(value) ? value.join(', ') || 'nothing' : JSON.stringify(value)
}

const isList = (value: object): value is readonly Value[] => Array.isArray(value)

export const hexOf = (bytes: Uint8Array): string =>
  Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join(' ')

type Value = string | number | boolean | Uint8Array | readonly Value[] | ValueMap
interface ValueMap {
  readonly [key: string]: Value
}

/**
 * As much of MessagePack as a gate writes: maps, text, numbers of up to 32 bits and doubles,
 * booleans, bytes, lists.
 */
function readMap(bytes: Uint8Array): ValueMap {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let at = 0
  const uint = (size: 1 | 2 | 4): number => {
    const value = size === 1 ? view.getUint8(at) : size === 2 ? view.getUint16(at) : view.getUint32(at)
    at += size
    return value
  }
  const take = (length: number): Uint8Array => {
    at += length
    return bytes.subarray(at - length, at)
  }
  const text = (size: number): string => new TextDecoder().decode(take(size))
  const list = (length: number): Value[] => Array.from({ length }, read)
  const map = (length: number): ValueMap =>
    Object.fromEntries(Array.from({ length }, () => [String(read()), read()]))

  function read(): Value {
    const tag = uint(1)
    if (tag < 0x80) return tag
    if (tag >= 0xe0) return tag - 0x100
    if (tag < 0x90) return map(tag & 15)
    if (tag >= 0xa0 && tag < 0xc0) return text(tag & 31)
    if (tag >= 0x90 && tag < 0xa0) return list(tag & 15)
    switch (tag) {
      case 0xc2:
      case 0xc3:
        return tag === 0xc3
      case 0xc4:
        return take(uint(1))
      case 0xc5:
        return take(uint(2))
      case 0xcc:
        return uint(1)
      case 0xcd:
        return uint(2)
      case 0xce:
        return uint(4)
      case 0xca:
        at += 4
        return view.getFloat32(at - 4)
      case 0xcb:
        at += 8
        return view.getFloat64(at - 8)
      case 0xcf:
        return uint(4) * 2 ** 32 + uint(4)
      case 0xd0:
        return uint(1) - 2 ** 8
      case 0xd1:
        return uint(2) - 2 ** 16
      case 0xd2:
        return uint(4) - 2 ** 32
      case 0xd9:
        return text(uint(1))
      case 0xda:
        return text(uint(2))
      case 0xdb:
        return text(uint(4))
      case 0xdc:
        return list(uint(2))
      case 0xdd:
        return list(uint(4))
      case 0xde:
        return map(uint(2))
      default:
        throw new RangeError(`tag ${tag} has no place in a ticket`)
    }
  }

  const claims = read()
  if (typeof claims !== 'object' || claims instanceof Uint8Array || isList(claims))
    throw new RangeError('claims are a map')
  return claims
}
