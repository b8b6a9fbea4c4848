import { setTimeout as delay } from 'node:timers/promises'
import { type Clock, toSeconds } from '../clock.js'
import { Refusal, retryAfterSeconds } from '../errors.js'
import type { Log } from '../ops/log.js'
import type { Counters } from '../ops/metrics.js'
import type { RateLimiter } from '../ops/rate.js'
import { isUserName, routes } from '../protocol.js'
import type { Address } from '../ticket/address.js'
import type { TokenIssuer } from '../token/jwt.js'
import type { Revocations } from '../token/revocation.js'
import { maxPasswordBytes, type PasswordHasher } from '../users/password.js'
import type { UserStore } from '../users/store.js'
import { addressKey, addressText } from './address.js'
import { parseJsonObject } from './body.js'
import type { ClientView, RequestHead } from './request.js'
import type { Reply, Route } from './server.js'

export interface AuthParts {
  readonly users: UserStore
  readonly hasher: PasswordHasher
  readonly tokens: TokenIssuer
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

/** `/auth`: user and password for a token. */
export function authRoute(parts: AuthParts): Route<Address> {
  const { users, hasher, tokens, revocations, limiter, clients, counters, log, clock } = parts

  /**
   * Waits until a token of this instant is not revoked: a revocation covers the second that it was made in. It can lie
   * further ahead only where clocks disagree, or one was set back.
   */
  async function timeOfLogin(user: string): Promise<number> {
    for (let rounds = 0; ; rounds++) {
      const nowMs = clock()
      const issuedAtSeconds = toSeconds(nowMs)
      if (!revocations.covers({ user, issuedAtSeconds })) return nowMs
      if (rounds === 2)
        throw new Refusal('login_busy', {
          detail: 'This user was logged out everywhere just now. Try again.',
          retryAfterSeconds: 1,
        })
      await delay((issuedAtSeconds + 1) * 1000 - nowMs)
    }
  }

  async function logIn(head: RequestHead, address: Address, { user, password }: Credentials): Promise<Reply> {
    // One body, and one amount of work, whether the name or the password is wrong.
    const known = isUserName(user) ? await users.find(user) : undefined
    const fits = password !== '' && Buffer.byteLength(password) <= maxPasswordBytes
    const holds = fits && (await hasher.verify(known?.passwordHash, password))
    if (known === undefined || !holds) {
      log.info({ address: addressText(address) }, 'login refused')
      throw badCredentials(head)
    }
    const nowMs = await timeOfLogin(known.name)
    counters.tokensIssued++
    log.info({ user: known.name, address: addressText(address) }, 'login')
    return { body: JSON.stringify(tokens.issue({ user: known.name, channels: known.channels }, nowMs)) }
  }

  return {
    path: routes.auth,
    methods: ['GET', 'POST'],
    context: clients.address,
    handler(head, address, body) {
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
  const { user, pwd } = parseJsonObject(body, head.contentType)
  if (typeof user !== 'string' || typeof pwd !== 'string')
    throw new Refusal('bad_request', { detail: 'The body must be {"user": "…", "pwd": "…"}.' })
  return { user, password: pwd }
}

// RFC 9110 section 11.6.1 wants a challenge with a 401. Only who used Basic is challenged to Basic: browsers would ask
// the visitor of a page that logs in by JSON.
const badCredentials = (head: RequestHead): Refusal =>
  new Refusal('bad_credentials', {
    headers: basicPattern.test(head.authorization)
      ? { 'www-authenticate': 'Basic realm="ticketgate", charset="UTF-8"' }
      : {},
  })
