import { Refusal } from '../errors.js'

// Longer names, or with other characters, may be misplaced secrets and are not echoed.
const nameForm = /^[A-Za-z_][\w.-]{0,31}$/

/** Whether a name that a client sent may be repeated to it. */
export const isShowable = (name: string): boolean => nameForm.test(name)

/** Joins names for a sentence: `a`, `a and b`, `a, b and c`. */
export const listed = (names: readonly string[]): string =>
  [names.slice(0, -1).join(', '), ...names.slice(-1)].filter(part => part !== '').join(' and ')

/**
 * Refuses names that a route does not know. Otherwise a misspelt name would be ignored, and a
 * ticket for one channel become a ticket for all.
 * @throws Refusal `bad_request` with the first of them in its detail
 */
export function refuseUnknown(
  kind: 'parameter' | 'member',
  names: Iterable<string>,
  known: readonly string[],
): void {
  for (const name of names) {
    if (known.includes(name)) continue
    const shown = isShowable(name) ? ` ${JSON.stringify(name)}` : ''
    throw new Refusal('bad_request', {
      detail: `Unknown ${kind}${shown}: this route takes ${known.length === 0 ? 'none' : listed(known)}.`,
    })
  }
}
