import { randomBytes } from 'node:crypto'
import { bootKeyId, type TicketKey, ticketKey } from '../../src/ticket/key-ring.js'

/** A key like the one that a gate uses for its own tickets. */
export const newBootKey = (node = ''): TicketKey => ticketKey(bootKeyId, randomBytes(32), node)
