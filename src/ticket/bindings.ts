import type { TicketClaims } from './claims.js'
import { isInNetwork } from './network.js'
import { mayOpen } from './rights.js'

/** What a ticket is presented for, and from where. Who asks for the address pays for it. */
export interface Presented {
  /** Undefined where none is opened: then a ticket for one channel is good for nothing. */
  readonly channel: string | undefined
  /** The header `Origin`; '' or undefined where there is none. */
  readonly origin: string | undefined
  /** An address as text or bytes; what is none lies in no network. */
  readonly address: () => unknown
}

export type BindingRefusal = 'channel_forbidden' | 'origin_forbidden' | 'address_mismatch'

/** Why a ticket is good, but not for this; undefined where it is. */
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
