import { setTimeout as delay } from 'node:timers/promises'
import type { Clock } from '../clock.js'
import { Refusal, type RefusalCode, retryAfterSeconds } from '../errors.js'
import { addressKey, addressText, networkKey } from '../http/address.js'
import type { RequestFields } from '../http/request-log.js'
import type { LoginLimits } from '../limits/login-limits.js'
import { KeyedRate } from '../limits/rate.js'
import { isUserName } from '../protocol.js'
import type { EventSink } from '../telemetry/events.js'
import type { Log } from '../telemetry/log.js'
import { LogSampler } from '../telemetry/log-sampler.js'
import { type Counters, increment, type LoginRefusalReason } from '../telemetry/metrics.js'
import type { Address } from '../ticket/address.js'
import type { Revocations } from '../token/revocation.js'
import { maxPasswordBytes, type PasswordHasher } from '../users/password.js'
import type { UserStore } from '../users/store.js'
import { preparedName, type User } from '../users/user.js'

export interface LoginParts {
  readonly users: UserStore
  readonly hasher: PasswordHasher
  readonly limits: LoginLimits
  readonly revocations: Revocations
  readonly counters: Pick<Counters, 'loginsRefused'>
  readonly events: EventSink
  readonly log: Log
  readonly clock: Clock
}

export interface Credentials {
  readonly user: string
  readonly password: string
}

export interface LoggedIn {
  readonly user: User
  /** The time at which its token is issued. */
  readonly nowMs: number
}

export interface LoginRefused {
  readonly code: Extract<RefusalCode, 'bad_credentials' | 'rate_limited' | 'login_busy'>
  readonly detail?: string
  readonly retryAfterSeconds?: number
}

/** An attempt to log in. */
interface Attempt {
  readonly about: RequestFields
  readonly address: Address
  /** The name that the client gave, normalised to NFC. */
  readonly name: string
  /** The user of that name, if there is one. */
  readonly known: User | undefined
}

// A second if clocks agree, and some more.
const longestWaitMs = 2000

/**
 * Decides who may log in. Response and work are the same whether the user or the password is wrong.
 */
export class LoginAdmission {
  readonly #parts: LoginParts
  readonly #sampler: LogSampler
  /** One warning per minute for each user under attack. */
  readonly #warnings = new KeyedRate({ count: 1, seconds: 60 })

