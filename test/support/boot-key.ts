import { randomBytes } from 'node:crypto'
import { bootKeyId, type TicketKey, ticketKey } from '../../src/ticket/key-ring.js'

/** A key as a gate has it for its own tickets. */
export const newBootKey = (node = ''): TicketKey => ticketKey(bootKeyId, randomBytes(32), node)
