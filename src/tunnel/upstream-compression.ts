import { deflateExtension, extensionsIn, windowBits } from '../http/extensions.js'

/**
 * The offer to upstream servers. Without context takeover, nothing is kept between messages, so a
 * tunnel needs no memory for it.
 */
export const compressionOffer = `${deflateExtension}; client_no_context_takeover; server_no_context_takeover; client_max_window_bits`

/** What an upstream server has accepted. */
export interface CompressionTerms {
  /** The window of what is sent, in bits. */
  readonly windowBits: number
}

const maxWindowBits = 15

/**
 * Reads the response to the offer; undefined if the server does not compress.
 * @param field the value of `Sec-WebSocket-Extensions`, from all its lines
 * @throws Error if the server has accepted something else
 */
export function acceptedTerms(field: string | undefined, isOffered: boolean): CompressionTerms | undefined {
  if (field === undefined) return undefined
  const [extension, ...others] = extensionsIn(field)
  if (!isOffered || extension?.name !== deflateExtension || others.length > 0)
    throw new Error('it has chosen an extension that was not offered')
  const given = new Map(extension.parameters)
  if (given.size < extension.parameters.length)
    throw new Error('it accepts permessage-deflate with a parameter twice')
  for (const [name, value] of given)
    if (!isAllowed(name, value))
      throw new Error('it accepts permessage-deflate with a parameter that is unknown or wrong')
  // It would need a window for each socket.
  if (!given.has('server_no_context_takeover'))
    throw new Error('it accepts permessage-deflate without server_no_context_takeover')
  return { windowBits: windowBits(given.get('client_max_window_bits') ?? true) ?? maxWindowBits }
}

/** The parameters of a response (RFC 7692 section 7.1). */
function isAllowed(name: string, value: string | true): boolean {
  if (name === 'server_no_context_takeover' || name === 'client_no_context_takeover') return value === true
  return /^(?:server|client)_max_window_bits$/.test(name) && windowBits(value) !== undefined
}
