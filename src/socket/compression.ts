import { DEDICATED_COMPRESSOR_4KB, DISABLED, SHARED_COMPRESSOR, SHARED_DECOMPRESSOR } from 'uWebSockets.js'
import type { Config } from '../config/schema.js'
import { deflateExtension, type Extension, extensionsIn, windowBits } from '../http/extensions.js'

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

/** The window of a dedicated compressor, in bits. zlib does not support 8. */
const dedicatedWindowBits = 9

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
  return extensionsIn(field).some(offer => offer.name === deflateExtension && canKeep(offer, compression))
    ? deflateExtension
    : ''
}

function canKeep({ parameters }: Extension, compression: Compression): boolean {
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
