import { GateError } from './gate-error.js'
import { isTicket } from './tickets.js'

export interface TokenRequest {
  /**
   * The last one does not do: its token was refused, or the session that it gave ends soon. While
   * it is false, a token that was kept may be returned.
   */
  readonly fresh: boolean
}

type Provide = (request: TokenRequest) => string | Promise<string>

/** Where tickets come from. One of the two is required. */
export interface Credential {
  /**
   * Returns the token to trade for a ticket. Called before every attempt, so keep the token where
   * you can. What it throws is taken for a failure that may pass; throw a `GateError` to give up
   * instead.
   */
  readonly getToken?: Provide
  /**
   * Returns a ticket that was issued to your own back end for this user. Called before every
   * attempt; each call must return another one. What it throws is treated as with `getToken`.
   */
  readonly getTicket?: Provide
}

/** A function that returns a ticket which has not been used. @throws GateError */
export type TakeTicket = (fresh: boolean) => Promise<string>

/** Returns a function that asks for the token. @throws TypeError if there is nobody to ask */
export const tokenAsker = ({ getToken }: Credential): ((fresh: boolean) => Promise<string>) =>
  asker('getToken', 'token', getToken, isHeaderText)

/**
 * @param issue trades a token for a ticket
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

// All else would make fetch throw.
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

/** Names what a value is, without what it says: that may be a secret. */
function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value)
  if (Array.isArray(value)) return 'an array'
  return `${typeof value === 'object' ? 'an' : 'a'} ${typeof value}`
}
