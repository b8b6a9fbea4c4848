import { randomBytes } from 'node:crypto'
import { issueTicket } from '../../src/ticket/issuer.js'
import { ticketKey } from '../../src/ticket/key-ring.js'
import { nowSeconds } from './tokens.js'

export interface OutsideTicket {
  /** Unix milliseconds; default: now. */
  readonly issuedAtMs?: number
  readonly ttlSeconds?: number
  readonly channel?: string
  readonly origin?: string
}

/** An outside minter whose clock the test sets. */
export interface Minter {
  /** Its key, for `TICKETGATE_TICKET_KEYS`. */
  readonly key: string
  mint(node: string, ticket?: OutsideTicket): string
}

export function createMinter(id: number, secret: Uint8Array = randomBytes(32)): Minter {
  return {
    key: `${id}:${Buffer.from(secret).toString('base64url')}`,
    mint(node, { issuedAtMs = Date.now(), ttlSeconds = 3600, channel, origin } = {}) {
      const claims = { user: `minted-${id}`, sessionEndsAtSeconds: nowSeconds() + 7200, channel, origin }
      const text = issueTicket(claims, {
        key: ticketKey(id, secret, node),
        node,
        nowMs: issuedAtMs,
        ttlSeconds,
      })
      if (text === undefined) throw new Error('too large')
      return text
    },
  }
}
