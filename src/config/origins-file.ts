import { InvalidValue, list, origin, readText } from './value-types.js'

const origins = list('origins', origin)

/**
 * Reads the origins in a file as one value of the option: one per line or separated by commas; `#`
 * starts a comment.
 * @throws InvalidValue for a file that cannot be read or has no origins: without any, pages of
 *   other origins could connect
 */
export function readOriginsText(file: string): string {
  const lines = readText(file)
    .split(/\r?\n/)
    .map(line => line.replace(/(^|\s)#.*$/, '').trim())
    .filter(line => line !== '')
  if (lines.length === 0) throw new InvalidValue(`${file} has no origins: write one per line`)
  return lines.join()
}

/** @throws InvalidValue as `readOriginsText`, and for an invalid origin */
export const readOrigins = (file: string): readonly string[] => origins.parse(readOriginsText(file))
