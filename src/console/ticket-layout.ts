/**
 * The bytes of a ticket by field (src/ticket/FORMAT.md), for people to look at. Checks nothing:
 * that is the gate's.
 */

import { Buffer } from 'node:buffer'
import { MessagePackReader } from '../message-pack/reader.js'

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
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  const issuedAtMs = view.getUint16(2) * 2 ** 32 + view.getUint32(4)
  const ttlSeconds = view.getUint16(8)
  const macAt = bytes.length - macBytes
  const claims = claimsOf(new MessagePackReader(bytes, 26, macAt))
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

function bytesOf(base64url: string): Buffer {
  const binary = atob(base64url.replaceAll('-', '+').replaceAll('_', '/'))
  return Buffer.from(Uint8Array.from(binary, letter => letter.charCodeAt(0)))
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

/** @throws MessagePackError if they are no map */
function claimsOf(reader: MessagePackReader): Claim[] {
  const claims: Claim[] = []
  for (let left = reader.mapSize(); left > 0; left--) {
    const key = reader.text()
    const value = readValue(reader)
    claims.push({
      key,
      meaning: meanings[key] ?? 'unknown',
      value: times.includes(key) ? new Date(Number(value) * 1000).toISOString() : textOf(value),
    })
  }
  return claims
}

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

/** @throws MessagePackError for what no claim is */
function readValue(reader: MessagePackReader): Value {
  switch (reader.type) {
    case 'text':
      return reader.text()
    case 'binary':
      return reader.binary()
    case 'array':
      return readList(reader)
    case 'map':
      return readMap(reader)
    case 'boolean':
      return reader.boolean()
    default:
      return reader.number()
  }
}

function readList(reader: MessagePackReader): Value[] {
  const list: Value[] = []
  for (let left = reader.arraySize(); left > 0; left--) list.push(readValue(reader))
  return list
}

function readMap(reader: MessagePackReader): ValueMap {
  const map: Record<string, Value> = Object.create(null)
  for (let left = reader.mapSize(); left > 0; left--) map[reader.text()] = readValue(reader)
  return map
}
