import { nonceBytes } from '../ticket/codec.js'
import { writeNonce } from '../ticket/nonce.js'

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
