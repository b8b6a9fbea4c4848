import { MessagePackError } from '../message-pack/error.js'
import type { MessagePackReader } from '../message-pack/reader.js'
import { MessagePackWriter } from '../message-pack/writer.js'

/**
 * The value of a claim that travels in a ticket. Numbers are finite, text is well-formed Unicode.
 */
export type ClaimValue = string | number | boolean | readonly string[]

/**
 * Claims that travel in a ticket, by name. Has no prototype, so any other name is undefined.
 */
export type CarriedClaims = Readonly<Record<string, ClaimValue>>

/** The most bytes that they may take, packed. */
export const maxCarriedBytes = 256

/** For tickets that carry none. */
export const noClaims: CarriedClaims = Object.freeze(Object.create(null))

const names = /^[A-Za-z][A-Za-z0-9_-]{0,31}$/

/** The form of the name of such a claim, for error messages. */
export const carriedNameForm = 'a letter, then up to 31 of A-Z a-z 0-9 _ -'

const isCarriedName = (name: string): boolean => names.test(name)

/**
 * The last part of the name of the header that carries a claim. Two names with the same header
 * cannot travel together: headers ignore case, and many servers read `_` as `-`.
 */
export const headerSuffix = (name: string): string => name.toLowerCase().replaceAll('_', '-')

/** Whether all names can travel, and can do so together. */
export const areCarriedNames = (all: readonly string[]): boolean =>
  all.every(isCarriedName) && new Set(all.map(headerSuffix)).size === all.length

/** Whether a value can travel. */
export const isClaimValue = (value: unknown): value is ClaimValue =>
  isText(value) ||
  typeof value === 'boolean' ||
  Number.isFinite(value) ||
  (Array.isArray(value) && value.every(isText))

// Half a surrogate pair (Cs) has no UTF-8 form.
const isText = (value: unknown): value is string => typeof value === 'string' && !/\p{Cs}/u.test(value)

const scratch = Buffer.alloc(maxCarriedBytes)

/** Whether claims whose names and values can travel fit into a ticket. */
export function fitIntoTicket(claims: CarriedClaims): boolean {
  try {
    writeEntries(claims, new MessagePackWriter(scratch, 0, maxCarriedBytes))
    return true
  } catch (error) {
    if (error instanceof MessagePackError) return false
    throw error
  }
}

/** @throws MessagePackError if they take more than `maxCarriedBytes` */
export function writeCarried(claims: CarriedClaims, writer: MessagePackWriter): void {
  const from = writer.at
  writeEntries(claims, writer)
  if (writer.at - from > maxCarriedBytes) throw new MessagePackError('no room')
}

function writeEntries(claims: CarriedClaims, writer: MessagePackWriter): void {
  const entries = Object.entries(claims)
  writer.map(entries.length)
  for (const [name, value] of entries) {
    writer.text(name)
    if (typeof value === 'string') writer.text(value)
    else if (typeof value === 'number') writer.anyNumber(value)
    else if (typeof value === 'boolean') writer.boolean(value)
    else writer.texts(value)
  }
}

/**
 * Returns undefined for claims that cannot travel or take more than `maxCarriedBytes`.
 * @throws MessagePackError for malformed bytes
 */
export function readCarried(reader: MessagePackReader): CarriedClaims | undefined {
  const from = reader.at
  const claims: Record<string, ClaimValue> = Object.create(null)
  const seen: string[] = []
  for (let left = reader.mapSize(); left > 0; left--) {
    const name = reader.text()
    const value = readValue(reader)
    if (value === undefined) return undefined
    seen.push(name)
    claims[name] = value
  }
  return reader.at - from <= maxCarriedBytes && areCarriedNames(seen) ? claims : undefined
}

function readValue(reader: MessagePackReader): ClaimValue | undefined {
  const { type } = reader
  switch (type) {
    case 'text':
      return reader.text()
    case 'boolean':
      return reader.boolean()
    case 'array':
      return readTexts(reader)
    case 'integer':
    case 'float': {
      const value = reader.number()
      const isExact = type === 'integer' ? Number.isSafeInteger(value) : Number.isFinite(value)
      return isExact ? value : undefined
    }
    default:
      return undefined
  }
}

function readTexts(reader: MessagePackReader): readonly string[] {
  const texts: string[] = []
  for (let left = reader.arraySize(); left > 0; left--) texts.push(reader.text())
  return texts
}
