import { nonceBytes } from '../ticket/codec.js'
import { writeNonce } from '../ticket/nonce.js'

const idBytes = 12
const random = Buffer.alloc(nonceBytes)

/**
 * A name for the session of a socket whose token names no login session: 16 characters from the
 * CSPRNG.
 */
export function newSessionId(): string {
  writeNonce(random, 0)
  return random.toString('base64url', 0, idBytes)
}
