import { MessagePackError } from '../message-pack/error.js'
import { MessagePackReader } from '../message-pack/reader.js'
import { MessagePackWriter } from '../message-pack/writer.js'
import { isChannelName, isChannelPattern, isSessionId, isUserName } from '../protocol.js'
import { type CarriedClaims, readCarried, writeCarried } from './carried-claims.js'

/**
 * What a ticket says, under its MAC. An absent or undefined member restricts nothing.
 * The one-letter keys on the wire are in FORMAT.md.
 */
export interface TicketClaims {
  /** The user the ticket was issued to. */
  readonly user: string
  /**
   * When the session this ticket opens ends, Unix seconds: the expiry of the token it was traded
   * for.
   */
  readonly sessionEndsAtSeconds: number
  /** When that token was issued, Unix seconds. */
  readonly tokenIssuedAtSeconds?: number | undefined
  /** The login session. */
  readonly session?: string | undefined
  /** The one channel it opens. */
  readonly channel?: string | undefined
  /** Channels it may publish to: names, or prefixes ending in `*`. */
  readonly publish?: readonly string[] | undefined
  /** Channels it may subscribe to: names, or prefixes ending in `*`. */
  readonly subscribe?: readonly string[] | undefined
  /** The one origin it may be presented from, serialised. */
  readonly origin?: string | undefined
  /** The network it may be presented from: length in bits, then the bytes of the prefix. */
  readonly address?: Uint8Array | undefined
  /** The epoch of the shared store that will spend it, 16 bytes. */
  readonly epoch?: Uint8Array | undefined
  /** Claims of the token that travel with it. */
  readonly carried?: CarriedClaims | undefined
}

const epochBytes = 16

/** The most bytes that the packed claims of a ticket may take. */
export const maxClaimsBytes = 512

/** The keys of the map: a letter each, as its code. */
const key = {
  user: 0x75, // u
  sessionEndsAtSeconds: 0x78, // x
  tokenIssuedAtSeconds: 0x74, // t
  session: 0x69, // i
  channel: 0x63, // c
  publish: 0x70, // p
  subscribe: 0x73, // s
  origin: 0x6f, // o
  address: 0x61, // a
  epoch: 0x65, // e
  carried: 0x64, // d
} as const satisfies Record<keyof TicketClaims, number>

/**
 * Writes claims as one MessagePack map to `target` at `from`. Returns where the map ends, or
 * undefined if it would take more than `maxClaimsBytes`.
 */
export function packClaims(claims: TicketClaims, target: Buffer, from = 0): number | undefined {
  try {
    return writeClaims(claims, new MessagePackWriter(target, from, from + maxClaimsBytes))
  } catch (error) {
    if (error instanceof MessagePackError) return undefined
    throw error
  }
}

/**
 * Reads the claims in `bytes` from `from` to `end`. Returns undefined if they do not match the
 * schema exactly. Call it only after the MAC has been verified.
 */
export function unpackClaims(bytes: Buffer, from = 0, end = bytes.length): TicketClaims | undefined {
  if (end - from > maxClaimsBytes) return undefined
  try {
    const reader = new MessagePackReader(bytes, from, end)
    const claims = readClaims(reader)
    return reader.isAtEnd ? claims : undefined
  } catch (error) {
    if (error instanceof MessagePackError) return undefined
    throw error
  }
}

