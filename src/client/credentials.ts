import { GateError } from './gate-error.js'
import { isTicket } from './tickets.js'

export interface TokenRequest {
  /**
   * Whether a new token is required: the last one was refused, or its session ends soon. If false,
   * a cached token may be returned.
   */
  readonly fresh: boolean
}

type Provide = (request: TokenRequest) => string | Promise<string>

/** The source of tickets. Exactly one of the two is required. */
export interface Credential {
  /**
   * Returns the token to exchange for a ticket. Called before every attempt, so cache the token if
   * possible. An error that it throws counts as temporary; throw a `GateError` to give up instead.
   */
  readonly getToken?: Provide
  /**
   * Returns a ticket that your own back end got for this user. Called before every attempt; each
   * call must return a new one. Errors are treated as with `getToken`.
   */
  readonly getTicket?: Provide
}

/** A function that returns an unused ticket. @throws GateError */
export type TakeTicket = (fresh: boolean) => Promise<string>

/** Returns a function that gets the token. @throws TypeError if no such function was given */
export const tokenAsker = ({ getToken }: Credential): ((fresh: boolean) => Promise<string>) =>
  asker('getToken', 'token', getToken, isHeaderText)

/**
 * @param issue exchanges a token for a ticket
 * @throws TypeError unless exactly one of `getToken` and `getTicket` is given, and is a function
 */
export function ticketTaker(
  { getToken, getTicket }: Credential,
  issue: (token: string) => Promise<string>,
): TakeTicket {
  if (getTicket === undefined) {
    const ask = asker('getToken', 'token', getToken, isHeaderText)
    return async fresh => issue(await ask(fresh))
  }
  if (getToken !== undefined) throw new TypeError('getTicket: give either getToken or getTicket')
  return asker('getTicket', 'ticket', getTicket, isTicket)
}

// Any other character would make fetch throw.
const isHeaderText = (value: unknown): boolean => typeof value === 'string' && /^[ -~]*$/.test(value)

function asker(
  name: string,
  kind: string,
  provide: unknown,
  isUsable: (value: unknown) => boolean,
): TakeTicket {
  if (typeof provide !== 'function')
    throw new TypeError(`${name}: must be a function, not ${kindOf(provide)}`)
  const code = `${kind}_unavailable`
  return async fresh => {
    let value: string
    try {
      value = await provide({ fresh })
    } catch (error) {
      if (error instanceof GateError) throw error
      throw new GateError(code, `${name} failed: ${String(error)}`, 'time')
    }
    if (isUsable(value)) return value
    throw new GateError(code, `${name} returned ${kindOf(value)}, not a ${kind}.`)
  }
}

/** Names the type of a value, without its content, which may be a secret. */
function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value)
  if (Array.isArray(value)) return 'an array'
  return `${typeof value === 'object' ? 'an' : 'a'} ${typeof value}`
}
