import { nonceBytes } from './codec.js'
import { writeNonce } from './nonce.js'

const idBytes = 11
const idLength = 16
const random = Buffer.alloc(nonceBytes)

/**
 * A name for the session of a socket whose token names no login session: `~` and 15 characters from
 * the CSPRNG.
 */
export function newSessionId(): string {
  writeNonce(random, 0)
  return `~${random.toString('base64url', 0, idBytes)}`
}

/** Whether a session is that of one socket, by its name: no token names it. */
export const isOwnSession = (id: string): boolean => id.length === idLength && id.startsWith('~')

/**
 * The login session that a ticket names. A ticket of a gate with tunnels may name one that is its
 * own instead, so that its client knows what to renew.
 */
export const loginSessionOf = (session: string | undefined): string | undefined =>
  session !== undefined && isOwnSession(session) ? undefined : session
