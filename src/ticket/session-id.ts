import { nonceBytes } from './codec.js'
import { writeNonce } from './nonce.js'

const idBytes = 11
const idLength = 16
const random = Buffer.alloc(nonceBytes)

/**
 * Returns a name for the session of a socket whose token names no login session: `~` and 15
 * characters from the CSPRNG.
 */
export function newSessionId(): string {
  writeNonce(random, 0)
  return `~${random.toString('base64url', 0, idBytes)}`
}

/** Whether a session belongs to one socket, judging by its name: no token names it. */
export const isOwnSession = (id: string): boolean => id.length === idLength && id.startsWith('~')

/**
 * The login session that a ticket names. Where a gate has tunnels, a ticket may name a session of
 * its own instead, so that its client knows what to renew.
 */
export const loginSessionOf = (session: string | undefined): string | undefined =>
  session !== undefined && isOwnSession(session) ? undefined : session
