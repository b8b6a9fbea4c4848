import { readFileSync, statSync } from 'node:fs'
import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'
import { isNodeName } from '../ticket/codec.js'
import { serializedOrigin } from '../ticket/origin.js'
import { isPatternTemplate } from '../token/default-rights.js'
import { unixPathOf, unixPrefix } from './unix-path.js'

/** The kinds of values that options have, and how each is parsed. */

/**
 * Says what is wrong with a value and how to fix it. The caller prepends the name of the option.
 */
export class InvalidValue extends Error {}

/** A problem with a part of a value, and where it is: `[1].publish`. */
export class InvalidPart extends InvalidValue {
  readonly path: string

  private constructor(path: string, message: string) {
    super(message)
    this.path = path
  }

  /** A problem with the part at `path`. */
  static of(path: string, error: InvalidValue): InvalidPart {
    return new InvalidPart(error instanceof InvalidPart ? path + error.path : path, error.message)
  }
}

/** `count` per `seconds`, with a burst of `count`. */
export interface Rate {
  readonly count: number
  readonly seconds: number
}

/**
 * The right value with something extra around or in it, so there is no need to generate a new one.
 */
export class MisspeltValue extends InvalidValue {}

/** Adds an invalid value to the problems of the option. Rethrows any other error. */
export function reportInvalid(
  error: unknown,
  label: string,
  problems: string[],
  { makeOne, subject = '' }: { readonly makeOne?: string | undefined; readonly subject?: string } = {},
): void {
  if (!(error instanceof InvalidValue)) throw error
  const remedy = makeOne === undefined || error instanceof MisspeltValue ? '' : `. Generate one: ${makeOne}`
  problems.push(`${label}: ${subject}${error.message}${remedy}`)
}

export interface Kind<T> {
  /** What `--help` shows after the flag. */
  readonly placeholder: string
  /** The allowed values: range and unit. */
  readonly values: string
  /**
   * Returns the text of a value that `createGate` takes in another form. Undefined if its type is
   * wrong.
   */
  readonly textOf?: (value: unknown) => string | undefined
  /** Throws {@link InvalidValue}. */
  readonly parse: (text: string) => T
}

/**
 * Returns a text without one trailing newline, which files and `echo` add. Refuses what an editor
 * or a shell may have added unseen, because other programs that read the same file ignore it.
 * @throws InvalidValue
 */
