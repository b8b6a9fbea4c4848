import type { TicketKey } from '../ticket/key-ring.js'
import { parseTicketKeys } from '../ticket/key-text.js'
import type { Config } from './schema.js'
import { InvalidValue, readText } from './value-types.js'

const textOf = ({ ticketKeys, ticketKeysFile }: Pick<Config, 'ticketKeys' | 'ticketKeysFile'>) =>
  ticketKeysFile === undefined ? ticketKeys : readText(ticketKeysFile)

/** The configured ticket keys as they are written. @throws InvalidValue for a file that is broken */
export const ticketKeyEntries = (config: Pick<Config, 'ticketKeys' | 'ticketKeysFile'>): string[] =>
  (textOf(config) ?? '').split(/[,\s]+/).filter(entry => entry !== '')

/**
 * Reads the configured ticket keys, from the option or from the file as it is now. Returns none if
 * none are configured.
 * @throws InvalidValue for a file or an entry that is broken
 */
export function readTicketKeys(
  config: Pick<Config, 'ticketKeys' | 'ticketKeysFile' | 'node' | 'jwtSecret'>,
): TicketKey[] {
  const text = textOf(config)
  if (text === undefined) return []
  try {
    return parseTicketKeys(text, { node: config.node ?? '', notSecret: config.jwtSecret })
  } catch (error) {
    throw error instanceof TypeError ? new InvalidValue(error.message) : error
  }
}