  constructor(parts: LoginParts) {
    this.#parts = parts
    this.#sampler = new LogSampler((reason, omitted) =>
      parts.log.info({ reason, omitted }, 'refused logins omitted'),
    )
  }

  /** Counts an attempt from an address before reading it. Returns the refusal, if any. */
  refuseAddress(address: Address): LoginRefused | undefined {
    const waitMs = this.#parts.limits.takeAddress(addressKey(address), this.#parts.clock())
    if (waitMs === 0) return undefined
    const { counters, events } = this.#parts
    increment(counters.loginsRefused, 'address_rate')
    if (events.isOn) events.tellSampled('login_refused', () => ({ reason: 'address_rate' }))
    return {
      code: 'rate_limited',
      detail: 'Too many logins from this address.',
      retryAfterSeconds: retryAfterSeconds(waitMs),
    }
  }

  /** @throws StartupError if the user file cannot be read */
  async logIn(
    address: Address,
    { user, password }: Credentials,
    about: RequestFields,
  ): Promise<LoggedIn | LoginRefused> {
    const { users, limits, clock } = this.#parts
    const name = preparedName(user)
    // A look at the file takes a thread of the pool. For a user that is known, the look that follows
    // the hash is enough.
    const recalled = isUserName(user) ? users.recall(user) : undefined
    const known = recalled ?? (isUserName(user) ? await users.find(user) : undefined)
    const attempt: Attempt = { address, name, known, about }
    const waitMs = limits.waitOfUser(name, addressKey(address), clock())
    if (waitMs > 0) return this.#refuseUser(attempt, waitMs)
    const holds = await this.#verify(attempt, password)
    const concluded = await this.#conclude(attempt, holds)
    if (concluded !== undefined) return concluded
    if (recalled === undefined) return this.#refuseCredentials(attempt)
    // It was the hash of another day: the user has a new password by now, or the old one hashed anew.
    const again = { ...attempt, known: await users.find(recalled.name) }
    const holdsNow = await this.#verify(again, password)
    return (await this.#conclude(again, holdsNow)) ?? this.#refuseCredentials(again)
  }

  /**
   * Returns undefined if the hash is not that of the user any more.
   * @param holds whether the password is right; undefined if too many are being checked
   */
  async #conclude(
    attempt: Attempt,
    holds: boolean | undefined,
  ): Promise<LoggedIn | LoginRefused | undefined> {
    const { users, limits, clock } = this.#parts
    const { address, name, known, about } = attempt
    if (holds === undefined) {
      limits.abandon(addressKey(address))
      this.#tell(attempt, 'busy')
      return { code: 'login_busy', retryAfterSeconds: 1 }
    }
    if (known === undefined) return this.#refuseCredentials(attempt)
    if (!holds) {
      const { passwordHash } = (await users.find(known.name)) ?? {}
      return passwordHash === known.passwordHash ? this.#refuseCredentials(attempt) : undefined
    }
    const nowMs = await this.#timeOfLogin(known.name)
    if (typeof nowMs !== 'number') {
      limits.succeed(name, addressKey(address), clock())
      this.#tell(attempt, 'revoked')
      return nowMs
    }
    // Checks again: a user who was removed, or got a new password, while this attempt waited must
    // not get in with the old one. The time is taken first, so that the token of a user who is
    // removed after this check, and then disconnected, is older than that.
    const current = await users.find(known.name)
    if (current?.passwordHash !== known.passwordHash) return undefined
    limits.succeed(name, addressKey(address), clock())
    const { events, log } = this.#parts
    log.info({ user: current.name, address: addressText(address), ...about }, 'login')
    if (events.isOn) events.tell('login', { user: current.name })
    return { user: current, nowMs }
  }

  /** Whether the password is right. Undefined if too many are being checked. */
  async #verify({ address, known }: Attempt, password: string): Promise<boolean | undefined> {
    if (password === '' || Buffer.byteLength(password) > maxPasswordBytes) return false
    try {
      return await this.#parts.hasher.verify(known?.passwordHash, password, networkKey(address))
    } catch (error) {
      if (error instanceof Refusal && error.code === 'login_busy') return undefined
      throw error
    }
  }

  /**
   * Waits until a token of this time is not revoked: a revocation covers the second in which it was
   * made. It covers more if the clocks of other nodes may be ahead, or one was set back. A user who
   * would have to wait too long must retry. A token dated ahead is no solution: nodes whose clocks
   * are behind would refuse it, and their next revocation might not cover it.
   */
  async #timeOfLogin(user: string): Promise<number | LoginRefused> {
    const { revocations, clock } = this.#parts
    for (let rounds = 0; ; rounds++) {
      const nowMs = clock()
      const waitMs = revocations.firstGoodSecond(user) * 1000 - nowMs
      if (waitMs <= 0) return nowMs
      if (waitMs > longestWaitMs || rounds === 2)
        return {
          code: 'login_busy',
          detail: 'This user was logged out everywhere just now. Try again.',
          retryAfterSeconds: retryAfterSeconds(waitMs),
        }
      // Timers have whole milliseconds, and may end one early.
      await delay(Math.ceil(waitMs) + 1)
    }
  }

  #refuseCredentials(attempt: Attempt): LoginRefused {
    this.#parts.limits.fail(attempt.name, addressKey(attempt.address), this.#parts.clock())
    this.#tell(attempt, attempt.known === undefined ? 'unknown_user' : 'wrong_password')
    return { code: 'bad_credentials' }
  }

  #refuseUser(attempt: Attempt, waitMs: number): LoginRefused {
    this.#tell(attempt, 'user_rate')
    const { log, clock } = this.#parts
    if (attempt.known !== undefined && this.#warnings.take(attempt.name, clock()) === 0)
      log.warn(
        { user: attempt.known.name, address: addressText(attempt.address) },
        'too many logins of this user have failed: it can log in only from addresses it has used before, or slowly',
      )
    return {
      code: 'rate_limited',
      detail:
        'Too many logins of this user have failed. Try again later, or from an address that it has used before.',
      retryAfterSeconds: retryAfterSeconds(waitMs),
    }
  }

  /** Unknown names are not logged: one may be a password in the wrong field. */
  #tell({ address, known, about }: Attempt, reason: LoginRefusalReason): void {
    const { counters, events, log, clock } = this.#parts
    increment(counters.loginsRefused, reason)
    if (events.isOn)
      events.tellSampled('login_refused', () =>
        known === undefined ? { reason } : { reason, user: known.name },
      )
    const sample = this.#sampler.take(reason, clock())
    if (sample === undefined) return
    const fields = { user: known?.name, reason, address: addressText(address), ...about }
    log.info({ ...fields, ...sample }, 'login refused')
  }
}
