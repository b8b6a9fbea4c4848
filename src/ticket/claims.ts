import { Packr } from 'msgpackr'
import { isChannelName, isSessionId, isUserName } from '../protocol.js'
import { isChannelPatterns } from './rights.js'

/**
 * What a ticket says, under its MAC. An absent member means: no such restriction. The one-letter wire keys are in
 * FORMAT.md.
 */
export interface TicketClaims {
  /** Who the ticket speaks for. */
  readonly user: string
  /** When the session this ticket opens ends, Unix seconds: the expiry of the token it was traded for. */
  readonly sessionEndsAtSeconds: number
  /** When that token was issued, Unix seconds. */
  readonly tokenIssuedAtSeconds?: number
  /** The login session. */
  readonly session?: string
  /** The one channel it opens. */
  readonly channel?: string
  /** Channels it may publish to: names, or prefixes ending in `*`. */
  readonly publish?: readonly string[]
  /** Channels it may subscribe to: names, or prefixes ending in `*`. */
  readonly subscribe?: readonly string[]
  /** The one origin it may be presented from, serialised. */
  readonly origin?: string
  /** The network it may be presented from: length in bits, then the bytes of the prefix. */
  readonly address?: Uint8Array
  /** The life of the shared store in which it is to be spent, 16 bytes. */
  readonly epoch?: Uint8Array
}

/** How long an epoch is, in bytes. */
const epochBytes = 16

/** What the packed claims of a ticket may weigh at most, in bytes. */
export const maxClaimsBytes = 512

// Plain maps with string keys and nothing else: no records, no extensions, smallest encodings.
const packr = new Packr({
  useRecords: false,
  variableMapSize: true,
  mapsAsObjects: true,
  copyBuffers: true,
  int64AsType: 'number',
})

interface WireClaims {
  u: string
  x: number
  t?: number
  i?: string
  c?: string
  p?: readonly string[]
  s?: readonly string[]
  o?: string
  a?: Uint8Array
  e?: Uint8Array
}

/** Packs claims into one MessagePack map. The result may be larger than `maxClaimsBytes`: the issuer refuses that. */
export function packClaims(claims: TicketClaims): Buffer {
  const wire: WireClaims = { u: claims.user, x: claims.sessionEndsAtSeconds }
  if (claims.tokenIssuedAtSeconds !== undefined) wire.t = claims.tokenIssuedAtSeconds
  if (claims.session !== undefined) wire.i = claims.session
  if (claims.channel !== undefined) wire.c = claims.channel
  if (claims.publish !== undefined) wire.p = claims.publish
  if (claims.subscribe !== undefined) wire.s = claims.subscribe
  if (claims.origin !== undefined) wire.o = claims.origin
  if (claims.address !== undefined) wire.a = claims.address
  if (claims.epoch !== undefined) wire.e = claims.epoch
  return packr.pack(wire)
}

// msgpackr keeps a view of every buffer it is given, which costs more than to copy the bytes: so it is given one buffer.
const kept = Buffer.alloc(maxClaimsBytes)

/**
 * The claims in `bytes`, or undefined when they are not exactly of the schema. Call it only after the MAC held.
 * Each claim is looked at by name: to walk the map, and to fill an object by names from a table, took twice as long.
 */
export function unpackClaims(bytes: Uint8Array): TicketClaims | undefined {
  const wire = unpackMap(bytes)
  if (wire === undefined) return undefined
  const { u, x, t, i, c, p, s, o, a, e } = wire
  if (!isText(u) || !isUserName(u) || !isSeconds(x)) return undefined
  const claims: { -readonly [Name in keyof TicketClaims]: TicketClaims[Name] } = {
    user: u,
    sessionEndsAtSeconds: x,
  }
  let known = 2
  if (t !== undefined) {
    if (!isSeconds(t)) return undefined
    claims.tokenIssuedAtSeconds = t
    known++
  }
  if (i !== undefined) {
    if (!isText(i) || !isSessionId(i)) return undefined
    claims.session = i
    known++
  }
  if (c !== undefined) {
    if (!isText(c) || !isChannelName(c)) return undefined
    claims.channel = c
    known++
  }
  if (p !== undefined) {
    if (!isChannelPatterns(p)) return undefined
    claims.publish = p
    known++
  }
  if (s !== undefined) {
    if (!isChannelPatterns(s)) return undefined
    claims.subscribe = s
    known++
  }
  if (o !== undefined) {
    if (!isText(o)) return undefined
    claims.origin = o
    known++
  }
  if (a !== undefined) {
    if (!isAddressPrefix(a)) return undefined
    claims.address = a
    known++
  }
  if (e !== undefined) {
    if (!(e instanceof Uint8Array) || e.length !== epochBytes) return undefined
    claims.epoch = e
    known++
  }
  // A key that is unknown or comes twice makes the map say more entries than these.
  return known === entriesOf(bytes) ? claims : undefined
}

function unpackMap(bytes: Uint8Array): Partial<Record<keyof WireClaims, unknown>> | undefined {
  if (bytes.length > maxClaimsBytes) return undefined
  kept.set(bytes)
  try {
    const wire: unknown = packr.unpack(kept, { start: 0, end: bytes.length })
    return typeof wire === 'object' && wire !== null ? wire : undefined
  } catch {
    return undefined
  }
}

/** How many entries the map that begins here says it has. */
function entriesOf(bytes: Uint8Array): number | undefined {
  const [first = 0, high = 0, low = 0] = bytes
  if (first >> 4 === 0x8) return first & 0x0f
  return first === 0xde ? high * 256 + low : undefined
}

const isText = (value: unknown): value is string => typeof value === 'string'
const isSeconds = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0

/** A prefix of an IPv4 (4 bytes) or IPv6 (16 bytes) address: exactly the bytes its length in bits needs. */
const isAddressPrefix = (value: unknown): value is Uint8Array => {
  if (!(value instanceof Uint8Array)) return false
  const bits = value[0]
  return bits !== undefined && bits <= 128 && value.length === 1 + Math.ceil(bits / 8)
}
