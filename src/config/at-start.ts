import { StartupError } from '../errors.js'
import { InvalidValue } from './value-types.js'

/**
 * Reads files that are watched from now on: as they are when a thread starts, which may be long
 * after the configuration was read.
 * @throws StartupError `config_invalid` for a broken one: what was in it before is not known here
 */
export function atStart<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw asStartupError(error)
  }
}

/** The error of a start that an invalid value prevents; any other error as it is. */
export const asStartupError = (error: unknown): unknown =>
  error instanceof InvalidValue ? new StartupError('config_invalid', error.message) : error
