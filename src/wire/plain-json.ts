import { type Buffer, isUtf8 } from 'node:buffer'
import { type Incoming, maxIdLength } from './format.js'

const quote = 0x22
const minus = 0x2d
const colon = 0x3a
const comma = 0x2c
const openBrace = 0x7b
const closeBrace = 0x7d
const openBracket = 0x5b
const closeBracket = 0x5d

/** The maximum depth of a plain message. */
const plainDepth = 16

const memberNames = ['type', 'channel', 'id', 'ticket', 'payload', 'data'] as const
const members = memberNames.map(name => Uint8Array.from(name, letter => letter.charCodeAt(0)))
const words = ['true', 'false', 'null'].map(name => Uint8Array.from(name, letter => letter.charCodeAt(0)))
const publish = Uint8Array.from('publish', letter => letter.charCodeAt(0))

/** Returned in place of an end for a value that is malformed or not plain. */
const none = -1

/** Whether all bytes read since it was set are ASCII. One message is read at a time. */
let isAscii = true

/**
 * Reads a message in one pass, building nothing but its members, if it is written as clients
 * usually do: no escapes, no duplicate members, little nesting, and `type`, `channel` and `id` in
 * ASCII. Returns undefined for all others, well-formed or not.
 */
export function readPlain(bytes: Buffer): Incoming | undefined {
  let isAllAscii = true
  let type: string | undefined
  let channel: string | undefined
  let id: string | undefined
  let ticket: string | undefined
  let payload: string | undefined
  let data: Buffer | undefined
  let seen = 0
  let at = skipSpace(bytes, 0)
  if (bytes[at] !== openBrace) return undefined
  do {
    at = skipSpace(bytes, at + 1)
    isAscii = true
    const keyEnd = bytes[at] === quote ? endOfString(bytes, at) : none
    if (keyEnd === none) return undefined
    const member = memberAt(bytes, at + 1, keyEnd - 1)
    const start = afterColon(bytes, keyEnd)
    const end = start === none ? none : endOfValue(bytes, start, 0)
    const bit = 1 << (member + 1)
    if (end === none || (member >= 0 && (seen & bit) !== 0)) return undefined
    seen |= bit
    isAllAscii &&= isAscii
    if (member === 5) data = bytes.subarray(start, end)
    else if (member === 2) {
      if (!isPlainId(bytes, start, end)) return undefined
      id = bytes.toString('latin1', start, end)
    } else if (member >= 0) {
      if (bytes[start] !== quote || !isAscii) return undefined
      const text =
        member === 0 && isAt(bytes, start + 1, end - 1, publish)
          ? 'publish'
          : bytes.toString('latin1', start + 1, end - 1)
      if (member === 0) type = text
      else if (member === 1) channel = text
      else if (member === 3) ticket = text
      else payload = text
    }
    at = skipSpace(bytes, end)
  } while (bytes[at] === comma)
  if (bytes[at] !== closeBrace || skipSpace(bytes, at + 1) !== bytes.length) return undefined
  return isAllAscii || isUtf8(bytes) ? { type, channel, id, ticket, payload, data } : undefined
}

/** A short string or number, returned as written. */
function isPlainId(bytes: Buffer, start: number, end: number): boolean {
  if (end - start > maxIdLength || !isAscii) return false
  if (bytes[start] === quote) return true
  // An exponent may make it infinite.
  for (let at = start; at < end; at++) if (!isDigit(bytes[at]) && bytes[at] !== minus) return false
  return true
}

function memberAt(bytes: Buffer, from: number, to: number): number {
  for (let member = 0; member < members.length; member++)
    if (isAt(bytes, from, to, members[member] as Uint8Array)) return member
  return none
}

function isAt(bytes: Buffer, from: number, to: number, wanted: Uint8Array): boolean {
  if (wanted.length !== to - from) return false
  for (let n = 0; n < wanted.length; n++) if (bytes[from + n] !== wanted[n]) return false
  return true
}

function skipSpace(bytes: Buffer, from: number): number {
  let at = from
  for (
    let byte = bytes[at];
    byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
    byte = bytes[at]
  )
    at++
  return at
}

function afterColon(bytes: Buffer, from: number): number {
  const at = skipSpace(bytes, from)
  return bytes[at] === colon ? skipSpace(bytes, at + 1) : none
}

// The grammar of RFC 8259, without escapes.

function endOfValue(bytes: Buffer, at: number, depth: number): number {
  const byte = bytes[at]
  if (byte === quote) return endOfString(bytes, at)
  if (byte === minus || isDigit(byte)) return endOfNumber(bytes, at)
  if (depth === plainDepth) return none
  if (byte === openBrace) return endOfObject(bytes, at, depth + 1)
  if (byte === openBracket) return endOfArray(bytes, at, depth + 1)
  const word = words.find(each => isAt(bytes, at, at + each.length, each))
  return word === undefined ? none : at + word.length
}

function endOfString(bytes: Buffer, from: number): number {
  for (let at = from + 1; at < bytes.length; at++) {
    const byte = bytes[at] as number
    if (byte === quote) return at + 1
    if (byte < 0x20 || byte === 0x5c) return none
    if (byte > 0x7f) isAscii = false
  }
  return none
}

const isDigit = (byte: number | undefined): boolean => byte !== undefined && byte >= 0x30 && byte <= 0x39

function endOfDigits(bytes: Buffer, from: number): number {
  let at = from
  while (isDigit(bytes[at])) at++
  return at === from ? none : at
}

function endOfNumber(bytes: Buffer, from: number): number {
  const first = bytes[from] === minus ? from + 1 : from
  let at = bytes[first] === 0x30 ? first + 1 : endOfDigits(bytes, first)
  if (at !== none && bytes[at] === 0x2e) at = endOfDigits(bytes, at + 1)
  if (at !== none && (bytes[at] === 0x65 || bytes[at] === 0x45)) {
    const sign = bytes[at + 1]
    at = endOfDigits(bytes, sign === 0x2b || sign === minus ? at + 2 : at + 1)
  }
  return at
}

function endOfArray(bytes: Buffer, from: number, depth: number): number {
  let at = skipSpace(bytes, from + 1)
  if (bytes[at] === closeBracket) return at + 1
  for (;;) {
    const end = endOfValue(bytes, at, depth)
    if (end === none) return none
    at = skipSpace(bytes, end)
    if (bytes[at] === closeBracket) return at + 1
    if (bytes[at] !== comma) return none
    at = skipSpace(bytes, at + 1)
  }
}

function endOfObject(bytes: Buffer, from: number, depth: number): number {
  let at = skipSpace(bytes, from + 1)
  if (bytes[at] === closeBrace) return at + 1
  for (;;) {
    const keyEnd = bytes[at] === quote ? endOfString(bytes, at) : none
    const start = keyEnd === none ? none : afterColon(bytes, keyEnd)
    const end = start === none ? none : endOfValue(bytes, start, depth)
    if (end === none) return none
    at = skipSpace(bytes, end)
    if (bytes[at] === closeBrace) return at + 1
    if (bytes[at] !== comma) return none
    at = skipSpace(bytes, at + 1)
  }
}
