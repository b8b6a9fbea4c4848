import { InvalidValue, list, origin, readText } from './value-types.js'

const origins = list('origins', origin)

/**
 * The origins in a file, as one value of the option: one a line or between commas; `#` begins a
 * comment.
 * @throws InvalidValue for a file that cannot be read, or that has none: without any, other pages
 *   would be let in
 */
export function readOriginsText(file: string): string {
  const lines = readText(file)
    .split(/\r?\n/)
    .map(line => line.replace(/(^|\s)#.*$/, '').trim())
    .filter(line => line !== '')
  if (lines.length === 0) throw new InvalidValue(`${file} has no origins: write one a line`)
  return lines.join()
}

/** @throws InvalidValue as `readOriginsText`, and for what is no origin */
export const readOrigins = (file: string): readonly string[] => origins.parse(readOriginsText(file))