export function withoutNewline(given: string): string {
  const text = given.replace(/\r?\n$/, '')
  if (text.startsWith('\uFEFF'))
    throw new MisspeltValue('begins with a byte order mark (U+FEFF): save it as UTF-8 without one')
  if (text.endsWith('\r'))
    throw new MisspeltValue('ends with a carriage return: save the file with Unix line endings (LF)')
  if (/^(['"]).*\1$/s.test(text) && text.length > 1)
    throw new MisspeltValue(
      'is in quotes, which would be part of it: remove them (docker --env-file takes them literally)',
    )
  return text
}

/** Refuses invisible characters: with them, a secret differs from what looks the same elsewhere. */
function visible(text: string): string {
  if (/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(text))
    throw new MisspeltValue('has invisible characters, such as a line break: give one line of text')
  if (text !== text.trim())
    throw new MisspeltValue('begins or ends with a space, which some programs strip: remove it')
  return text
}

/**
 * Quotes a value for a message. Leaves out what precedes an `@`, which may be a password
 * (`https://user:password@host`).
 */
export const quote = (text: string): string => {
  const shown = text.replace(/^.*@/s, '…@')
  return JSON.stringify(shown.length > 80 ? `${shown.slice(0, 80)}…` : shown)
}

const record = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null ? { ...value } : {}

const unit = (name: string): string => (name === '' ? '' : ` ${name}`)

export function integer(min: number, max: number, unitName = ''): Kind<number> {
  const values = `${min} to ${max}${unit(unitName)}`
  return {
    placeholder: 'N',
    values,
    textOf: value => (typeof value === 'number' ? String(value) : undefined),
    parse(text) {
      if (!/^(0|-?[1-9]\d*)$/.test(text))
        throw new InvalidValue(`${quote(text)} is not a whole number: give ${values}`)
      const number = Number(text)
      if (number < min || number > max)
        throw new InvalidValue(`${quote(text)} is out of range: give ${values}`)
      return number
    },
  }
}

export const choice = <const T extends string>(...choices: readonly T[]): Kind<T> => ({
  placeholder: 'NAME',
  values: choices.join(', '),
  parse(text) {
    const found = choices.find(name => name === text)
    if (found === undefined) throw new InvalidValue(`${quote(text)} is none of ${choices.join(', ')}`)
    return found
  },
})

/** Comma-separated, without duplicates. Spaces around entries are ignored. */
export const list = <T extends string>(
  entries: string,
  parseEntry: (text: string) => T,
): Kind<readonly T[]> => ({
  placeholder: 'LIST',
  values: `comma list of ${entries}`,
  textOf: value =>
    Array.isArray(value) && value.every(entry => typeof entry === 'string') ? value.join() : undefined,
  parse(text) {
    const parts = text.split(',').map(part => part.trim())
    return [...new Set(parts.filter(part => part !== '').map(parseEntry))]
  },
})

/** `COUNT/SECONDS`; `off` is undefined. */
export const rate: Kind<Rate | undefined> = {
  placeholder: 'RATE',
  values: 'COUNT/SECONDS (1 to 1000000, 1 to 86400), or off',
  textOf(value) {
    const { count, seconds } = record(value)
    return typeof count === 'number' && typeof seconds === 'number' ? `${count}/${seconds}` : undefined
  },
  parse(text) {
    if (text === 'off') return undefined
    const [count = '', seconds = '', ...rest] = text.split('/')
    if (![count, seconds].every(part => /^[1-9]\d*$/.test(part)) || rest.length > 0)
      throw new InvalidValue(`${quote(text)} is not a rate: give COUNT/SECONDS, such as 10/60, or off`)
    if (Number(count) > 1_000_000 || Number(seconds) > 86_400)
      throw new InvalidValue(
        `${quote(text)} is out of range: COUNT is at most 1000000, SECONDS at most 86400`,
      )
    return { count: Number(count), seconds: Number(seconds) }
  },
}

export interface AddressBits {
  readonly v4: number
  readonly v6: number
}

const bitsV4 = { min: 8, max: 32 }
// More than 32: the length in bits tells an IPv6 prefix from an IPv4 one in a ticket.
const bitsV6 = { min: 33, max: 128 }

export const addressBits: Kind<AddressBits> = {
  placeholder: 'V4,V6',
  values: `IPv4 bits, IPv6 bits (${bitsV4.min} to ${bitsV4.max}, ${bitsV6.min} to ${bitsV6.max})`,
  textOf(value) {
    const { v4, v6 } = record(value)
    return typeof v4 === 'number' && typeof v6 === 'number' ? `${v4},${v6}` : undefined
  },
  parse(text) {
    const [v4 = Number.NaN, v6 = Number.NaN, ...rest] = text
      .split(',')
      .map(part => (/^\s*\d+\s*$/.test(part) ? Number(part) : Number.NaN))
    const fits = v4 >= bitsV4.min && v4 <= bitsV4.max && v6 >= bitsV6.min && v6 <= bitsV6.max
    if (!fits || rest.length > 0)
      throw new InvalidValue(
        `${quote(text)} is not a pair of prefix lengths: give IPv4 bits (${bitsV4.min} to ${bitsV4.max}), a comma, IPv6 bits (${bitsV6.min} to ${bitsV6.max}), such as 32,64`,
      )
    return { v4, v6 }
  },
}

/** One line without control characters, at most 256 characters. */
export const line: Kind<string> = {
  placeholder: 'TEXT',
  values: 'text',
  parse(text) {
    if (/\p{Cc}/u.test(text) || text.length > 256)
      throw new InvalidValue('is too long or has control characters: give one line of at most 256 characters')
    return text
  },
}

export const path: Kind<string> = {
  placeholder: 'PATH',
  values: 'path',
  parse(text) {
    if (text.includes('\0')) throw new InvalidValue('has a zero byte: give a path')
    return text
  },
}

/**
 * Reads the bytes of a file.
 * @throws InvalidValue with the path and the system's reason
 */
export function readFile(file: string): Buffer {
  try {
    // Reading a pipe would wait for a writer, and a second time find nothing.
    if (statSync(file).isFIFO())
      throw new InvalidValue(`${file} is a pipe, which cannot be read again: write it to a file`)
    return readFileSync(file)
  } catch (error) {
    if (error instanceof InvalidValue) throw error
    const reason = error instanceof Error ? error.message.replace(/, \w+( '.*')?$/s, '') : 'unknown error'
    throw new InvalidValue(`cannot read ${file} (${reason}): give the path of a file that this user may read`)
  }
}

/**
 * Reads the text of a file. Refuses bytes that are not UTF-8: decoding would lose them and weaken a
 * key.
 * @throws InvalidValue
 */
export function readText(file: string): string {
  const bytes = readFile(file)
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw new InvalidValue(
      `${file} is not UTF-8: write it as UTF-8 text, such as base64 (in PowerShell: Out-File -Encoding ascii)`,
    )
  }
}

export const readableFile: Kind<string> = {
  ...path,
  values: 'path of a readable file',
  parse(text) {
    readFile(path.parse(text))
    return text
  },
}

const hostNamePattern =
  /^(?=.{1,253}$)([A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?\.)*[A-Za-z_]([A-Za-z0-9_-]*[A-Za-z0-9_])?$/

export const host: Kind<string> = {
  placeholder: 'HOST',
  values: 'address, host name, or unix:/path',
  parse(text) {
    const path = unixPathOf(text)
    if (path !== undefined) return unixHost(path)
    if (isIP(text) === 0 && !hostNamePattern.test(text))
      throw new InvalidValue(
        `${quote(text)} is neither an address nor a host name: give one such as 127.0.0.1, or 0.0.0.0 for all interfaces, without port or brackets`,
      )
    return text
  },
}

/** What the kernel has room for (unix(7)), without the zero at its end. */
const maxUnixPathBytes = 107

function unixHost(path: string): string {
  if (!path.startsWith('/') || path.endsWith('/') || /[\p{Cc}?#]/u.test(path))
    throw new InvalidValue(`${quote(path)} is not the path of a socket: write unix:/run/ticketgate/gate.sock`)
  if (Buffer.byteLength(path) > maxUnixPathBytes)
    throw new InvalidValue(
      `the path is longer than the ${maxUnixPathBytes} bytes that a Unix socket allows: use a shorter one`,
    )
  return unixPrefix + path
}

/** Whether other machines cannot reach a listener on this host. */
export const isLoopback = (name: string): boolean =>
  name === 'localhost' ||
  unixPathOf(name) !== undefined ||
  (isIP(name) !== 0 && ipaddr.process(name).range() === 'loopback')

export const isLoopbackUrl = (url: URL): boolean => isLoopback(url.hostname.replace(/^\[|\]$/g, ''))

const isHttp = (url: URL): boolean => /^https?:$/.test(url.protocol)

/**
 * The URL without a trailing slash, so that paths can be appended. Never quoted: it may contain a
 * password.
 */
export const publicUrl: Kind<string> = {
  placeholder: 'URL',
  values: 'http or https URL',
  parse(text) {
    const url = URL.canParse(text) ? new URL(text) : undefined
    if (url === undefined || !isHttp(url))
      throw new InvalidValue('is not an http or https URL: give one such as https://example.com')
    if (/[?#]/.test(text) || url.username !== '' || url.password !== '')
      throw new InvalidValue('has a query, fragment, user or password: give scheme, host, port and path only')
    return url.href.replace(/\/+$/, '')
  },
}

/**
 * The keys of an identity provider. An attacker who can change them on the way can sign tokens for
 * anybody.
 */
export const jwksUrl: Kind<string> = {
  placeholder: 'URL',
  values: 'https URL; http on loopback',
  parse(text) {
    const url = URL.canParse(text) ? new URL(text) : undefined
    if (url === undefined || !isHttp(url))
      throw new InvalidValue(
        'is not an https URL: give one such as https://id.example.com/.well-known/jwks.json',
      )
    if (url.username !== '' || url.password !== '' || url.hash !== '')
      throw new InvalidValue('has a fragment, user or password: give the URL without')
    if (url.protocol === 'http:' && !isLoopbackUrl(url))
      throw new InvalidValue('is not encrypted, and not on loopback: give an https URL')
    return url.href
  },
}

/**
 * An identity provider by its name: a URL that is compared as it is written, including a trailing
 * slash.
 */
export const issuerUrl: Kind<string> = {
  placeholder: 'URL',
  values: 'https URL; http on loopback',
  parse(text) {
    jwksUrl.parse(text)
    if (/[?#]/.test(text))
      throw new InvalidValue('has a query or fragment: give the issuer as its tokens name it')
    return text
  },
}

const localHost = /^(?:localhost|127(?:\.\d+){3}|\[::1\])(?::|\/|$)/i

/** An origin, exactly as browsers and apps serialise it: matching is exact. */
export function origin(text: string): string {
  if (text.includes('*'))
    throw new InvalidValue(`${quote(text)} has a wildcard, which is not supported: list each origin`)
  if (/^(?:null$|(?:null|file|data|blob):)/i.test(text))
    throw new InvalidValue(
      `${quote(text)} is shared by unrelated pages, so it cannot be allowed: serve the page under an origin such as https://example.com`,
    )
  const scheme = localHost.test(text) ? 'http' : 'https'
  const url = text.includes('://') ? text.replace(/^ws(s?):/i, 'http$1:') : `${scheme}://${text}`
  const serialized = serializedOrigin(url)
  if (serialized === undefined)
    throw new InvalidValue(`${quote(text)} is not an origin: write it as https://example.com`)
  if (serialized !== text)
    throw new InvalidValue(`${quote(text)} is not spelt as browsers send it: write ${serialized}`)
  return text
}

/** A channel pattern, in which `${user}` may stand for the user. */
export function patternTemplate(text: string): string {
  if (!isPatternTemplate(text))
    throw new InvalidValue(
      `${quote(text)} is not a channel pattern: write a channel name or a prefix and *, such as chat.* or user.\${user}`,
    )
  return text
}

/** A CIDR, or a single address. */
export function network(text: string): string {
  const [address = '', bits] = text.split('/')
  if (isIP(address) === 0 || (bits !== undefined && !ipaddr.isValidCIDR(text)))
    throw new InvalidValue(
      `${quote(text)} is not a network: write it as 10.0.0.0/8, 2001:db8::/32 or a single address`,
    )
  return text
}

const distinctAtLeast = 8

/** Whether a secret has too few different characters, such as one character repeated. */
export const isWeak = (secret: string): boolean => new Set(secret).size < distinctAtLeast

/**
 * The secret of HS256. It must be at least as long as the hash (RFC 7518 section 3.2). Its UTF-8
 * bytes are the key.
 */
export const signingSecret: Kind<string> = {
  placeholder: 'TEXT',
  values: 'text of 32 bytes or more',
  parse(text) {
    if (Buffer.byteLength(text) < 32) throw new InvalidValue('is shorter than 32 bytes')
    return visible(text)
  },
}

/** Sent as a bearer token, so visible ASCII characters only. */
export const bearerKey: Kind<string> = {
  placeholder: 'TEXT',
  values: 'text of 16 characters or more',
  parse(text) {
    if (text.length < 16) throw new InvalidValue('is shorter than 16 characters')
    if (!/^[!-~]+$/.test(text))
      throw new InvalidValue('has characters that headers cannot carry: use visible ASCII without spaces')
    return text
  },
}

/**
 * The text of configured ticket keys. It is checked later, together with the node and the token
 * secret.
 */
export const ticketKeysText: Kind<string> = {
  placeholder: 'KEYS',
  values: 'id:base64url[,id:base64url…]',
  parse: text => text,
}

/** Appears in tickets and balancer rules. */
export const nodeName: Kind<string> = {
  placeholder: 'NAME',
  values: '1 to 32 of a-z 0-9 -',
  parse(text) {
    if (!isNodeName(text))
      throw new InvalidValue(`${quote(text)} is not a node name: give 1 to 32 of a-z 0-9 -`)
    return text
  },
}