function writeClaims(claims: TicketClaims, writer: MessagePackWriter): number {
  const { tokenIssuedAtSeconds, session, channel, publish, subscribe, origin, address, epoch, carried } =
    claims
  let size = 2
  if (tokenIssuedAtSeconds !== undefined) size++
  if (session !== undefined) size++
  if (channel !== undefined) size++
  if (publish !== undefined) size++
  if (subscribe !== undefined) size++
  if (origin !== undefined) size++
  if (address !== undefined) size++
  if (epoch !== undefined) size++
  if (carried !== undefined) size++
  writer.map(size)
  writer.letter(key.user)
  writer.text(claims.user)
  writer.letter(key.sessionEndsAtSeconds)
  writer.number(claims.sessionEndsAtSeconds)
  if (tokenIssuedAtSeconds !== undefined) {
    writer.letter(key.tokenIssuedAtSeconds)
    writer.number(tokenIssuedAtSeconds)
  }
  if (session !== undefined) {
    writer.letter(key.session)
    writer.text(session)
  }
  if (channel !== undefined) {
    writer.letter(key.channel)
    writer.text(channel)
  }
  if (publish !== undefined) {
    writer.letter(key.publish)
    writer.texts(publish)
  }
  if (subscribe !== undefined) {
    writer.letter(key.subscribe)
    writer.texts(subscribe)
  }
  if (origin !== undefined) {
    writer.letter(key.origin)
    writer.text(origin)
  }
  if (address !== undefined) {
    writer.letter(key.address)
    writer.binary(address)
  }
  if (epoch !== undefined) {
    writer.letter(key.epoch)
    writer.binary(epoch)
  }
  if (carried !== undefined) {
    writer.letter(key.carried)
    writeCarried(carried, writer)
  }
  return writer.at
}

/** Returns undefined for an unknown key, or a value that its key does not allow. */
function readClaims(reader: MessagePackReader): TicketClaims | undefined {
  const claims: { -readonly [Name in keyof TicketClaims]: TicketClaims[Name] } = {
    user: '',
    sessionEndsAtSeconds: 0,
  }
  let seen = 0
  for (let left = reader.mapSize(); left > 0; left--) {
    const letter = reader.letter()
    // Keys are `a` to `x`; any other is refused below. A key may occur once.
    const bit = 1 << (letter & 31)
    if ((seen & bit) !== 0) return undefined
    seen |= bit
    switch (letter) {
      case key.user:
        claims.user = reader.text()
        if (!isUserName(claims.user)) return undefined
        break
      case key.sessionEndsAtSeconds:
        claims.sessionEndsAtSeconds = reader.count()
        break
      case key.tokenIssuedAtSeconds:
        claims.tokenIssuedAtSeconds = reader.count()
        break
      case key.session:
        claims.session = reader.text()
        if (!isSessionId(claims.session)) return undefined
        break
      case key.channel:
        claims.channel = reader.text()
        if (!isChannelName(claims.channel)) return undefined
        break
      case key.publish:
        claims.publish = readPatterns(reader)
        break
      case key.subscribe:
        claims.subscribe = readPatterns(reader)
        break
      case key.origin:
        claims.origin = reader.text()
        break
      case key.address:
        claims.address = reader.binary()
        if (!isAddressPrefix(claims.address)) return undefined
        break
      case key.epoch:
        claims.epoch = reader.binary()
        if (claims.epoch.length !== epochBytes) return undefined
        break
      case key.carried:
        claims.carried = readCarried(reader)
        if (claims.carried === undefined) return undefined
        break
      default:
        return undefined
    }
  }
  return (seen & required) === required ? claims : undefined
}

const required = (1 << (key.user & 31)) | (1 << (key.sessionEndsAtSeconds & 31))

/** @throws MessagePackError */
function readPatterns(reader: MessagePackReader): readonly string[] {
  const patterns: string[] = []
  for (let left = reader.arraySize(); left > 0; left--) {
    const pattern = reader.text()
    if (!isChannelPattern(pattern)) throw new MessagePackError('not a channel pattern')
    patterns.push(pattern)
  }
  return patterns
}

/**
 * A prefix of an IPv4 (4 bytes) or IPv6 (16 bytes) address: exactly as many bytes as its
 * length in bits requires.
 */
const isAddressPrefix = (value: Uint8Array): boolean => {
  const bits = value[0]
  return bits !== undefined && bits <= 128 && value.length === 1 + Math.ceil(bits / 8)
}
