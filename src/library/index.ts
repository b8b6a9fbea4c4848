// library/: `ticketgate/ticket`, tickets for any Node server. No uWebSockets.js, no I/O.

/**
 * `ticketgate/ticket`: single-use tickets in any Node server, without uWebSockets.js.
 *
 * {@link createIssuer} issues tickets, {@link createVerifier} checks and spends them. A refused
 * ticket is a {@link TicketError} with a stable `code`; a mistake of the calling program is a
 * TypeError that names the option.
 */
export type { Clock } from '../clock.js'
export type { ReplayCache, SpendOutcome } from '../replay/contract.js'
export { createMemoryReplayCache } from '../replay/memory.js'
export type { CarriedClaims, ClaimValue } from '../ticket/carried-claims.js'
export type { AddressLike } from '../ticket/network.js'
export { mayOpen, mayPublish, maySubscribe, type Rights } from '../ticket/rights.js'
export { createIssuer, type IssuedTicket, type Issuer, type IssuerOptions } from './create-issuer.js'
export { createVerifier, type Presentation, type Verifier, type VerifierOptions } from './create-verifier.js'
export type { NewTicket, TicketHolder } from './holder.js'
export { type BootKey, type ConfiguredKey, createBootKey, type SigningKey } from './signing-keys.js'
export { TicketError, type TicketErrorCode } from './ticket-error.js'
