import type { TicketClaims } from './claims.js'
import { isInNetwork } from './network.js'
import { mayOpen } from './rights.js'

/** How a ticket is presented. The address is read only if it is needed. */
export interface Presented {
  /** Undefined if no channel is opened: a ticket bound to a channel is refused then. */
  readonly channel: string | undefined
  /** The `Origin` header; '' or undefined if there is none. */
  readonly origin: string | undefined
  /** An address as text or bytes; anything else is in no network. */
  readonly address: () => unknown
}

export type BindingRefusal = 'channel_forbidden' | 'origin_forbidden' | 'address_mismatch'

/** Returns why a valid ticket is not accepted here, or undefined if it is. */
export function bindingRefusal(
  claims: TicketClaims,
  { channel, origin, address }: Presented,
): BindingRefusal | undefined {
  if (channel === undefined ? claims.channel !== undefined : !mayOpen(claims, channel))
    return 'channel_forbidden'
  // An empty origin of a careless minter would match any client that sends none.
  if (claims.origin !== undefined && (claims.origin === '' || claims.origin !== origin))
    return 'origin_forbidden'
  if (claims.address !== undefined && !isInNetwork(address(), claims.address)) return 'address_mismatch'
  return undefined
}
