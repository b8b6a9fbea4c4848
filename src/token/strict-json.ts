import { isUtf8 } from 'node:buffer'
import { isJsonObject } from '../protocol.js'

/**
 * Returns the JSON object in `bytes`, or undefined for anything else. Stricter than `JSON.parse`,
 * because two readers of a token must not see different claims: the bytes are valid UTF-8, no
 * object has a duplicate member (RFC 7519 section 4), and no string has half a surrogate pair (RFC
 * 7493 section 2.1).
 */
export function parseStrictObject(bytes: Buffer): Readonly<Record<string, unknown>> | undefined {
  if (!isUtf8(bytes)) return undefined
  const text = bytes.toString('utf8')
  const value = parseUnambiguous(text)
  try {
    return isJsonObject(value) && !hasHalfSurrogate(value, text) ? value : undefined
  } catch {
    // Deeper than JSON.stringify goes.
    return undefined
  }
}

/**
 * Returns the JSON object or list in `text`, or undefined for anything else, and if an object has
 * a duplicate member.
 */
export function parseUnambiguous(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value !== 'object' || value === null) return undefined
    return membersIn(value) === membersWritten(text) ? value : undefined
  } catch {
    return undefined
  }
}

const quote = 0x22
const backslash = 0x5c
const colon = 0x3a

/** Counts the members of all objects in a valid JSON text, duplicates included. */
function membersWritten(text: string): number {
  let members = 0
  let inString = false
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === quote) inString = !inString
    else if (code === colon && !inString) members++
    else if (code === backslash) at++
  }
  return members
}

/**
 * Counts the members of an object and of all objects in it. Not recursive: JSON may be deeper than
 * the stack.
 */
function membersIn(root: object): number {
  let members = 0
  const pending: object[] = [root]
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const values: unknown[] = Object.values(next)
    if (!Array.isArray(next)) members += values.length
    for (const value of values) if (typeof value === 'object' && value !== null) pending.push(value)
  }
  return members
}

/**
 * In valid UTF-8 only an escape can produce one. `JSON.stringify` escapes lone surrogates, and only
 * those.
 */
const hasHalfSurrogate = (value: object, text: string): boolean =>
  /\\u[dD][89a-fA-F]/.test(text) && /(?<!\\)(?:\\\\)*\\ud[89a-f]/.test(JSON.stringify(value))
