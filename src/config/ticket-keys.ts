import type { TicketKey } from '../ticket/key-ring.js'
import { parseTicketKeys } from '../ticket/key-text.js'
import type { Config } from './schema.js'
import { InvalidValue, readText } from './value-types.js'

/**
 * Reads the configured ticket keys, from the option or from the file as it is now. Returns none if
 * none are configured.
 * @throws InvalidValue for a file or an entry that is broken
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
