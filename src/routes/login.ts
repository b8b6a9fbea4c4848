import { setTimeout as delay } from 'node:timers/promises'
import type { Clock } from '../clock.js'
import { Refusal, retryAfterSeconds } from '../errors.js'
import { addressKey, addressText } from '../http/address.js'
import { parseJsonObject } from '../http/body.js'
import type { ClientView } from '../http/client-view.js'
import type { RequestHead } from '../http/request.js'
import type { Reply, Route } from '../http/server.js'
import { refuseUnknown } from '../http/unknown-names.js'
import type { RateLimiter } from '../limits/rate.js'
import { isUserName, routes } from '../protocol.js'
import type { Log } from '../telemetry/log.js'
import type { Counters } from '../telemetry/metrics.js'
import type { Address } from '../ticket/address.js'
import type { LoginTokens } from '../token/login-token.js'
import type { Revocations } from '../token/revocation.js'
import { maxPasswordBytes, type PasswordHasher } from '../users/password.js'
import type { UserStore } from '../users/store.js'

export interface AuthParts {
  readonly users: UserStore
  readonly hasher: PasswordHasher
  readonly tokens: LoginTokens
  readonly revocations: Revocations
  readonly limiter: RateLimiter
  readonly clients: ClientView
  readonly counters: Counters
  readonly log: Log
  readonly clock: Clock
}

interface Credentials {
  readonly user: string
  readonly password: string
}

// A second, where clocks agree, and some more.
const longestWaitMs = 2000

/** `/auth`: user and password for a token. */
export function authRoute(parts: AuthParts): Route<Address> {
  const { users, hasher, tokens, revocations, limiter, clients, counters, log, clock } = parts

  /**
   * Waits until a token of this instant is not revoked: a revocation covers the second that it was made in. It reaches
   * further where the clocks of other nodes may be ahead, or one was set back; who would have to wait for so long is told
   * to come back. To date a token ahead instead would not do: a node whose clock is behind takes none of the future, and
   * its next revocation might not reach that date.
   */
  async function timeOfLogin(user: string): Promise<number> {
    for (let rounds = 0; ; rounds++) {
      const nowMs = clock()
      const waitMs = revocations.firstGoodSecond(user) * 1000 - nowMs
      if (waitMs <= 0) return nowMs
      if (waitMs > longestWaitMs || rounds === 2)
        throw new Refusal('login_busy', {
          detail: 'This user was logged out everywhere just now. Try again.',
          retryAfterSeconds: retryAfterSeconds(waitMs),
        })
      await delay(waitMs)
    }
  }

  function refused(head: RequestHead, address: Address): Refusal {
    log.info({ address: addressText(address) }, 'login refused')
    return badCredentials(undefined, basicPattern.test(head.authorization))
  }

  async function logIn(head: RequestHead, address: Address, { user, password }: Credentials): Promise<Reply> {
    // One body, and one amount of work, whether the name or the password is wrong.
    const known = isUserName(user) ? await users.find(user) : undefined
    const fits = password !== '' && Buffer.byteLength(password) <= maxPasswordBytes
    const holds = fits && (await hasher.verify(known?.passwordHash, password))
    if (known === undefined || !holds) throw refused(head, address)
    const nowMs = await timeOfLogin(known.name)
    // Who was removed, or got another password, while this one waited and was hashed, is not let in by the old one. The
    // time comes first: whoever is removed after this look, and then disconnected, has a token of before that.
    const current = await users.find(known.name)
    if (current?.passwordHash !== known.passwordHash) throw refused(head, address)
    counters.tokensIssued++
    log.info({ user: current.name, address: addressText(address) }, 'login')
    return { body: JSON.stringify(tokens.issue({ user: current.name, channels: current.channels }, nowMs)) }
  }

  return {
    path: routes.auth,
    methods: ['GET', 'POST'],
    context: clients.address,
    handler(head, address, body) {
      // A body that has no length is none, but if it has a type its sender may have meant JSON.
      if (head.contentType === '' && body.length === 0 && waitsForChallenge(head))
        throw badCredentials('Send user and password, by HTTP Basic or as JSON.', true)
      const waitMs = limiter(addressKey(address), clock())
      if (waitMs > 0)
        throw new Refusal('rate_limited', {
          detail: 'Too many logins from this address.',
          retryAfterSeconds: retryAfterSeconds(waitMs),
        })
      return logIn(head, address, readCredentials(head, body))
    },
  }
}

const basicPattern = /^basic +([A-Za-z0-9+/]+={0,2})$/i

/** HTTP Basic (RFC 7617) where it is sent, else the JSON body. */
function readCredentials(head: RequestHead, body: Buffer): Credentials {
  const encoded = basicPattern.exec(head.authorization)?.[1]
  if (encoded !== undefined) {
    const pair = Buffer.from(encoded, 'base64').toString()
    const colon = pair.indexOf(':')
    if (colon < 0) throw new Refusal('bad_request', { detail: 'HTTP Basic credentials are user:password.' })
    return { user: pair.slice(0, colon), password: pair.slice(colon + 1) }
  }
  const members = parseJsonObject(body, head.contentType)
  refuseUnknown('member', Object.keys(members), ['user', 'pwd'])
  const { user, pwd } = members
  if (typeof user !== 'string' || typeof pwd !== 'string')
    throw new Refusal('bad_request', { detail: 'The body must be {"user": "…", "pwd": "…"}.' })
  return { user, password: pwd }
}

/** Whether this may be a client that sends its credentials when it is asked (`curl --anyauth`), and is no page. */
const waitsForChallenge = ({ origin, authorization }: RequestHead): boolean =>
  origin === '' && authorization === ''

// RFC 9110 section 11.6.1 wants a challenge with a 401. But browsers would ask the visitor of a page that logs in by
// JSON, so only a client that uses Basic is challenged to it, or one that waits for that.
const badCredentials = (detail: string | undefined, challenges: boolean): Refusal =>
  new Refusal('bad_credentials', {
    ...(detail === undefined ? {} : { detail }),
    headers: challenges ? { 'www-authenticate': 'Basic realm="ticketgate", charset="UTF-8"' } : {},
  })
