import { Refusal } from '../../errors.js'
import { refuseUnknown } from '../../http/unknown-names.js'

const mostAtOnce = 1000
const usualLimit = 100

/**
 * Reads the parameters of a query, each of which may occur once.
 * @throws Refusal `bad_request` that names the parameter that is unknown, repeated or invalid
 */
export class Parameters {
  readonly #all: URLSearchParams

  constructor(query: string, known: readonly string[]) {
    this.#all = new URLSearchParams(query)
    refuseUnknown('parameter', this.#all.keys(), known)
    for (const name of known)
      if (this.#all.getAll(name).length > 1)
        throw new Refusal('bad_request', { detail: `${name} may be given only once.` })
  }

  /** The value of a parameter; undefined if it was left out. */
  text(name: string, isValid: (value: string) => boolean, expectation: string): string | undefined {
    const value = this.#all.get(name) ?? undefined
    if (value === undefined || isValid(value)) return value
    throw new Refusal('bad_request', { detail: `${name} must be ${expectation}.` })
  }

  /** The length of a page. */
  limit(): number {
    const isLimit = (value: string): boolean => /^[1-9]\d{0,3}$/.test(value) && Number(value) <= mostAtOnce
    return Number(this.text('limit', isLimit, `1 to ${mostAtOnce}`) ?? usualLimit)
  }
}
