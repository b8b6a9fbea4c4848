import type { TicketKey } from '../ticket/key-ring.js'
import { parseTicketKeys } from '../ticket/key-text.js'
import type { Config } from './schema.js'
import { InvalidValue, readText } from './value-types.js'

/**
 * The configured ticket keys, from the option or, as it is now, the file; none when there are none.
 * Throws {@link InvalidValue} for a file or an entry that is broken.
 */
export function readTicketKeys(
  config: Pick<Config, 'ticketKeys' | 'ticketKeysFile' | 'node' | 'jwtSecret'>,
): TicketKey[] {
  const text = config.ticketKeysFile === undefined ? config.ticketKeys : readText(config.ticketKeysFile)
  if (text === undefined) return []
  try {
    return parseTicketKeys(text, { node: config.node ?? '', notSecret: config.jwtSecret })
  } catch (error) {
    throw error instanceof TypeError ? new InvalidValue(error.message) : error
  }
}
