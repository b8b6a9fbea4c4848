import { DEDICATED_COMPRESSOR_4KB, DISABLED, SHARED_COMPRESSOR, SHARED_DECOMPRESSOR } from 'uWebSockets.js'
import type { Config } from '../config/schema.js'

/** How sockets are compressed; off by default. */
export type Compression = Config['compression']

/**
 * The setting of uWS. A shared compressor takes no memory per socket, and compresses every message
 * by itself. A dedicated one keeps a window. Incoming messages are decompressed without a window of
 * their own in either case.
 */
export const compressors = {
  off: DISABLED,
  shared: SHARED_COMPRESSOR | SHARED_DECOMPRESSOR,
  dedicated: DEDICATED_COMPRESSOR_4KB | SHARED_DECOMPRESSOR,
} as const satisfies Record<Compression, number>

// Below this, compression costs more than it saves.
const minCompressedBytes = 512

/** Whether a message of this size is worth compressing. */
export const isCompressed = (bytes: number): boolean => bytes >= minCompressedBytes

const extension = 'permessage-deflate'

/** The window of a dedicated compressor, in bits. zlib does not support 8. */
const dedicatedWindowBits = 9

/** One extension of an offer, with its parameters; `true` is one without a value. */
interface Offer {
  readonly name: string
  readonly parameters: readonly (readonly [name: string, value: string | true])[]
}

/**
 * Returns the extensions of a client that uWS should see: `permessage-deflate` if the first offer
 * that uWS can honour is acceptable to the client, else ''.
 *
 * uWS reads only the first offer, and if it cannot honour it, it accepts it on other terms (RFC
 * 7692 section 7.1 forbids that, and clients fail the connection, or worse, cannot decompress). It
 * responds with `server_no_context_takeover` for a shared compressor and `server_max_window_bits=9`
 * for a dedicated one, and with `client_no_context_takeover` for either.
 *
 * @param field the value of `Sec-WebSocket-Extensions`, from all its lines
 */
export function acceptedExtensions(field: string, compression: Compression): string {
  if (compression === 'off' || field === '') return ''
  return offersIn(field).some(offer => offer.name === extension && canKeep(offer, compression))
    ? extension
    : ''
}

function canKeep({ parameters }: Offer, compression: Compression): boolean {
  const seen = new Set<string>()
  return parameters.every(([name, value]) => {
    if (seen.has(name)) return false
    seen.add(name)
    switch (name) {
      case 'client_no_context_takeover':
        return value === true
      case 'client_max_window_bits':
        return value === true || windowBits(value) !== undefined
      case 'server_no_context_takeover':
        return value === true && compression === 'shared'
      case 'server_max_window_bits':
        return compression === 'dedicated' && (windowBits(value) ?? 0) >= dedicatedWindowBits
      default:
        return false
    }
  })
}

/** 8 to 15, without leading zeros (RFC 7692 section 7.1.2). */
const windowBits = (value: string | true): number | undefined =>
  value !== true && /^(?:[89]|1[0-5])$/.test(value) ? Number(value) : undefined

const token = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]+"
const parameter = `[ \\t]*;[ \\t]*(${token})(?:[ \\t]*=[ \\t]*(?:(${token})|"(${token})"))?`
const element = new RegExp(`^[ \\t]*(${token})((?:${parameter})*)[ \\t]*$`)
const parameters = new RegExp(parameter, 'g')

/**
 * All offers in order (RFC 6455 section 9.1); none if one of them is malformed. Tokens contain no
 * commas.
 */
function offersIn(field: string): readonly Offer[] {
  const offers: Offer[] = []
  for (const text of field.split(',')) {
    if (text.trim() === '') continue
    const [, name, rest = ''] = element.exec(text) ?? []
    if (name === undefined) return []
    offers.push({
      name: name.toLowerCase(),
      parameters: [...rest.matchAll(parameters)].map(
        ([, key = '', value, quoted]) => [key.toLowerCase(), value ?? quoted ?? true] as const,
      ),
    })
  }
  return offers
}
