import type { TicketKey } from '../ticket/key-ring.js'
import { parseTicketKeys } from '../ticket/key-text.js'
import type { Config } from './schema.js'
import { readFile, Unfit } from './value-types.js'

/**
 * The configured ticket keys, from the option or, as it is now, the file; none when there are none.
 * Throws {@link Unfit} for a file or an entry that is broken.
 */
export function readTicketKeys(
  config: Pick<Config, 'ticketKeys' | 'ticketKeysFile' | 'node' | 'jwtSecret'>,
): TicketKey[] {
  const text =
    config.ticketKeysFile === undefined ? config.ticketKeys : readFile(config.ticketKeysFile).toString('utf8')
  if (text === undefined) return []
  try {
    return parseTicketKeys(text, { node: config.node ?? '', notSecret: config.jwtSecret })
  } catch (error) {
    throw error instanceof TypeError ? new Unfit(error.message) : error
  }
}
