import type { TicketClaims } from './claims.js'
import { isInNetwork } from './network.js'
import { mayOpen } from './rights.js'

/** What a ticket is presented for, and from where. The address is read only when it is needed. */
export interface Presented {
  /** Undefined if no channel is opened: a ticket bound to a channel is refused then. */
  readonly channel: string | undefined
  /** The `Origin` header; '' or undefined if there is none. */
  readonly origin: string | undefined
  /** An address as text or bytes; anything else is in no network. */
  readonly address: () => unknown
}

export type BindingRefusal = 'channel_forbidden' | 'origin_forbidden' | 'address_mismatch'

/** Returns why a good ticket is not valid here, or undefined if it is. */
export function bindingRefusal(
  claims: TicketClaims,
  { channel, origin, address }: Presented,
): BindingRefusal | undefined {
  if (channel === undefined ? claims.channel !== undefined : !mayOpen(claims, channel))
    return 'channel_forbidden'
  if (claims.origin !== undefined && claims.origin !== origin) return 'origin_forbidden'
  if (claims.address !== undefined && !isInNetwork(address(), claims.address)) return 'address_mismatch'
  return undefined
}
