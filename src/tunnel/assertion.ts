import { createHmac, randomUUID, sign } from 'node:crypto'
import type { AssertionKey } from '../config/assertion-key.js'
import type { Session } from '../socket/session.js'

const lifetimeSeconds = 60

const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')

/**
 * Signs the contents of the headers as a JWT, so that the upstream server need not trust the
 * network.
 */
export class AssertionSigner {
  readonly #key: AssertionKey
  readonly #audience: string
  readonly #header: string

  /** @param audience the URL of the upstream server */
  constructor(key: AssertionKey, audience: string) {
    this.#key = key
    this.#audience = audience
    // Its own type, so that no server accepts it as a token, even if it knows the key (RFC 8725
    // section 3.11).
    this.#header = encode({ alg: key.algorithm, typ: 'ticket-assertion+jwt' })
  }

  sign(session: Session, nowSeconds: number): string {
    const { user, id, channel, expiresAtSeconds, carried } = session
    const payload = encode({
      iss: 'ticketgate',
      aud: this.#audience,
      sub: user,
      sid: id,
      channel,
      session_expires: expiresAtSeconds,
      claims: carried,
      iat: nowSeconds,
      exp: nowSeconds + lifetimeSeconds,
      jti: randomUUID(),
    })
    const input = `${this.#header}.${payload}`
    return `${input}.${this.#sign(Buffer.from(input)).toString('base64url')}`
  }

  #sign(input: Buffer): Buffer {
    const { algorithm, key } = this.#key
    return algorithm === 'HS256'
      ? createHmac('sha256', key).update(input).digest()
      : sign('sha256', input, { key, dsaEncoding: 'ieee-p1363' })
  }
}
