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
export const epochBytes = 16

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

/** The claims in `bytes`, or undefined when they are not exactly of the schema. Call it only after the MAC held. */
export function unpackClaims(bytes: Uint8Array): TicketClaims | undefined {
  let wire: unknown
  try {
    wire = packr.unpack(bytes)
  } catch {
    return undefined
  }
  if (typeof wire !== 'object' || wire === null || Object.keys(wire).length !== entriesOf(bytes))
    return undefined
  const claims: Partial<Record<keyof TicketClaims, unknown>> = {}
  for (const [key, value] of Object.entries(wire)) {
    const member = members[key]
    if (member === undefined || !member.holds(value)) return undefined
    claims[member.name] = value
  }
  if (claims.user === undefined || claims.sessionEndsAtSeconds === undefined) return undefined
  return claims as TicketClaims
}

/** How many entries the map that begins here says it has; a key that comes twice makes it more than there are. */
function entriesOf(bytes: Uint8Array): number | undefined {
  const [first = 0, high = 0, low = 0] = bytes
  if (first >> 4 === 0x8) return first & 0x0f
  return first === 0xde ? high * 256 + low : undefined
}

const isText = (value: unknown): value is string => typeof value === 'string'
const isSeconds = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0

/** A prefix of an IPv4 (4 bytes) or IPv6 (16 bytes) address: exactly the bytes its length in bits needs. */
const isAddressPrefix = (value: unknown): boolean => {
  if (!(value instanceof Uint8Array)) return false
  const bits = value[0]
  return bits !== undefined && bits <= 128 && value.length === 1 + Math.ceil(bits / 8)
}

const members: Readonly<
  Record<string, { readonly name: keyof TicketClaims; readonly holds: (value: unknown) => boolean }>
> = {
  __proto__: null as never,
  u: { name: 'user', holds: value => isText(value) && isUserName(value) },
  x: { name: 'sessionEndsAtSeconds', holds: isSeconds },
  t: { name: 'tokenIssuedAtSeconds', holds: isSeconds },
  i: { name: 'session', holds: value => isText(value) && isSessionId(value) },
  c: { name: 'channel', holds: value => isText(value) && isChannelName(value) },
  p: { name: 'publish', holds: isChannelPatterns },
  s: { name: 'subscribe', holds: isChannelPatterns },
  o: { name: 'origin', holds: isText },
  a: { name: 'address', holds: isAddressPrefix },
  e: { name: 'epoch', holds: value => value instanceof Uint8Array && value.length === epochBytes },
}
